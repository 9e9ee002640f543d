"""Saved features of the images of a list: from a store or a tree of files."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bfjax import errors
from bfjax.evaluation.features import store
from bfjax.evaluation.protocols import fusion
from bfjax.text import first_lines, printable


class Saved(NamedTuple):
  """Features of the images of a list."""

  # [m, d] or [m, 2, d], float32 or float16; rows by a slice or by an array of
  # row numbers.
  features: Any
  rows: np.ndarray  # where in it the images are, int [n]
  in_words: str  # how they were made


def find(root: str, folder: str, names: Sequence[str], flip: str) -> Saved:
  """Finds the features of images.

  `root/folder` is a store, or `root` is one for several folders, or
  `root/folder` is a tree with a .npy for each image. The files of a tree are
  read, and checked, now; see `store` for both.

  Args:
    root: the folder of all features.
    folder: of these images, in `root`; '' for `root` itself.
    names: paths of the images in `folder`.
    flip: how f(x) and f(mirror x) will be fused where both are saved.

  Raises:
    UserError: if features are missing, cannot be read, are no floating-point
      numbers or differ in shape; the message names the image or the file.
  """
  place = os.path.join(root, folder)
  for path, prefix in ((place, ''), (root, folder)):
    if os.path.exists(os.path.join(path, store.FEATURES)):
      found = store.open_store(path)
      wanted = [os.path.join(prefix, name) for name in names]
      rows = _rows(found.names, wanted, path)
      break
  else:
    found = _open_tree(root, folder, names)
    rows = np.arange(len(names))
  if found.features.ndim not in (2, 3) or found.features.dtype.kind != 'f':
    raise errors.UserError(
      f'The features of {printable(names[0])} in {place} are '
      f'{found.features.dtype} of shape {found.features.shape[1:]}; expected '
      'are floating-point numbers of shape [d], or [2, d] with those of the '
      'mirror image.'
    )
  made = fusion.FLIPS.get(found.meta.get('flip', ''), 'of one .npy an image')
  if found.features.ndim == 3:
    made = fusion.FLIPS[flip]
  model = found.meta.get('model')
  return Saved(
    found.features,
    rows,
    f'{made}, as saved' + (f' of {model}' if model else ''),
  )


def _rows(there: Sequence[str], names: Sequence[str], place: str):
  """Where the images `names` are among `there`."""
  row_of = {name: row for row, name in enumerate(there)}
  missing = [name for name in names if name not in row_of]
  if missing:
    raise errors.UserError(
      f'{len(missing)} of {len(names)} images have no features in {place}:\n'
      f'{first_lines(missing)}\nAre these the features of this list?'
    )
  return np.array([row_of[name] for name in names])


def _open_tree(root, folder, names):
  place = os.path.join(root, folder)
  if not os.path.isdir(place):
    raise errors.UserError(
      f'There is no folder {place}: expected are the features of the images, a '
      'store or one .npy an image.'
    )
  made_as_one = (store.META, store.UNFINISHED)
  if any(os.path.exists(os.path.join(root, x)) for x in made_as_one):
    return store.open_tree(root, [os.path.join(folder, x) for x in names])
  return store.open_tree(place, names)
