"""A list `train.txt` of lines `path  label`, with its images beside it."""

import os
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.data import labelled, selection
from bfjax.datasets import image_paths, ondisk
from bfjax.text import printable

LIST, FLIPS = 'train.txt', 'flips.txt'
# Larger labels are not read by the source.
_MAX_LABEL = 2**31 - 1


class ListWriter:
  """A `layouts.Writer` of lists."""

  def __init__(self, rename: bool):
    self._rename = rename

  def order(self, source):
    selection.check_true_classes(source)
    paths = _Paths(source, self._rename)
    taken = {LIST, FLIPS, ondisk.CLASSES}
    seen = image_paths.Collisions(source.num_rows)
    for row in range(source.num_rows):
      path = paths.of(row)
      image_paths.check_path(path, source.name(row))
      if path.split('/')[0] in taken:
        raise errors.UserError(
          f'The image {printable(source.name(row))} would lie where the list '
          'goes. --rename calls the files by their numbers instead.'
        )
      seen.add(row, path)
    seen.check(source, paths.of)
    return np.arange(source.num_rows)

  def open(self, folder, source, order, state):
    return _Sink(_Paths(source, self._rename), folder, source, state)

  def read(self, folder):
    truth = folder / FLIPS
    found = ondisk.detect(
      str(folder), list=os.path.abspath(folder / LIST), format='list'
    )
    return ondisk.open_source(
      found, check='none', truth=str(truth) if truth.exists() else ''
    )


class _Paths:
  """Where the images of a source go."""

  def __init__(self, source, rename):
    self._source, self._rename = source, rename
    self.numbers = _numbers(source.class_names)

  def of(self, row: int, encoded: bytes | None = None) -> str:
    """The path; that of a numbered image ends as its content asks for."""
    name = self._source.name(row)
    if not self._rename and not image_paths.is_numbered(name):
      return name
    path = image_paths.numbered(
      str(self.numbers[self._source.labels[row]]), row
    )
    return path if encoded is None else path + image_paths.suffix(encoded)


class _Sink:
  def __init__(self, paths, folder, source, state):
    self._paths, self._folder, self._source = paths, folder, source
    self._images = image_paths.Folders(os.fspath(folder))
    self._row = state.get('rows', 0)
    # The list, and, if known, the images of a wrong label with their true one.
    names = (LIST,) if source.true_labels is None else (LIST, FLIPS)
    self._files = {
      name: _open_at(folder / name, state.get(name)) for name in names
    }

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    for file in self._files.values():
      file.close()

  def add(self, encoded):
    row, source = self._row, self._source
    path = self._paths.of(row, encoded)
    self._images.write(path, encoded)
    label = source.labels[row]
    self._files[LIST].write(_line(path, self._paths.numbers[label]))
    true = label if source.true_labels is None else source.true_labels[row]
    if true not in (label, labelled.NOBODY):
      self._files[FLIPS].write(_line(path, self._paths.numbers[true]))
    self._row += 1

  def save(self):
    for file in self._files.values():
      file.flush()
    sizes = {name: file.tell() for name, file in self._files.items()}
    return {'rows': self._row, **sizes}

  def finish(self):
    self.save()
    names = self._source.class_names
    if not _are_numbers(names):
      labelled.save_class_names(self._folder / ondisk.CLASSES, names)


def _open_at(path, size: int | None):
  """A file to append to: new if `size` is None, else cut off there."""
  file = open(path, 'wb' if size is None else 'r+b')  # noqa: SIM115
  file.truncate(size or 0)
  file.seek(size or 0)
  return file


def _line(path: str, number: int) -> bytes:
  return b'%s\t%d\n' % (os.fsencode(path), number)


def _are_numbers(class_names: Sequence[str]) -> bool:
  """Whether the names of classes can be the labels of a list."""
  return all(
    name.isascii()
    and name.isdigit()
    and len(name) <= 10
    and str(int(name)) == name
    and int(name) <= _MAX_LABEL
    for name in class_names
  )


def _numbers(class_names: Sequence[str]) -> Sequence[int]:
  """The label of each class in a list: its name, or else its number."""
  if _are_numbers(class_names):
    return [int(name) for name in class_names]
  return range(len(class_names))


def build(*, rename: bool = False) -> ListWriter:
  """Images under the names they have, and a list of them.

  Labels are the names of the classes where these are whole numbers; otherwise
  classes are numbered, and `classes.tsv` tells their names. Where true labels
  are known, `flips.txt` has the images with a wrong one.

  Args:
    rename: call the files `label/row` instead; images without a name of their
      own are called so anyway.
  """
  return ListWriter(rename)
