"""Procedural faces as a folder of JPEG files, complete or not there at all."""

import contextlib
import fcntl
import itertools
import logging
import pathlib
import shutil
import uuid
from collections.abc import Iterable

import numpy as np

from bfjax import atomic, errors, runtime
from bfjax.faces import sets, workers

_log = logging.getLogger(__name__)


def cache_folder(cache_dir: str = '') -> pathlib.Path:
  """Where sets are kept: `cache_dir`, else `faces` in the project's cache."""
  return pathlib.Path(cache_dir or runtime.default_cache_dir() / 'faces')


def cached(
  face_set: sets.FaceSet, cache_dir: pathlib.Path, processes: int = 0
) -> pathlib.Path:
  """The folder of a set below `cache_dir`, rendered if it is not there yet.

  The images are rendered into a temporary folder that is renamed in the end,
  so a set that is there is whole. A second process that wants the same set
  waits for the first one.

  Raises:
    UserError: if the set is impossible or `cache_dir` cannot be written to.
  """
  face_set.check()
  target = cache_dir / face_set.folder_name
  if target.is_dir():
    return target
  try:
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _locked(cache_dir / f'.{face_set.folder_name}.lock'):
      if not target.is_dir():
        _render_and_rename(target, face_set, processes)
  except OSError as error:
    raise errors.UserError(
      f'Cannot keep rendered faces in {cache_dir}: {error}. Choose another '
      'folder by cache_dir or the environment variable BFJAX_CACHE.'
    ) from error
  return target


def _render_and_rename(target, face_set, processes) -> None:
  """Called by the holder of the lock: what is half done is abandoned."""
  prefix = f'.{target.name}.partial-'
  for abandoned in target.parent.glob(f'{prefix}*'):
    shutil.rmtree(abandoned, ignore_errors=True)
  # A new name each time: workers of a killed process may still be writing.
  partial = target.with_name(f'{prefix}{uuid.uuid4().hex}')
  partial.mkdir()
  workers.write_images(partial, face_set, processes)
  lines = sets.list_lines(face_set.names(), face_set.labels())
  write_text(partial / 'clean.txt', lines)
  partial.rename(target)


@contextlib.contextmanager
def _locked(path: pathlib.Path):
  """Holds an exclusive lock, which the system frees if this process dies."""
  with open(path, 'w', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _log.info('Waiting for another process that renders the same faces')
      fcntl.flock(file, fcntl.LOCK_EX)
    yield


@contextlib.contextmanager
def remedy(root: pathlib.Path):
  """Adds to a UserError about missing images of a cached set what to do."""
  try:
    yield
  except errors.UserError as error:
    raise errors.UserError(
      f'{error}\nThese are rendered faces: remove the folder {root}, and the '
      'next run renders them again.'
    ) from error


def write_lists(
  root: pathlib.Path,
  names: Iterable[str],
  true: np.ndarray,
  given: np.ndarray,
  train: str,
  flips: str,
) -> None:
  """Writes the two lists of a training set with wrong labels.

  Args:
    root: the folder they are written to.
    names: the paths of the images.
    true: int [images], their true labels; below 0 one of nobody in the set.
    given: int [images], the labels with flips.
    train: name of the list of all images with the given labels.
    flips: name of the list of the flipped images, but those of nobody, with
      their TRUE labels.

  Raises:
    UserError: if a list cannot be written.
  """
  names = list(names)
  write_text(root / train, sets.list_lines(names, given))
  flipped = (given != true) & (true >= 0)
  lines = sets.list_lines(itertools.compress(names, flipped), true[flipped])
  write_text(root / flips, lines)


def write_text(path: pathlib.Path, text: str) -> None:
  """Makes `text` the content of a file, which is complete or not there.

  What is there already is not written again: the folder may be read-only.

  Raises:
    UserError: if the file cannot be written.
  """
  try:
    if path.exists() and path.read_text(encoding='utf-8') == text:
      return
    atomic.write_text(path, text)
  except OSError as error:
    raise errors.UserError(f'Cannot write {path}: {error.strerror}.') from error
