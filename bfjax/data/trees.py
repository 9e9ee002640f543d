"""Walks over folders of images, past what systems leave in them."""

import logging
import os
from collections.abc import Iterator

from bfjax import errors
from bfjax.text import NAMES_SHOWN, printable

_log = logging.getLogger(__name__)

# Whatever the case, as on the systems that make them; those that begin with a
# dot (.DS_Store, ._1.jpg, .ipynb_checkpoints, .Trashes) need no mention.
_SYSTEM_NAMES = frozenset(
  (
    '__macosx',
    '@eadir',
    '#recycle',
    '#snapshot',
    'lost+found',
    '$recycle.bin',
    'system volume information',
    'thumbs.db',
    'ehthumbs.db',
    'desktop.ini',
  )
)


def is_system(name: str) -> bool:
  """Whether an entry of a folder is hidden or a system's: no data of a user."""
  return name.startswith('.') or name.casefold() in _SYSTEM_NAMES


class Tree:
  """The files below a folder; links to folders are followed.

  Hidden and system entries are left out at every depth, with what is in them.

  Attributes:
    root: the folder.
    folders: the names of the folders in it, sorted.
    files: the names of the files in it, sorted.
  """

  def __init__(self, root: str):
    """Looks into `root`.

    Raises:
      UserError: if it cannot be read.
    """
    self.root = root
    self._left_out = []  # the first
    self._num_left_out = 0
    folders, found = self._entries('')
    self.folders, self.files = sorted(folders), sorted(found)

  def below(self, folder: str) -> list[str]:
    """The files below `folder`, one of `folders`: relative to root, sorted.

    Raises:
      UserError: if a folder cannot be read, or is reached twice, as by a link
        that leads back to a folder above it; it is named.
    """
    found = []
    seen = {_identity(self.root): ''}
    waiting = [folder]
    while waiting:
      folder = waiting.pop()
      path = os.path.join(self.root, folder)
      try:
        identity = _identity(path)
      except OSError as error:
        raise _cannot_read(path, error) from error
      if identity in seen:
        other = os.path.join(self.root, seen[identity] or '.')
        raise errors.UserError(
          f'{printable(path)} is the same folder as '
          f'{printable(os.path.normpath(other))}, by a link: its images '
          'would be used twice, or without end. Remove the link.'
        )
      seen[identity] = folder
      inside, there = self._entries(folder)
      waiting += (os.path.join(folder, name) for name in inside)
      found += (os.path.join(folder, name) for name in there)
    return sorted(found)

  def all_files(self) -> Iterator[str]:
    """Yields all files, relative to root; raises as `below`."""
    yield from self.files
    for folder in self.folders:
      yield from self.below(folder)

  def log_left_out(self) -> None:
    """Says how many entries have been left out so far, if any."""
    if self._num_left_out:
      _log.warning(
        '%d hidden or system entries under %s are left out: %s%s',
        self._num_left_out,
        printable(self.root),
        ', '.join(map(printable, self._left_out)),
        ', ...' if self._num_left_out > len(self._left_out) else '',
      )

  def _entries(self, folder) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in `folder`."""
    folders, found = [], []
    path = os.path.join(self.root, folder)
    try:
      with os.scandir(path) as entries:
        for entry in entries:
          if is_system(entry.name):
            self._num_left_out += 1
            if len(self._left_out) < NAMES_SHOWN:
              self._left_out.append(os.path.join(folder, entry.name))
          elif _is_folder(entry):
            folders.append(entry.name)
          else:
            found.append(entry.name)
    except OSError as error:
      raise _cannot_read(path, error) from error
    return folders, found


def _is_folder(entry: os.DirEntry) -> bool:
  try:
    return entry.is_dir()
  except OSError:  # a link in a circle, say: it is no folder
    return False


def _identity(path) -> tuple[int, int]:
  status = os.stat(path)
  return status.st_dev, status.st_ino


def _cannot_read(path, error):
  return errors.UserError(
    f'Cannot read the folder {printable(path)}: {error.strerror}.'
  )
