"""Saved features of the images of IJB, instead of a network.

They are a .npy file with a row for each line of the list of templates and
media, in its order; or a store or a tree (see
`bfjax.evaluation.features.saved`), whose rows are found by the names of images,
with or without the folder of images.
"""

import os
from typing import Any

import numpy as np

from bfjax import errors
from bfjax.evaluation.features import saved, store
from bfjax.evaluation.protocols import templates
from bfjax.text import printable


def find(
  path: str, images: str, names, pooling: templates.Pooling
) -> tuple[Any, str]:
  """Finds features, memory-mapped, that the flags of a protocol fit.

  Features [n, 2, d], of the image and its mirror image, fit any. Features
  [n, d] are taken as they are: what a store says of them has to agree with
  `flip`; where nothing is said (a .npy, a tree), `flip` is what the user says.

  Args:
    path: the .npy, or the folder.
    images: the folder of the images, relative to the data set.
    names: `columns.Names` of the images.
    pooling: the flags.

  Returns:
    the features, [n, d] or [n, 2, d], rows by an array of row numbers; and
    what they are, in words.

  Raises:
    UserError: if they are missing, are no such array, or do not fit the list
      or the flags.
  """
  if os.path.isdir(path):
    features, meta, in_words = _of_folder(path, images, names, pooling)
  else:
    features, meta, in_words = _of_file(path), {}, f'{path}, as saved'
  shape = printable(path), features.dtype, features.shape
  if features.dtype.kind != 'f' or not (
    features.ndim == 2 or (features.ndim == 3 and features.shape[1] == 2)
  ):
    raise errors.UserError(
      f'{shape[0]} holds {shape[1]} {shape[2]}; expected are floating-point '
      'numbers [images, d], or [images, 2, d] with features of mirror images.'
    )
  if len(features) != len(names):
    raise errors.UserError(
      f'{shape[0]} has {len(features)} rows, but {len(names)} images are '
      'listed. Compute the features of this list.'
    )
  if meta.get('flip') == 'joined' and features.ndim == 2:
    features = _Halves(features)
  _check_flags(path, features, meta, pooling)
  if features.ndim == 2 and 'flip' not in meta:
    in_words += f', said to be {templates.FLIPS[pooling.flip]}'
  return features, in_words


def _of_file(path):
  try:
    return np.load(path, mmap_mode='r')
  except (OSError, ValueError, EOFError) as error:
    raise errors.UserError(
      f'Cannot read the features {printable(path)}: {error}. Expected is '
      'a .npy file, or the folder of a store.'
    ) from error


def _of_folder(path, images, names, pooling):
  paths = [names[row] for row in range(len(names))]
  folder, meta = '', {}
  if os.path.exists(os.path.join(path, store.FEATURES)):
    there = store.open_store(path)
    meta = there.meta
    if len(there.names) and there.names[0].startswith(f'{images}/'):
      # `saved.find` looks in this folder of the store.
      folder = images
  found = saved.find(path, folder, paths, pooling.flip)
  return _Rows(found.features, np.asarray(found.rows)), meta, found.in_words


def _check_flags(path, features, meta, pooling) -> None:
  flip = meta.get('flip', pooling.flip)
  if features.ndim == 2 and flip != pooling.flip:
    raise errors.UserError(
      f'The features in {printable(path)} are of flip {flip!r}, and '
      f'flip={pooling.flip!r} is asked for. Give flip={flip!r}, or embed with '
      "flip 'both', which serves any."
    )
  if meta.get('normalised') and (
    features.ndim == 3 or pooling.norm != 'removed'
  ):
    raise errors.UserError(
      f'The features in {printable(path)} are normalised: their length '
      f'is lost, so norm={pooling.norm!r} and flip={pooling.flip!r} cannot be '
      "computed from them. Embed without normalisation, or give norm='removed' "
      'if the features are fused already.'
    )


class _Rows:
  """Some rows of an array, by a slice or an array of row numbers."""

  def __init__(self, features, rows):
    self._features, self._rows = features, rows
    self.shape = (len(rows), *features.shape[1:])
    self.dtype, self.ndim = features.dtype, features.ndim

  def __len__(self):
    return self.shape[0]

  def __getitem__(self, rows):
    return np.asarray(self._features[self._rows[rows]])


class _Halves(_Rows):
  """Rows [2 d] as [2, d]."""

  def __init__(self, features):
    super().__init__(features, np.arange(len(features)))
    self.shape, self.ndim = (len(features), 2, features.shape[1] // 2), 3

  def __getitem__(self, rows):
    found = super().__getitem__(rows)
    return found.reshape(len(found), 2, -1)
