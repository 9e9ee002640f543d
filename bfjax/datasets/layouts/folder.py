"""A folder for each class, with its images in it."""

import os

import numpy as np

from bfjax import errors
from bfjax.data import folders
from bfjax.datasets import image_paths, ondisk
from bfjax.text import printable


class FolderWriter:
  """A `layouts.Writer` of class folders."""

  def __init__(self, rename: bool):
    self._rename = rename

  def order(self, source):
    image_paths.check_folders(source.class_names)
    seen = image_paths.Collisions(source.num_rows)
    by_label = np.argsort(source.labels, kind='stable')
    stops = np.searchsorted(
      source.labels[by_label], np.arange(source.num_classes + 1)
    )
    order = []
    # The reader sorts the names of folders, and paths in each of them.
    for label in sorted(
      range(source.num_classes), key=lambda i: source.class_names[i]
    ):
      rows = by_label[stops[label] : stops[label + 1]]
      paths = [self._checked_path(source, int(row)) for row in rows]
      for row, path in zip(rows, paths, strict=True):
        seen.add(row, path)
      ranks = sorted(range(len(rows)), key=paths.__getitem__)
      order.append(rows[ranks])
    seen.check(source, lambda row: self.path(source, row))
    return np.concatenate(order)

  def _checked_path(self, source, row: int) -> str:
    path, name = self.path(source, row), source.name(row)
    image_paths.check_path(path, name)
    if any(map(folders.is_system, path.split('/'))):
      raise errors.UserError(
        f'The image {printable(name)} would be hidden or a system file, which '
        'are not read from folders. --rename calls the files by their numbers '
        'instead.'
      )
    if not (path.lower().endswith(folders.SUFFIXES) or self._is_numbered(name)):
      raise errors.UserError(
        f'The image {printable(name)} does not end in '
        f'{", ".join(folders.SUFFIXES)}, by which images in folders are '
        'known. --rename calls the files by their numbers instead.'
      )
    return path

  def path(self, source, row: int, encoded: bytes | None = None) -> str:
    """The path; that of a numbered image ends as its content asks for."""
    name = source.name(row)
    folder = source.class_names[source.labels[row]]
    if self._is_numbered(name):
      path = image_paths.numbered(folder, row)
      return path if encoded is None else path + image_paths.suffix(encoded)
    if name.startswith(f'{folder}/'):
      return name
    return f'{folder}/{os.path.basename(name)}'

  def _is_numbered(self, name: str) -> bool:
    return self._rename or image_paths.is_numbered(name)

  def open(self, folder, source, order, state):
    return _Sink(self, folder, source, order, state.get('rows', 0))

  def read(self, folder):
    found = ondisk.detect(str(folder), format='folder')
    return ondisk.open_source(found, check='none')


class _Sink:
  def __init__(self, writer, folder, source, order, done):
    self._writer, self._source, self._order = writer, source, order
    self._images = image_paths.Folders(os.fspath(folder))
    self._done = done

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    pass

  def add(self, encoded):
    row = int(self._order[self._done])
    path = self._writer.path(self._source, row, encoded)
    self._images.write(path, encoded)
    self._done += 1

  def save(self):
    return {'rows': self._done}

  def finish(self):
    pass


def build(*, rename: bool = False) -> FolderWriter:
  """A folder for each class, called as the class.

  An image goes by the name that it has, into the folder of its label. The
  order of rows is then that of the names. True labels are not kept.

  Args:
    rename: call the files `class/row` instead; images without a name of their
      own are called so anyway.
  """
  return FolderWriter(rename)
