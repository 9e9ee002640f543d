"""Pieces of an ROC around some ranks, and which of their points counts.

What the points are is told in `bfjax.evaluation.roc`.
"""

import math
from typing import NamedTuple

import numpy as np


class Point(NamedTuple):
  """A point of an ROC.

  Attributes:
    far: share of negatives that are accepted.
    tar: share of positives that are accepted.
    threshold: the lowest score that is accepted; infinite if none is.
  """

  far: float
  tar: float
  threshold: float


class Top(NamedTuple):
  """The pairs that score `least` or more: scores, kinds, places in the list."""

  scores: np.ndarray
  same: np.ndarray
  pairs: np.ndarray
  least: float


class Window(NamedTuple):
  """The points of the ROC with thresholds in some interval, descending.

  Attributes:
    values: the distinct scores in it.
    accepted: how many negatives score as much or more.
    true: how many positives do.
    is_first: no pair scores higher.
    is_last: no pair scores lower.
  """

  values: np.ndarray
  accepted: np.ndarray
  true: np.ndarray
  is_first: bool
  is_last: bool


def bounds(negatives, least, ranks, half: int, slack: float):
  """Scores (lowest, highest) of windows: `half` ranks to either side, or more.

  Rank 0 is the highest. Infinite where there are not as many.
  """
  last = len(negatives) - 1
  lows = [last - rank - half for rank in ranks]
  highs = [last - rank + half for rank in ranks]
  inner = {i for i in (*lows, *highs) if 0 <= i <= last}
  parted = np.partition(negatives, sorted(inner)) if inner else negatives
  number = negatives.dtype.type
  # An exact score has the rank of a rounded one that differs by at most slack.
  return [
    (
      float(max(number(parted[low] - 2 * slack), least))
      if low >= 0
      else float(least),
      float(number(parted[high] + 2 * slack)) if high <= last else math.inf,
    )
    for low, high in zip(lows, highs, strict=True)
  ]


def window(top, low, high, exact, slack) -> Window:
  """The window of pairs that score from `low` to `high`."""
  is_above = top.scores > high
  inside = np.flatnonzero((top.scores >= low) & ~is_above)
  scores = exact(top.pairs[inside]) if exact else top.scores[inside]
  same = top.same[inside]
  positives, negatives = np.sort(scores[same]), np.sort(scores[~same])
  # Pairs outside score less than all of these, or more.
  settled = (scores >= low + slack) & (scores <= high - slack)
  values = np.unique(scores[settled])[::-1]
  above, above_true = np.count_nonzero(is_above), 0
  if above:
    above_true = np.count_nonzero(np.compress(is_above, top.same))
  accepted = len(negatives) - np.searchsorted(negatives, values, 'left')
  true = len(positives) - np.searchsorted(positives, values, 'left')
  return Window(
    values,
    accepted + (above - above_true),
    true + above_true,
    high == math.inf,
    low == -math.inf,
  )


def nearest(far, piece, num_positives, num_negatives) -> Point | None:
  """The nearest point of the ROC; None if a wider window may hold it."""
  if not len(piece.values):
    return None
  values, accepted, true, is_first, is_last = piece
  is_corner = np.ones(len(values), bool)
  is_corner[1:-1] = (np.diff(accepted, 2) != 0) | (np.diff(true, 2) != 0)
  # What the outermost values are depends on their neighbours outside.
  is_corner[0] &= is_first
  is_corner[-1] &= is_last
  fars = accepted / num_negatives
  distances = np.where(is_corner, np.abs(fars - far), np.inf)
  i = len(values) - 1 - int(np.argmin(distances[::-1]))
  distance = distances[i]
  point = Point(fars[i], true[i] / num_positives, values[i])
  if is_first and far < distance:
    point, distance = Point(0.0, 0.0, math.inf), far
  settled_above = is_first or far - fars[0] > distance
  settled_below = is_last or fars[-1] - far > distance
  if not (settled_above and settled_below):
    return None
  return Point(*map(float, point))


def conservative(far, piece, num_positives, num_negatives) -> Point | None:
  """The highest TAR of thresholds with a FAR of at most `far`; or None."""
  values, accepted, true, is_first, is_last = piece
  count = np.count_nonzero(accepted / num_negatives <= far)
  if count == len(values) and not is_last:
    return None
  if not count:
    return Point(0.0, 0.0, math.inf) if is_first else None
  return Point(
    float(accepted[count - 1] / num_negatives),
    float(true[count - 1] / num_positives),
    float(values[count - 1]),
  )
