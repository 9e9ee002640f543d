"""One feature an image, from f(x) and f(mirror x)."""

from collections.abc import Callable, Sequence

import numpy as np

from bfjax import errors
from bfjax.text import printable

FLIPS = {
  'sum': 'f(x) + f(mirror x)',
  'none': 'f(x)',
  'joined': 'f(x) joined with f(mirror x)',
}


def fuse(features: np.ndarray, *, flip: str, normalise: bool) -> np.ndarray:
  """Fuses the features of images and of their mirror images.

  What comes out is rounded once, from float64. A zero vector stays one.

  Args:
    features: float32 or float16 [n, 2, d], f(x) and f(mirror x); or [n, d],
      features that are fused already.
    flip: of `FLIPS`: 'sum', 'none' or 'joined'; without effect on [n, d].
    normalise: whether to divide by the Euclidean length.

  Returns:
    float32 [n, d], or [n, 2 d] for 'joined'.

  Raises:
    UserError: if there is no such `flip`.
  """
  errors.choose('way to fuse flips', flip, FLIPS)
  if features.ndim == 3:
    if flip == 'sum':
      features = features.sum(axis=1, dtype=np.float64)
    elif flip == 'none':
      features = features[:, 0]
    else:
      features = features.reshape(len(features), -1)
  if normalise:
    features = normalised(features.astype(np.float64))
  return features.astype(np.float32)


def normalised(vectors: np.ndarray) -> np.ndarray:
  """Vectors, float64 [n, d], divided by their lengths; zero ones stay."""
  length = np.sqrt(np.sum(np.square(vectors), axis=1, keepdims=True))
  return vectors / np.where(length > 0, length, 1.0)


def check_finite(
  features: np.ndarray,
  name: Callable[[int], str],
  why: str = 'The network has diverged or overflowed.',
) -> None:
  """Refuses features that are not finite.

  Args:
    features: float [n, ...].
    name: row -> the image, for the message.
    why: what explains it, a sentence.

  Raises:
    UserError: if there is a NaN or an infinity; it names the first row.
  """
  finite = np.isfinite(features).reshape(len(features), -1).all(axis=1)
  if not finite.all():
    raise errors.UserError(
      f'The features of the image {printable(name(int(np.argmin(finite))))} '
      f'are not finite: NaN or infinity. {why}'
    )


def in_words(flip: str, normalise: bool) -> str:
  """What `fuse` does, for the text of a protocol."""
  return FLIPS[flip] + (', normalised' if normalise else ', not normalised')


class Fused:
  """Features of some images, read and fused when they are asked for.

  It gives rows, float32, by a slice or by an array of row numbers.

  Attributes:
    shape: (rows, dimension).
  """

  def __init__(
    self,
    features,
    rows: Sequence[int],
    name: Callable[[int], str],
    *,
    flip: str,
    normalise: bool,
    zeros: Sequence[int] = (),
  ):
    """Takes where the features come from.

    Args:
      features: an array, memory-mapped or not, that has the images' features.
      rows: where in it they are, int [n].
      name: number among the n -> the image, for messages.
      flip: as in `fuse`.
      normalise: likewise.
      zeros: which of the n are the zero vector instead.
    """
    self._features, self._rows, self._name = features, np.asarray(rows), name
    self._how = {'flip': flip, 'normalise': normalise}
    self._is_zero = np.zeros(len(rows), bool)
    self._is_zero[np.asarray(zeros, int)] = True
    self.shape = len(rows), self._read(np.arange(1)).shape[1]

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, wanted) -> np.ndarray:
    """float32 [n, d].

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    if isinstance(wanted, slice):
      wanted = np.arange(*wanted.indices(len(self)))
    found = self._read(wanted)
    found[self._is_zero[wanted]] = 0.0
    return found

  def _read(self, wanted):
    where = self._rows[wanted]
    # Consecutive rows of a memory-mapped array are read as one piece.
    if len(where) and (np.diff(where) == 1).all():
      where = slice(where[0], where[-1] + 1)
    found = np.asarray(self._features[where])
    check_finite(found, lambda i: self._name(int(wanted[i])))
    return fuse(found, **self._how)
