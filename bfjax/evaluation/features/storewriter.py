"""Writes features piece by piece, and goes on where a kill stopped it.

While it is unfinished, the folder has an `unfinished.json`: the settings, and
how many rows are known to be on disk. What was written after that is written
again.
"""

import contextlib
import errno
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bfjax import atomic, errors
from bfjax.evaluation.features import rowtable, store
from bfjax.text import printable

# Settings that may change on the way: what is only told, and the table of rows
# that earlier versions wrote.
_MAY_CHANGE = ('about', 'rows')


class Writer:
  """Features in the making; a context manager.

  Attributes:
    done: how many rows are on disk; those from there on are wanted.
    is_finished: whether all are, and the folder is a store.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    settings: Mapping[str, Any],
    sink,
    table: Iterator[bytes],
  ):
    """Begins in a new or empty folder, or goes on in one that has begun.

    Args:
      folder: of the features.
      settings: JSON values, 'num_rows' among them: all that the features
        depend on. What is under 'about' may change on the way.
      sink: a `Rows` or a `Tree`.
      table: lines of the table of rows, written where it is not there.

    Raises:
      UserError: if the folder has features made with other settings, something
        else, or cannot be written to.
    """
    self._folder, self._sink = folder, sink
    self._settings = json.loads(json.dumps(settings))
    unfinished, whole = folder / store.UNFINISHED, folder / store.META
    self.is_finished = whole.exists() and not unfinished.exists()
    with _writing(folder):
      if unfinished.exists() or self.is_finished:
        known = store.read_meta(whole if self.is_finished else unfinished)
        self._check_same(known)
        self._settings['rows'] = known.get('rows', rowtable.NAME)
        self.done = known.get('done', known['num_rows'])
      else:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
          raise errors.UserError(
            f'{folder} is not empty and holds no features in the making. Give '
            'a new folder, or empty this one first.'
          )
        self._note(0)
      if not (folder / self._settings['rows']).exists():
        self._settings['rows'] = rowtable.NAME
        with (
          atomic.writing(folder / rowtable.NAME) as draft,
          draft.open('wb') as file,
        ):
          file.writelines(table)

  def _check_same(self, known: Mapping[str, Any]) -> None:
    changed = [
      f'{key} was {known.get(key)!r}, now {value!r}'
      for key, value in self._settings.items()
      if key not in _MAY_CHANGE and known.get(key) != value
    ]
    if changed:
      raise errors.UserError(
        f'{self._folder} has features that were made otherwise: '
        + '; '.join(changed)
        + '. Give the same again to go on with them, or another folder.'
      )

  def _note(self, done: int) -> None:
    self.done = done
    text = json.dumps(self._settings | {'done': done}, indent=1)
    atomic.write_text(self._folder / store.UNFINISHED, text + '\n')

  def __enter__(self):
    with _writing(self._folder):
      self._sink.open(self._folder, self.done)
    return self

  def __exit__(self, *exception):
    self._sink.close()

  def write(self, row: int, features: np.ndarray) -> None:
    """Writes the features of the rows from `row` on, in order."""
    with _writing(self._folder):
      self._sink.write(row, features)

  def flush(self, done: int) -> None:
    """Sees to it that the first `done` rows are on disk, and notes it."""
    with _writing(self._folder):
      self._sink.flush()
      self._note(done)

  def finish(self) -> None:
    """Notes that all rows are there."""
    self.flush(self._settings['num_rows'])
    text = json.dumps(self._settings, indent=1) + '\n'
    atomic.write_text(self._folder / store.META, text)
    (self._folder / store.UNFINISHED).unlink()
    for draft in self._folder.glob(f'.{store.UNFINISHED}.*'):  # left by a kill
      draft.unlink()


@contextlib.contextmanager
def _writing(folder) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise errors.UserError(
      f'Cannot write features to {folder}: {error.strerror}.'
    ) from error


class Rows:
  """One .npy file, written from the first row to the last."""

  def __init__(self, shape: tuple[int, ...], dtype):
    self._shape, self._dtype = shape, np.dtype(dtype)

  def open(self, folder: pathlib.Path, done: int) -> None:
    """Goes on in `folder` after `done` rows."""
    row_bytes = int(np.prod(self._shape[1:])) * self._dtype.itemsize
    if shutil.disk_usage(folder).free < (self._shape[0] - done) * row_bytes:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    path = folder / store.FEATURES
    self._file = path.open('r+b' if done else 'wb')
    header = {
      'descr': np.lib.format.dtype_to_descr(self._dtype),
      'fortran_order': False,
      'shape': self._shape,
    }
    np.lib.format.write_array_header_1_0(self._file, header)
    self._file.truncate(self._file.tell() + done * row_bytes)
    self._file.seek(0, os.SEEK_END)

  def write(self, row: int, features: np.ndarray) -> None:
    """Writes features from row `row` on."""
    self._file.write(np.ascontiguousarray(features, self._dtype).data)

  def flush(self) -> None:
    """Brings what is written to the disk."""
    self._file.flush()
    os.fsync(self._file.fileno())

  def close(self) -> None:
    """Ends the file."""
    self._file.close()


class Tree:
  """A .npy file for each image, `a/1.npy` for the image `a/1.jpg`."""

  def __init__(self, files, dtype):
    """Takes the images.

    Raises:
      UserError: if a tree cannot have a file of its own for each.
    """
    _check_names(files.num_rows, files.name)
    self._name, self._dtype = files.name, dtype
    self._made = set()

  def open(self, folder: pathlib.Path, done: int) -> None:
    """Goes on in `folder` after `done` rows."""
    self._folder = folder

  def write(self, row: int, features: np.ndarray) -> None:
    """Writes features from row `row` on."""
    for i, feature in enumerate(np.asarray(features, self._dtype), row):
      path = os.path.join(self._folder, _file_of(self._name(i)))
      folder = os.path.dirname(path)
      if folder not in self._made:
        os.makedirs(folder, exist_ok=True)
        self._made.add(folder)
      np.save(path, feature)

  def flush(self) -> None:
    """Brings what is written to the disk."""
    os.sync()

  def close(self) -> None:
    """Ends the file."""
    pass


def _file_of(name: str) -> str:
  """The file of an image's features: its path with the suffix .npy instead."""
  return os.path.splitext(name)[0] + '.npy'


def _check_names(num_rows, name) -> None:
  taken = {}
  for row in range(num_rows):
    given = name(row)
    if os.path.isabs(given) or '..' in given.split('/'):
      raise errors.UserError(
        f'The features of {printable(given)} would lie outside of the '
        'folder: give the images relative to a root, or the layout `rows`.'
      )
    first = taken.setdefault(hash(_file_of(given)), row)
    if first != row and _file_of(name(first)) == _file_of(given):
      raise errors.UserError(
        f'{printable(name(first))} and {printable(given)} would have their '
        'features in one file: rename one, or give the layout `rows`.'
      )
