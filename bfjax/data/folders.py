"""A folder of class folders: which images there are, of which class."""

import logging
import os
from collections.abc import Iterator

import numpy as np

from bfjax import errors
from bfjax.data import files, names

_log = logging.getLogger(__name__)

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


def read(
  root: str, num_classes: int = 0
) -> tuple[files.ImageFiles, np.ndarray, names.Names]:
  """Finds the images of all classes.

  Every folder of `root` whose name does not begin with a dot is a class, in
  the order of their names, and holds its images (SUFFIXES, in small letters or
  capitals) at any depth, sorted by path. Links to folders are followed.

  Args:
    root: the folder.
    num_classes: how many classes there may be; 0 for any number.

  Returns:
    the images, their labels int32 [n], and the names of the classes.

  Raises:
    UserError: if there are no classes or too many, one has no images, a folder
      cannot be read, or one is reached twice in a class, as by a link that
      leads back to a folder above it; the message names it.
  """
  classes = _classes(root)
  if not classes:
    raise errors.UserError(
      f'{root!r} has no folders. Without data.list, every folder in it is a '
      'class.'
    )
  if num_classes and len(classes) > num_classes:
    raise errors.UserError(
      f'{root!r} has {len(classes)} class folders, but data.num_classes is '
      f'{num_classes}.'
    )
  counts = np.zeros([len(classes), 2], np.int64)
  found = files.ImageFiles(_paths(root, classes, counts), root)
  num_images, num_others = counts.T
  if num_others.any():
    _log.warning(
      '%d files under %s are not images (%s) and are not used.',
      num_others.sum(),
      root,
      ', '.join(SUFFIXES),
    )
  labels = np.repeat(np.arange(len(classes), dtype=np.int32), num_images)
  return found, labels, names.Names.of(classes)


def images_below(root: str | bytes | os.PathLike) -> Iterator[bytes]:
  """Yields the paths, relative to `root`, of all images at any depth."""
  root = os.fsencode(root)
  suffixes = tuple(map(os.fsencode, SUFFIXES))
  for folder, _, inside in os.walk(root):
    for name in inside:
      if name.lower().endswith(suffixes):
        yield os.path.relpath(os.path.join(folder, name), root)


def _classes(root) -> list[str]:
  with os.scandir(root) as entries:
    return sorted(
      entry.name
      for entry in entries
      if not entry.name.startswith('.') and _is_folder(entry)
    )


def _paths(root, classes, counts) -> Iterator[str]:
  """Yields the images; counts [class, 2] get how many, and of other files."""
  above = _identity(root)
  for i, name in enumerate(classes):
    found, num_others = _images_of(root, name, above)
    if not found:
      raise errors.UserError(
        f'The class folder {_shown(root, name)} has no images '
        f'({", ".join(SUFFIXES)}). Remove it or fill it.'
      )
    counts[i] = len(found), num_others
    yield from found


def _images_of(root, name, above) -> tuple[list[str], int]:
  """The images of one class, sorted, and the number of other files."""
  found = []
  num_others = 0
  seen = {above: ''}
  waiting = [name]
  while waiting:
    folder = waiting.pop()
    try:
      identity = _identity(os.path.join(root, folder))
      if identity in seen:
        raise errors.UserError(
          f'{_shown(root, folder)} is the same folder as '
          f'{_shown(root, seen[identity])}, by a link: its images would be '
          'used twice, or without end. Remove the link.'
        )
      seen[identity] = folder
      with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
          path = os.path.join(folder, entry.name)
          if _is_folder(entry):
            waiting.append(path)
          elif entry.name.lower().endswith(SUFFIXES):
            found.append(path)
          else:
            num_others += 1
    except OSError as error:
      raise errors.UserError(
        f'Cannot read the folder {_shown(root, folder)}: {error.strerror}.'
      ) from error
  return sorted(found), num_others


def _is_folder(entry: os.DirEntry) -> bool:
  try:
    return entry.is_dir()
  except OSError:  # a link in a circle, say: it is no folder
    return False


def _identity(path) -> tuple[int, int]:
  status = os.stat(path)
  return status.st_dev, status.st_ino


def _shown(root, folder) -> str:
  return files.printable(os.path.join(root, folder) if folder else root)
