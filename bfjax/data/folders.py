"""Folders of images, and of class folders: what is in them.

What systems leave in folders (.DS_Store, __MACOSX, Thumbs.db) is no data of a
user, so it is left out, and that is said; links to folders are followed.
"""

import logging
import os
from collections.abc import Iterator

import numpy as np

from bfjax import errors
from bfjax.data import files, names
from bfjax.text import NAMES_SHOWN, printable

_log = logging.getLogger(__name__)

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')
# Whatever the case, as on the systems that make them; those that begin with a
# dot (._1.jpg, .ipynb_checkpoints, .Trashes) need no mention.
_SYSTEM_NAMES = (
  *('__macosx', '@eadir', '#recycle', '#snapshot', 'lost+found'),
  *('$recycle.bin', 'system volume information'),
  *('thumbs.db', 'ehthumbs.db', 'desktop.ini'),
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
    _, folders, found = next(self._walk(''))
    self.folders, self.files = sorted(folders), sorted(found)

  def _walk(self, folder) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk` below a folder of the root, the paths relative to that."""
    start = os.path.join(self.root, folder)
    for path, folders, found in os.walk(
      start, onerror=_cannot_read, followlinks=True
    ):
      below = os.path.join(folder, path[len(start) :].lstrip('/'))
      folders[:] = self._kept(below, folders)
      yield below, folders, self._kept(below, found)

  def _kept(self, folder, entries) -> list[str]:
    left_out = list(filter(is_system, entries))
    self._num_left_out += len(left_out)
    room = NAMES_SHOWN - len(self._left_out)
    self._left_out += (os.path.join(folder, x) for x in left_out[:room])
    return [x for x in entries if not is_system(x)]

  def below(self, folder: str) -> list[str]:
    """The files below `folder`, one of `folders`: relative to root, sorted.

    Raises:
      UserError: if a folder cannot be read, or is reached twice, as by a link
        that leads back to a folder above it; it is named.
    """
    found = []
    seen = {_identity(self.root): '.'}
    for path, _, names_here in self._walk(folder):
      whole = os.path.join(self.root, path)
      other = seen.setdefault(_identity(whole), path)
      if other != path:
        other = os.path.normpath(os.path.join(self.root, other))
        raise errors.UserError(
          f'{printable(whole)} is the same folder as {printable(other)}, by a '
          'link: its images would be used twice, or without end. Remove the '
          'link.'
        )
      found += (os.path.join(path, name) for name in names_here)
    return sorted(found)

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


def _identity(path) -> tuple[int, int]:
  try:
    status = os.stat(path)
  except OSError as error:
    _cannot_read(error)
  return status.st_dev, status.st_ino


def _cannot_read(error: OSError):
  raise errors.UserError(
    f'Cannot read the folder {printable(error.filename)}: {error.strerror}.'
  ) from error


def read(
  root: str, num_classes: int = 0
) -> tuple[files.ImageFiles, np.ndarray, names.Names]:
  """Finds the images of all classes.

  Every folder of `root` is a class, in the order of their names, and holds its
  images (SUFFIXES, in small letters or capitals) at any depth, sorted by path.
  See `Tree` about links, and what is left out.

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
  tree = Tree(root)
  if not tree.folders:
    raise errors.UserError(
      f'{root!r} has no folders. Without data.list, every folder in it is a '
      'class.'
    )
  if num_classes and len(tree.folders) > num_classes:
    raise errors.UserError(
      f'{root!r} has {len(tree.folders)} class folders, but data.num_classes '
      f'is {num_classes}.'
    )
  # Of each class: images, those in the class folder itself, other files.
  counts = np.zeros([len(tree.folders), 3], np.int64)
  found = files.ImageFiles(_paths(tree, counts), root)
  tree.log_left_out()
  _log_doubts(tree, *counts.sum(axis=0))
  labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts[:, 0])
  return found, labels, names.Names.of(tree.folders)


def images_below(root: str | bytes | os.PathLike) -> Iterator[bytes]:
  """Yields the paths, relative to `root`, of all images at any depth.

  What is left out is said in the end.

  Raises:
    UserError: as `Tree.below`.
  """
  tree = Tree(os.fsdecode(root))
  for found in (tree.files, *map(tree.below, tree.folders)):
    yield from map(os.fsencode, filter(_is_image, found))
  tree.log_left_out()


def _paths(tree, counts) -> Iterator[str]:
  """Yields the images of all classes, and counts."""
  for i, name in enumerate(tree.folders):
    inside = tree.below(name)
    found = list(filter(_is_image, inside))
    if not found:
      tree.log_left_out()
      raise errors.UserError(
        f'The class folder {printable(os.path.join(tree.root, name))} '
        f'has no images ({", ".join(SUFFIXES)}). Remove it or fill it.'
      )
    num_direct = sum(path.count('/') == 1 for path in found)
    counts[i] = len(found), num_direct, len(inside) - len(found)
    yield from found


def _log_doubts(tree, num_images, num_direct, num_others) -> None:
  root = printable(tree.root)
  if num_others:
    _log.warning(
      '%d files under %s are not images (%s) and are not used.',
      num_others,
      root,
      ', '.join(SUFFIXES),
    )
  if num_stray := sum(map(_is_image, tree.files)):
    _log.warning(
      'Images in %s itself, in no class folder, are not used: %d.',
      root,
      num_stray,
    )
  if not num_direct:
    _log.warning(
      'All %d images lie deeper than in the %d class folders of %s. If the '
      'folders below are the classes, give data.root=%s.',
      num_images,
      len(tree.folders),
      root,
      printable(os.path.join(tree.root, tree.folders[0])),
    )


def _is_image(path: str) -> bool:
  return path.lower().endswith(SUFFIXES)
