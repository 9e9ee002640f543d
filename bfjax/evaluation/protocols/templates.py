"""Templates: sets of images of one person, as one vector each.

An image x of medium m (a photograph, or the video that it is a frame of) has

    v = f(x) + f(mirror x)   flip 'sum'           v = f(x)   flip 'none'
    v / |v|                  norm 'removed'       v          norm 'kept'
    v * detector score       detector 'weighted'  v          detector 'ignored'

taken in this order, and a template, of the media M,

    t = u / |u|,   u = sum over m of M of (mean of v over its images of m)

as in InsightFace's IJB scripts. A vector without a length (0) stays 0. Sums
are in float64, in an order that the numbers of templates and media and `rank`
decide, not the order of rows.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.evaluation.protocols import fusion

FLAGS = {
  'flip': {'sum': 'f(x) + f(mirror x)', 'none': 'f(x) alone'},
  'norm': {
    'kept': 'the length of image features kept',
    'removed': 'image features normalised',
  },
  'detector': {
    'weighted': 'image features times detector score',
    'ignored': 'detector scores ignored',
  },
}
_ROWS = 4096


class Pooling(NamedTuple):
  """The flags of the protocol, by their meaning; see above."""

  flip: str = 'sum'
  norm: str = 'kept'
  detector: str = 'weighted'

  def check(self) -> None:
    """Raises UserError if a flag has no such value."""
    for flag, value in self._asdict().items():
      errors.choose(flag, value, FLAGS[flag])

  def describe(self) -> str:
    """All flags with their meaning, in one line."""
    return ', '.join(
      f'{flag} {value!r} ({FLAGS[flag][value]})'
      for flag, value in self._asdict().items()
    )


def pool(
  features,
  template: np.ndarray,
  media: np.ndarray,
  detector_scores: np.ndarray | None,
  *,
  pooling: Pooling,
  num_templates: int,
  rank: np.ndarray | None = None,
  name: Callable[[int], str] = str,
) -> np.ndarray:
  """Pools the features of images into templates.

  Some thousand images are read at a time, template by template.

  Args:
    features: float [n, 2, d], f(x) and f(mirror x); or [n, d], what the flag
      `flip` says, already computed. May be memory-mapped.
    template: int [n], which template an image belongs to, from 0.
    media: int [n], the number of its medium; it counts within a template only.
    detector_scores: float [n]; None where they are ignored.
    pooling: the flags.
    num_templates: T; a template without images is the zero vector.
    rank: int [n], in which order images of one medium are summed; None for
      that of the rows.
    name: row -> what the user knows the image by.

  Returns:
    float64 [T, d], of length 1.

  Raises:
    UserError: if features are not finite; the message names the image.
  """
  rank = np.arange(len(template)) if rank is None else rank
  order = np.lexsort((rank, media, template))
  template, media = template[order], media[order]
  first_of_template = np.r_[True, template[1:] != template[:-1]]
  first_of_media = first_of_template | np.r_[True, media[1:] != media[:-1]]
  sums = np.zeros((num_templates, features.shape[-1]))
  for part in _parts(np.flatnonzero(first_of_template), len(order)):
    rows = order[part]
    vectors = _image_vectors(features, rows, pooling, name)
    if detector_scores is not None and pooling.detector == 'weighted':
      vectors *= detector_scores[rows].astype(np.float64)[:, None]
    starts = np.flatnonzero(first_of_media[part])
    means = _sums(vectors, starts)
    means /= np.diff(np.r_[starts, len(rows)])[:, None]
    owner = template[part][starts]
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    sums[owner[starts]] = _sums(means, starts)
  return fusion.normalised(sums)


def _parts(starts: np.ndarray, num_rows: int) -> list[slice]:
  """Slices of whole templates, about _ROWS rows each."""
  bounds = np.r_[starts, num_rows]
  aims = np.arange(0, num_rows + _ROWS, _ROWS)
  ends = np.unique(bounds[np.searchsorted(bounds, aims, 'right') - 1])
  return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _sums(vectors: np.ndarray, starts: np.ndarray) -> np.ndarray:
  """The sum of each run of rows, one row after the other as np.sum does it.

  np.add.reduceat rounds otherwise, and is slower for runs of one row.
  """
  sizes = np.diff(np.r_[starts, len(vectors)])
  sums = vectors[starts]
  for i in range(1, sizes.max()):
    longer = np.flatnonzero(sizes > i)
    sums[longer] += vectors[starts[longer] + i]
  return sums


def _image_vectors(features, rows, pooling, name) -> np.ndarray:
  """float64 [n, d]: v of some rows, before the detector score."""
  found = np.asarray(features[rows], np.float64)
  fusion.check_finite(found, lambda i: name(rows[i]))
  if found.ndim == 3:
    found = found[:, 0] + found[:, 1] if pooling.flip == 'sum' else found[:, 0]
  return fusion.normalised(found) if pooling.norm == 'removed' else found
