"""A list `train.txt` of lines `path  label`, with its images beside it."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Sequence

from bfjax.data import labelled, places, selection
from bfjax.datasets import image_paths, layouts

SOURCE = 'imagelist'
LIST = 'train.txt'
_NUMBER = re.compile('0|[1-9][0-9]{0,9}')
# Larger labels are not read by the source.
_MAX_LABEL = 2**31 - 1
_SUFFIXES = ('.txt', '.lst', '.tsv', '.csv', '.list')


def trace(root: str) -> str:
  """What tells that `root` is of this format; '' if nothing does."""
  if os.path.isfile(root):
    return 'it is a text file' if root.endswith(_SUFFIXES) else ''
  is_there = os.path.isfile(os.path.join(root, LIST))
  return f'it has {LIST}' if is_there else ''


def locate(root: str, *, list: str, dataset: str) -> dict[str, str]:
  """The options of the source for what is in `root`."""
  # Absolute: this one, whatever lies where the user is.
  if os.path.isfile(root):
    path, root = os.path.abspath(root), os.path.dirname(root) or '.'
  elif list:
    path = places.find_list(list, root, '--list')
  else:
    path = os.path.abspath(os.path.join(root, LIST))
  return {'root': root, 'list': path}


@dataclasses.dataclass(frozen=True)
class ListWriter(layouts.Writer):
  """A `layouts.Writer` of lists."""

  rename: bool

  def order(self, source):
    """See `layouts.Writer`."""
    selection.check_true_classes(source)
    path = functools.partial(self._path, source, _labels(source.class_names))
    image_paths.check(source, path, _problem)
    return super().order(source)

  def _path(self, source, labels, row, encoded=b''):
    folder = str(labels[source.labels[row]])
    return image_paths.of(source, row, folder, self.rename, encoded)

  def write(self, folder, source, order, images, state):
    """See `layouts.Writer`."""
    labels, true = _labels(source.class_names), source.true_labels
    names = (LIST,) if true is None else (LIST, layouts.FLIPS)
    with contextlib.ExitStack() as stack:
      files = {
        name: stack.enter_context(_open_at(folder / name, state.get(name)))
        for name in names
      }

      def save():
        for file in files.values():
          file.flush()
        sizes = {name: file.tell() for name, file in files.items()}
        return {'rows': row + 1, **sizes}

      for row, encoded in enumerate(images, state.get('rows', 0)):
        label = source.labels[row]
        path = self._path(source, labels, row, encoded)
        image_paths.write(folder, path, encoded)
        files[LIST].write(_line(path, labels[label]))
        if true is not None and true[row] not in (label, labelled.NOBODY):
          files[layouts.FLIPS].write(_line(path, labels[true[row]]))
        yield save
    if not _are_numbers(source.class_names):
      labelled.save_class_names(folder / layouts.CLASSES, source.class_names)


def _problem(path: str) -> str:
  taken = (LIST, layouts.FLIPS, layouts.CLASSES)
  is_taken = path.split('/')[0] in taken
  return 'it would lie where the list goes' if is_taken else ''


def _open_at(path, size: int | None):
  """A file to append to: new if `size` is None, else cut off there."""
  file = open(path, 'wb' if size is None else 'r+b')  # noqa: SIM115
  file.truncate(size or 0)
  file.seek(size or 0)
  return file


def _line(path: str, label: int) -> bytes:
  return b'%s\t%d\n' % (os.fsencode(path), label)


def _are_numbers(class_names: Sequence[str]) -> bool:
  """Whether the names of classes can be the labels of a list."""
  return all(_NUMBER.fullmatch(x) and int(x) <= _MAX_LABEL for x in class_names)


def _labels(class_names: Sequence[str]) -> Sequence[int]:
  """The label of each class in a list: its name, or else its number."""
  if _are_numbers(class_names):
    return [int(name) for name in class_names]
  return range(len(class_names))


def build(*, out: pathlib.Path, rename: bool = False) -> ListWriter:
  """Images under the names they have, and a list of them.

  Labels are the names of the classes where these are whole numbers; otherwise
  classes are numbered, and `classes.tsv` tells their names. Where true labels
  are known, `flips.txt` has the images with a wrong one.

  Args:
    out: the new folder.
    rename: call the files `label/row`; those without a name of their own are
      called so anyway.
  """
  return ListWriter(out, rename)
