"""Pieces of an ROC around some ranks, and which of their points counts.

What the points are is told in `bfjax.evaluation.protocols.roc`.
"""

from typing import NamedTuple

import numpy as np

# Pairs on either side of a rank whose scores are looked at first.
_HALF_WINDOW = 256


class Points(NamedTuple):
  """Some consecutive points of an ROC, from the highest threshold down.

  Attributes:
    thresholds: distinct scores, descending.
    accepted: how many negatives score as much or more.
    true: how many positives do.
    is_first: no pair scores higher.
    is_last: no pair scores lower.
  """

  thresholds: np.ndarray
  accepted: np.ndarray
  true: np.ndarray
  is_first: bool
  is_last: bool


class Ranked:
  """The pairs that score more than `below` (None: all), the highest first.

  Attributes:
    num_positives: how many there are among all pairs.
    num_negatives: likewise.
  """

  def __init__(self, scores, same, num_negatives, below, exact=None, slack=0.0):
    """Sorts the pairs; arguments as of `roc.rates`.

    Raises:
      ValueError: if a score is NaN, or there are no pairs of one kind.
    """
    self.num_negatives = num_negatives
    self.num_positives = int(np.count_nonzero(same))
    if not self.num_positives or self.num_positives == len(scores):
      raise ValueError(f'{self.num_positives} positives of {len(scores)} pairs')
    with np.errstate(invalid='ignore'):
      if np.isnan(np.max(scores)):
        raise ValueError('a score is NaN')
    pairs = np.arange(len(scores))
    if below is not None:
      pairs = np.flatnonzero(scores > below)
    self._pairs = pairs[np.argsort(-scores[pairs])]
    self._rising = np.negative(scores[self._pairs], dtype=np.float64)
    self._same = same[self._pairs]
    # How many there are of a kind among the first 0, 1, 2 .. pairs.
    self._true = np.r_[0, np.cumsum(self._same)]
    self._accepted = np.arange(len(self._true)) - self._true
    # With the highest score that a pair may have that is left out.
    self._next = np.r_[self._rising, [] if below is None else -float(below)]
    self._slack, self._exact = slack, exact or scores.__getitem__

  def counts(self, far: float) -> tuple[int, int] | None:
    """How many positives are accepted at `far`, by both definitions.

    Returns:
      at the nearest point, and at the conservative one; None where pairs that
      are left out may matter.
    """
    rank = min(round(far * self.num_negatives), self.num_negatives - 1)
    place = int(np.searchsorted(self._accepted, rank, 'right'))
    half = _HALF_WINDOW
    while place < len(self._true):
      first, last = place - half, place + half
      high, low = np.inf, -np.inf
      if first >= 0:
        high = 2 * self._slack - self._rising[first]
      if last < len(self._rising):
        low = -self._rising[last] - 2 * self._slack
      points = self.points(high, low)
      fars = points.accepted / self.num_negatives
      nearest = _nearest(far, fars, points)
      if len(fars) and points.true[0] == self.num_positives and fars[0] <= far:
        nearest = self.num_positives  # as at all points from here on
      conservative = _conservative(far, fars, points)
      if None not in (nearest, conservative):
        return nearest, conservative
      if high == -low == np.inf:
        break
      half *= 4
    return None

  def points(self, high: float, low: float) -> Points:
    """Points of the pairs that score from `high` down to `low`.

    They are at exact scores; those that other pairs may score between are left
    out.
    """
    first = np.searchsorted(self._rising, -high, 'left')
    last = np.searchsorted(self._rising, -low, 'right')
    scores = self._exact(self._pairs[first:last])
    order = np.argsort(-scores)
    scores, same = scores[order], self._same[first:last][order]
    is_point = np.r_[scores[1:] != scores[:-1], True][: len(scores)]
    if first:
      is_point &= scores <= -self._rising[first - 1] - self._slack
    if last < len(self._next):
      is_point &= scores > -self._next[last] + self._slack
    true = self._true[first] + np.cumsum(same)
    accepted = first + np.arange(1, len(same) + 1) - true
    found = (x[is_point] for x in (scores, accepted, true))
    return Points(*found, not first, last == len(self._next))

  def first_with(self, count: int) -> tuple[float, int]:
    """The highest threshold that accepts `count` positives, from 1.

    Returns:
      it, and how many negatives it accepts.
    """
    score = -self._rising[np.searchsorted(self._true, count) - 1]
    points = self.points(score + 4 * self._slack, score - 4 * self._slack)
    i = np.searchsorted(points.true, count)
    return float(points.thresholds[i]), int(points.accepted[i])


def _nearest(far: float, fars: np.ndarray, points: Points) -> int | None:
  """Positives accepted at the nearest point; None if it may lie elsewhere."""
  true, is_first, is_last = points.true, points.is_first, points.is_last
  if not len(true):
    return None
  is_corner = np.ones(len(true), bool)
  is_corner[1:-1] = np.any(np.diff(points[1:3], 2) != 0, axis=0)
  # What the outermost points are depends on their neighbours outside.
  is_corner[0] &= is_first
  is_corner[-1] &= is_last
  distances = np.where(is_corner, np.abs(fars - far), np.inf)
  i = len(true) - 1 - int(np.argmin(distances[::-1]))
  distance, found = distances[i], int(true[i])
  if is_first and far < distance:
    distance, found = far, 0
  settled_above = is_first or far - fars[0] > distance
  settled_below = is_last or fars[-1] - far > distance
  return found if settled_above and settled_below else None


def _conservative(far: float, fars: np.ndarray, points: Points) -> int | None:
  """Positives accepted with a FAR of at most `far`; None if it cannot tell."""
  count = np.count_nonzero(fars <= far)
  if count == len(fars):
    return int(points.true[-1]) if points.is_last else None
  if not count:
    return 0 if points.is_first else None
  return int(points.true[count - 1])
