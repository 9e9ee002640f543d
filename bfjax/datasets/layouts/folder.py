"""A folder for each class, with its images in it."""

import dataclasses
import functools
import itertools
import os
import pathlib

import numpy as np

from bfjax.data import folders
from bfjax.datasets import image_paths, layouts

SOURCE = 'imagelist'


def trace(root: str) -> str:
  """What tells that `root` is of this format; '' if nothing does."""
  is_folder = os.path.isdir(root)
  return 'it has folders' if is_folder and folders.Tree(root).folders else ''


def locate(root: str, *, list: str, dataset: str) -> dict[str, str]:
  """The options of the source for what is in `root`."""
  return {'root': root}


@dataclasses.dataclass(frozen=True)
class FolderWriter(layouts.Writer):
  """A `layouts.Writer` of class folders."""

  rename: bool

  def order(self, source):
    """See `layouts.Writer`."""
    image_paths.check_folders(source.class_names)
    path = functools.partial(self._path, source)
    image_paths.check(source, path, _problem)
    by_label = np.argsort(source.labels, kind='stable')
    stops = np.searchsorted(
      source.labels[by_label], np.arange(source.num_classes + 1)
    )
    # The reader sorts the names of folders, and paths in each of them.
    by_name = sorted(
      range(source.num_classes), key=source.class_names.__getitem__
    )
    rows = (
      sorted(by_label[stops[label] : stops[label + 1]].tolist(), key=path)
      for label in by_name
    )
    return np.fromiter(
      itertools.chain.from_iterable(rows), np.int64, source.num_rows
    )

  def _path(self, source, row, encoded=b''):
    folder = source.class_names[source.labels[row]]
    path = image_paths.of(source, row, folder, self.rename, encoded)
    if path.startswith(f'{folder}/'):
      return path
    return f'{folder}/{os.path.basename(path)}'

  def write(self, folder, source, order, images, state):
    """See `layouts.Writer`."""
    done = state.get('rows', 0)

    def save():
      return {'rows': done}

    for row, encoded in zip(order[done:].tolist(), images, strict=True):
      path = self._path(source, row, encoded)
      image_paths.write(folder, path, encoded)
      done += 1
      yield save


def _problem(path: str) -> str:
  if any(map(folders.is_system, path.split('/'))):
    return (
      'it would be hidden or a system file, which are not read from folders'
    )
  if not path.lower().endswith(folders.SUFFIXES):
    return (
      f'it does not end in {", ".join(folders.SUFFIXES)}, by which images in'
      ' folders are known'
    )
  return ''


def build(*, out: pathlib.Path, rename: bool = False) -> FolderWriter:
  """A folder for each class, called as the class.

  An image goes by the name that it has, into the folder of its label. The
  order of rows is then that of the names. True labels are not kept.

  Args:
    out: the new folder.
    rename: call the files `class/row`; those without a name of their own are
      called so anyway.
  """
  return FolderWriter(out, rename)
