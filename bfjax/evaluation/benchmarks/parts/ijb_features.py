"""Saved features of the images of IJB, instead of a network.

They are a .npy file with a row for each line of the list of templates and
media, in its order; or a store or a tree (see
`bfjax.evaluation.features.saved`), whose rows are found by the names of images,
with or without the folder of images.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from bfjax import errors
from bfjax.evaluation.features import saved, store
from bfjax.evaluation.protocols import templates
from bfjax.text import printable


def find(
  path: str, images: str, names: Sequence[str], pooling: templates.Pooling
) -> tuple[Any, str]:
  """Finds features, memory-mapped, that the flags of a protocol fit.

  Features [n, 2, d], of the image and its mirror image, fit any. Features
  [n, d] are taken as they are: what a store says of them has to agree with
  `flip`; where nothing is said (a .npy, a tree), `flip` is what the user says.

  Args:
    path: the .npy, or the folder.
    images: the folder of the images, relative to the data set.
    names: of the images.
    pooling: the flags.

  Returns:
    the features, [n, d] or [n, 2, d], rows by an array of row numbers; and
    what they are, in words.

  Raises:
    UserError: if they are missing, are no such array, or do not fit the list
      or the flags.
  """
  meta, in_words = {}, f'{path}, as saved'
  if os.path.isdir(path):
    features, meta, in_words = _of_folder(path, images, names, pooling)
  else:
    try:
      features = np.load(path, mmap_mode='r')
    except (OSError, ValueError, EOFError) as error:
      raise errors.UserError(
        f'Cannot read the features {printable(path)}: {error}. Expected is '
        'a .npy file, or the folder of a store.'
      ) from error
  shape = features.shape
  if features.dtype.kind != 'f' or not (
    len(shape) == 2 or (len(shape) == 3 and shape[1] == 2)
  ):
    raise errors.UserError(
      f'{printable(path)} holds {features.dtype} {shape}; expected are '
      'floating-point numbers [images, d], or [images, 2, d] with features of '
      'mirror images.'
    )
  if len(features) != len(names):
    raise errors.UserError(
      f'{printable(path)} has {len(features)} rows, but {len(names)} images '
      'are listed. Compute the features of this list.'
    )
  _check_flags(path, len(shape) == 3, meta, pooling)
  if len(shape) == 2 and 'flip' not in meta:
    in_words += f', said to be {templates.FLAGS["flip"][pooling.flip]}'
  return features, in_words


def _of_folder(path, images, names, pooling):
  folder, meta = '', {}
  if os.path.exists(os.path.join(path, store.FEATURES)):
    there = store.open_store(path)
    meta = there.meta
    if len(there.names) and there.names[0].startswith(f'{images}/'):
      # `saved.find` looks in this folder of the store.
      folder = images
  found = saved.find(path, folder, names, pooling.flip)
  return _Rows(found, meta.get('flip') == 'joined'), meta, found.in_words


def _check_flags(path, both: bool, meta, pooling) -> None:
  flip = meta.get('flip', pooling.flip)
  if not both and flip != pooling.flip:
    raise errors.UserError(
      f'The features in {printable(path)} are of flip {flip!r}, and '
      f'flip={pooling.flip!r} is asked for. Give flip={flip!r}, or embed with '
      "flip 'both', which serves any."
    )
  if meta.get('normalised') and (both or pooling.norm != 'removed'):
    raise errors.UserError(
      f'The features in {printable(path)} are normalised: their length '
      f'is lost, so norm={pooling.norm!r} and flip={pooling.flip!r} cannot be '
      "computed from them. Embed without normalisation, or give norm='removed' "
      'if the features are fused already.'
    )


class _Rows:
  """Saved features in the order of a list; joined ones [2 d] as [2, d]."""

  def __init__(self, found: saved.Saved, joined: bool):
    self._features, self._rows = found.features, found.rows
    one = found.features.shape[1:]
    if joined and len(one) == 1:
      one = (2, one[0] // 2)
    self.shape, self.dtype = (len(self._rows), *one), found.features.dtype

  def __len__(self):
    return self.shape[0]

  def __getitem__(self, rows):
    found = np.asarray(self._features[self._rows[rows]])
    return found.reshape(len(found), *self.shape[1:])
