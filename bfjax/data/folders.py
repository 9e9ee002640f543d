"""A folder of class folders: which images there are, of which class."""

import logging
import os
from collections.abc import Iterator

import numpy as np

from bfjax import errors
from bfjax.data import files, names, trees
from bfjax.text import printable

_log = logging.getLogger(__name__)

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


def read(
  root: str, num_classes: int = 0
) -> tuple[files.ImageFiles, np.ndarray, names.Names]:
  """Finds the images of all classes.

  Every folder of `root` is a class, in the order of their names, and holds its
  images (SUFFIXES, in small letters or capitals) at any depth, sorted by path.
  What is hidden or a system's is left out, and links to folders are followed:
  see `trees`.

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
  tree = trees.Tree(root)
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
    UserError: as `trees.Tree.below`.
  """
  tree = trees.Tree(os.fsdecode(root))
  for path in tree.all_files():
    if _is_image(path):
      yield os.fsencode(path)
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
