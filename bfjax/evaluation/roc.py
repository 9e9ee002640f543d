"""True accept rates at fixed false accept rates, without sorting all scores.

With P positive (same person) and N negative pairs, a threshold v accepts the
scores >= v:

    FAR(v) = #{negative >= v} / N        TAR(v) = #{positive >= v} / P

and the ROC consists of (0, 0) and of one point for each distinct score. Two
numbers are given for each FAR x aimed at:

- nearest: as InsightFace's IJB scripts read it off `roc_curve` of scikit-learn,
  reversed: of the points whose FAR is nearest to x, the one with the highest
  TAR; nothing is interpolated. By default `roc_curve` leaves out inner points
  of straight pieces in equal steps (a point whose two neighbours lie at equal
  distances, in negatives and in positives), and so does this. The FAR of the
  point found may well exceed x.
- conservative: the highest TAR of any threshold with FAR <= x; all points
  count.

Only the highest scores matter to this, and of these only some near each x:
negatives above an estimated quantile are taken, and partitioned at the edges
of windows around the ranks N x. A window that does not settle which point is
nearest is widened, a quantile that turns out too high lowered: the result is
exact, ties included, and does not depend on the order of the pairs.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_SAMPLE = 65536
_SURPLUS = 1.05
# Negatives on either side of a rank that are sorted at first.
_HALF_WINDOW = 1024


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


class Rate(NamedTuple):
  """What an ROC has at the false accept rate `target`; see above."""

  target: float
  nearest: Point
  conservative: Point


class _Window(NamedTuple):
  """Sorted negatives of adjacent ranks: `above` others are at least as high.

  `is_first`, `is_last`: no negative is higher than these, none is lower.
  """

  negatives: np.ndarray
  above: int
  is_first: bool
  is_last: bool


def rates(
  scores: np.ndarray, same: np.ndarray, fars: Sequence[float] = FARS
) -> tuple[Rate, ...]:
  """Reads the ROC of scored pairs at some false accept rates.

  Args:
    scores: float [n], the higher the more alike; no NaN.
    same: bool [n], whether the two of a pair are one person.
    fars: the rates aimed at, each between 0 and 1.

  Returns:
    a `Rate` for each of `fars`, in their order.

  Raises:
    ValueError: if a score is NaN, or there are no pairs of one kind.
  """
  positives = np.sort(scores[np.flatnonzero(same)])
  num_negatives = len(scores) - len(positives)
  _check(positives, scores, num_negatives)
  share = _SURPLUS * max(fars)
  while True:
    highest = _highest_negatives(scores, same, share)
    found = _rates(positives, highest, num_negatives, fars)
    if found is not None:
      return found
    share *= 2


def rates_of_highest(
  positives: np.ndarray,
  negatives: np.ndarray,
  num_negatives: int,
  fars: Sequence[float] = FARS,
) -> tuple[Rate, ...]:
  """As `rates`, where only the highest negative scores are at hand.

  Args:
    positives: float [p], all positive scores; no NaN.
    negatives: float [m], the m highest negative scores in any order; no NaN.
    num_negatives: how many negatives there are, m or more.
    fars: the rates aimed at, each between 0 and 1.

  Raises:
    ValueError: if there are none of a kind, a score is NaN, or m negatives do
      not settle what the rates are: twice `num_negatives * max(fars)` nearly
      always do.
  """
  positives = np.sort(positives)
  _check(positives, negatives, num_negatives)
  found = _rates(positives, negatives, num_negatives, fars)
  if found is None:
    raise ValueError(
      f'the highest {len(negatives)} of {num_negatives} negatives do not'
      f' settle the rates at FAR {max(fars)}'
    )
  return found


def curve(
  positives: np.ndarray,
  negatives: np.ndarray,
  num_negatives: int | None = None,
  max_points: int = 2000,
) -> tuple[np.ndarray, np.ndarray]:
  """The ROC thinned for a picture with a logarithmic axis of FAR.

  Of the thresholds just above a negative score, ranks spaced evenly on a
  logarithmic axis are kept, the first negatives one by one.

  Args:
    positives: float [p], all positive scores; no NaN.
    negatives: float [m], all negative scores or the m highest; no NaN.
    num_negatives: how many negatives there are; default m.
    max_points: how many points at most.

  Returns:
    (FAR, TAR), float64 [points], both rising.
  """
  positives, negatives = np.sort(positives), np.sort(negatives)
  total = len(negatives) if num_negatives is None else num_negatives
  ranks = np.geomspace(1, len(negatives), max_points - 1)
  ranks = np.unique(np.r_[0, np.round(ranks).astype(np.int64)])
  ranks, ends = ranks[ranks < len(negatives)], []
  thresholds = negatives[len(negatives) - 1 - ranks]
  if total == len(negatives):
    ends = [1.0]
  far = len(negatives) - np.searchsorted(negatives, thresholds, 'right')
  tar = len(positives) - np.searchsorted(positives, thresholds, 'right')
  far, keep = np.unique(far / total, return_index=True)
  return np.r_[far, ends], np.r_[tar[keep] / len(positives), ends]


def _check(positives, others, num_negatives) -> None:
  if not len(positives) or not num_negatives or not len(others):
    raise ValueError(f'{len(positives)} positives, {num_negatives} negatives')
  # Sorting has brought a NaN of the positives to the end.
  with np.errstate(invalid='ignore'):
    if np.isnan(positives[-1]) or np.isnan(np.max(others)):
      raise ValueError('a score is NaN')


def _highest_negatives(scores, same, share: float) -> np.ndarray:
  """All negatives from some score on: about the highest `share` of them."""
  if share >= 0.5:
    return np.compress(~same, scores)
  sample = scores[:: max(len(scores) // _SAMPLE, 1)]
  rank = math.floor((1 - share) * len(sample))
  is_high = scores >= np.partition(sample, rank)[rank]
  # Several times as fast as an index by a mask.
  high = np.compress(is_high, scores)
  return np.compress(~np.compress(is_high, same), high)


def _rates(positives, negatives, num_negatives, fars):
  """`rates_of_highest`, with sorted positives; None if it cannot be told."""
  ranks = [min(round(far * num_negatives), num_negatives - 1) for far in fars]
  if max(ranks) >= len(negatives):
    return None
  found, half = {}, _HALF_WINDOW
  pending = dict(zip(fars, ranks, strict=True))
  while pending:
    windows = _windows(negatives, num_negatives, pending.values(), half)
    for far, window in zip(list(pending), windows, strict=True):
      nearest = _nearest(far, positives, window, num_negatives)
      if nearest is not None:
        found[far] = Rate(
          far,
          nearest,
          _conservative(far, positives, negatives, window, num_negatives),
        )
        del pending[far]
      elif len(window.negatives) == len(negatives):
        return None
    half *= 8
  return tuple(found[far] for far in fars)


def _windows(negatives, num_negatives, ranks, half: int) -> list[_Window]:
  """Windows of `half` negatives on either side of the ranks, 0 the highest."""
  last = len(negatives) - 1
  bounds = [
    (max(last - rank - half, 0), min(last - rank + half, last))
    for rank in ranks
  ]
  parted = np.partition(negatives, sorted({x for pair in bounds for x in pair}))
  return [
    _Window(
      np.sort(parted[low : high + 1]),
      last - high,
      high == last,
      low == 0 and len(negatives) == num_negatives,
    )
    for low, high in bounds
  ]


def _nearest(far, positives, window, num_negatives) -> Point | None:
  """The nearest point of the ROC; None if a wider window may hold it."""
  negatives = window.negatives
  # Above the highest of the window and from the lowest on down, there may be
  # negatives that it lacks.
  low = -np.inf if window.is_last else negatives[0]
  high = np.inf if window.is_first else negatives[-1]
  some = positives[
    np.searchsorted(positives, low, 'right') : np.searchsorted(
      positives, high, 'right'
    )
  ]
  values = np.unique(np.concatenate([negatives[negatives > low], some]))[::-1]
  if len(values) < 3 and not (window.is_first and window.is_last):
    return None
  accepted = len(negatives) - np.searchsorted(negatives, values, 'left')
  accepted += window.above
  true = len(positives) - np.searchsorted(positives, values, 'left')
  is_corner = np.ones(len(values), bool)
  is_corner[1:-1] = (np.diff(accepted, 2) != 0) | (np.diff(true, 2) != 0)
  # What the outermost values are depends on their neighbours outside.
  is_corner[0], is_corner[-1] = window.is_first, window.is_last
  fars = accepted / num_negatives
  distances = np.where(is_corner, np.abs(fars - far), np.inf)
  i = len(values) - 1 - int(np.argmin(distances[::-1]))
  distance = distances[i]
  point = Point(fars[i], true[i] / len(positives), values[i])
  if window.is_first and far < distance:
    point, distance = Point(0.0, 0.0, np.inf), far
  settled_above = window.is_first or far - fars[0] > distance
  settled_below = window.is_last or fars[-1] - far > distance
  if not (settled_above and settled_below):
    return None
  return Point(*map(float, point))


def _conservative(far, positives, negatives, window, num_negatives) -> Point:
  """The highest TAR of all thresholds whose FAR is at most `far`."""
  most = math.floor(far * num_negatives)
  # The quotient is what is compared, and the product may be rounded.
  most += (most + 1) / num_negatives <= far
  most -= most / num_negatives > far
  if most >= num_negatives:
    return Point(1.0, 1.0, float(min(positives[0], negatives.min())))
  # The highest score that would be one too many; the window holds its rank.
  refused = window.negatives[len(window.negatives) - 1 - most + window.above]
  true = positives[np.searchsorted(positives, refused, 'right') :]
  false = np.compress(negatives > refused, negatives)
  lowest = min((x.min() for x in (true, false) if len(x)), default=np.inf)
  return Point(
    len(false) / num_negatives, len(true) / len(positives), float(lowest)
  )
