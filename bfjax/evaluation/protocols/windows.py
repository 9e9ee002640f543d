"""Pieces of an ROC around some ranks, and which of their points counts.

What the points are is told in `bfjax.evaluation.protocols.roc`.
"""

import math
from typing import NamedTuple

import numpy as np


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
  # An exact score has the rank of a rounded one that differs by at most slack.
  return [
    (
      max(float(parted[low]) - 2 * slack, least) if low >= 0 else least,
      float(parted[high]) + 2 * slack if high <= last else math.inf,
    )
    for low, high in zip(lows, highs, strict=True)
  ]


def window(top, low, high, exact, slack) -> Window:
  """The window of pairs that score from `low` to `high`."""
  number = top.scores.dtype.type
  low, high = float(number(low)), float(number(high))
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


def nearest(far: float, piece: Window, num_negatives: int) -> int | None:
  """Positives accepted at the nearest point; None if it may lie elsewhere."""
  if not len(piece.values):
    return None
  _, accepted, true, is_first, is_last = piece
  is_corner = np.ones(len(true), bool)
  is_corner[1:-1] = (np.diff(accepted, 2) != 0) | (np.diff(true, 2) != 0)
  # What the outermost points are depends on their neighbours outside.
  is_corner[0] &= is_first
  is_corner[-1] &= is_last
  fars = accepted / num_negatives
  distances = np.where(is_corner, np.abs(fars - far), np.inf)
  i = len(true) - 1 - int(np.argmin(distances[::-1]))
  distance, found = distances[i], int(true[i])
  if is_first and far < distance:
    distance, found = far, 0
  settled_above = is_first or far - fars[0] > distance
  settled_below = is_last or fars[-1] - far > distance
  return found if settled_above and settled_below else None


def nearer_end(
  far: float,
  piece: Window,
  top: Top,
  num_positives: int,
  num_negatives: int,
  slack: float,
) -> int | None:
  """As `nearest`, within a long run of negatives; None if it cannot tell.

  All points of a run between two positives accept as many positives, its last
  one excepted, from where more are accepted at the same FAR. So that number
  is found without looking at the run if its beginning is nearer than its end.
  """
  if not len(piece.values) or piece.true[0] != piece.true[-1]:
    return None
  found = int(piece.true[0])
  if found == num_positives:
    return found
  positives = np.sort(np.compress(top.same, top.scores))[::-1]
  negatives = np.compress(~top.same, top.scores)
  # Both ends as early as they may be: scores of both kinds are off by slack.
  begin, floor = 0, top.least
  if found:
    begin = np.count_nonzero(negatives >= positives[found - 1] + 2 * slack)
  if found < len(positives):
    floor = positives[found]
  end = np.count_nonzero(negatives > floor + 2 * slack)
  nearer = end / num_negatives - far > far - begin / num_negatives
  return found if nearer else None


def conservative(far: float, piece: Window, num_negatives: int) -> int | None:
  """Positives accepted with a FAR of at most `far`; None if it cannot tell."""
  _, accepted, true, is_first, is_last = piece
  count = np.count_nonzero(accepted / num_negatives <= far)
  if count == len(true) and not is_last:
    return None
  if not count:
    return 0 if is_first else None
  return int(true[count - 1])
