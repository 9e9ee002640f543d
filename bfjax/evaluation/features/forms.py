"""What features look like: fused, normalised, and in which numbers."""

from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.evaluation.protocols import fusion

FLIPS = (*fusion.FLIPS, 'both')
LAYOUTS = ('rows', 'tree')
DTYPES = ('float32', 'float16')


class Form(NamedTuple):
  """What the features are to look like.

  Attributes:
    flip: one of FLIPS, see `store`.
    normalised: whether each is divided by its Euclidean length.
    dtype: one of DTYPES.
    layout: 'rows' for a store, 'tree' for one .npy an image.
  """

  flip: str = 'sum'
  normalised: bool = False
  dtype: str = 'float32'
  layout: str = 'rows'

  def check(self) -> None:
    """Raises UserError if a value is none of those there are."""
    errors.choose('flip', self.flip, dict.fromkeys(FLIPS))
    errors.choose('type of features', self.dtype, dict.fromkeys(DTYPES))
    errors.choose('layout', self.layout, dict.fromkeys(LAYOUTS))

  def of(self, found: np.ndarray, files, first: int) -> np.ndarray:
    """Features as asked for.

    Args:
      found: float32 [n, 2, d], f(x) and f(mirror x).
      files: whose images they are of.
      first: the row of the first.

    Raises:
      UserError: if features are not finite; the image is named.
    """
    fusion.check_finite(found, lambda i: files.name(first + i))
    features, flip = found, self.flip
    if flip == 'both':
      features, flip = found.reshape(-1, found.shape[-1]), 'none'
    if self.normalised or self.flip != 'both':
      features = fusion.fuse(features, flip=flip, normalise=self.normalised)
    if self.flip == 'both':
      features = features.reshape(found.shape)
    with np.errstate(over='ignore'):
      features = features.astype(self.dtype)
    why = f'Too large for {self.dtype}.'
    fusion.check_finite(features, lambda i: files.name(first + i), why)
    return features
