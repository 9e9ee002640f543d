"""True accept rates at fixed false accept rates.

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

Only the highest scores are sorted, and more of them where these do not settle
a point. Rounded scores, of float32 products, are computed exactly in windows
around the ranks that matter, widened until the point is settled: the result is
exact, ties included, and does not depend on the order of the pairs.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Negatives that are sorted at first: what is aimed at and some more.
_SURPLUS, _SPARE = 1.1, 4096
# Pairs on either side of a rank whose scores are looked at first.
_HALF_WINDOW = 256


class Point(NamedTuple):
  """The highest threshold with its TAR: the lowest accepted positive score."""

  far: float
  tar: float
  threshold: float  # infinite where no positive is accepted


class Rate(NamedTuple):
  """What an ROC has at the false accept rate `target`; see above.

  Of points with one TAR, each is the first: its FAR may be lower.
  """

  target: float
  nearest: Point
  conservative: Point

  def points(self) -> dict[str, Point]:
    """Name of a score -> the point whose TAR it is; see `score_names`."""
    both = self.nearest, self.conservative
    return dict(zip(score_names(self.target), both, strict=True))


def score_names(far: float) -> tuple[str, str]:
  """('tar@far=1e-4', 'tar@far<=1e-4'): nearest to a rate, and conservative."""
  number = np.format_float_scientific(far, trim='-', exp_digits=1)
  return f'tar@far={number}', f'tar@far<={number}'


def rates(
  scores: np.ndarray,
  same: np.ndarray,
  fars: Sequence[float] = FARS,
  *,
  exact: Callable[[np.ndarray], np.ndarray] | None = None,
  slack: float = 0.0,
) -> tuple[Rate, ...]:
  """Reads the ROC of scored pairs at some false accept rates.

  Args:
    scores: float [n], the higher the more alike; no NaN.
    same: bool [n], whether the two of a pair are one person.
    fars: the rates aimed at, each between 0 and 1.
    exact: gives the scores that count, float64 [k], of the pairs int [k];
      None if they are `scores`. It is asked for few of them.
    slack: bounds |scores - exact scores|.

  Returns:
    a `Rate` for each of `fars`, in their order.

  Raises:
    ValueError: if a score is NaN, or there are no pairs of one kind.
  """
  num_positives = int(np.count_nonzero(same))
  num_negatives = len(scores) - num_positives
  count = int(_SURPLUS * max(fars) * num_negatives) + _SPARE + num_positives
  while True:
    is_part = count < len(scores)
    below = np.partition(scores, -count)[-count] if is_part else None
    ranked = Ranked(scores, same, num_negatives, below, exact, slack)
    found = tuple(map(ranked.rate, fars))
    if None not in found:
      return found  # type: ignore[return-value]
    count *= 2


def num_negatives_needed(num_negatives: int, far: float) -> int:
  """How many of the highest negative scores `rate_of_highest` has to know."""
  return int(min(num_negatives, 4 * np.ceil(far * num_negatives) + _SPARE))


def rate_of_highest(
  positives: np.ndarray, highest: np.ndarray, num_negatives: int, far: float
) -> Rate:
  """As `rates`, where only the highest negative scores are at hand.

  Args:
    positives: float [p], all positive scores.
    highest: float [m], the m highest negative scores in any order.
    num_negatives: how many negatives there are, m or more.
    far: the rate aimed at, between 0 and 1.

  Raises:
    ValueError: as `rates`, or if m is less than `num_negatives_needed`.
  """
  below, needed = None, num_negatives_needed(num_negatives, far)
  if len(highest) < needed:
    raise ValueError(f'{len(highest)} highest negatives, {needed} needed')
  if len(highest) < num_negatives:
    # They stand for the negatives left out. Their rate is over 4 far: further
    # from far than 0 is, so that none of them is the nearest.
    below, *lower = np.finfo(float).min * np.array([0.75, 0.5, 0.25])
    highest = np.concatenate([highest, lower])
  scores = np.concatenate([positives, highest])
  same = np.arange(len(scores)) < len(positives)
  return Ranked(scores, same, num_negatives, below).rate(far)  # type: ignore[return-value]


class Points(NamedTuple):
  """Some consecutive points of an ROC, from the highest threshold down."""

  thresholds: np.ndarray  # distinct scores; infinite for the point (0, 0)
  accepted: np.ndarray  # how many negatives score as much or more
  true: np.ndarray  # how many positives do
  is_first: bool  # no pair scores higher
  is_last: bool  # no pair scores lower


class Ranked:
  """The pairs that score more than `below` (None: all), the highest first."""

  def __init__(self, scores, same, num_negatives, below, exact=None, slack=0.0):
    """Sorts the pairs; arguments as of `rates`.

    Raises:
      ValueError: if a score is NaN, or there are no pairs of one kind.
    """
    self._num_negatives = num_negatives
    self._num_positives = int(np.count_nonzero(same))
    if self._num_positives in (0, len(same)):
      raise ValueError(f'{self._num_positives} positives of {len(same)} pairs')
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

  def rate(self, far: float) -> Rate | None:
    """What there is at `far`; None where pairs left out may matter."""
    rank = min(round(far * self._num_negatives), self._num_negatives - 1)
    place = int(np.searchsorted(self._accepted, rank, 'right'))
    half, high, low = _HALF_WINDOW, 0.0, 0.0
    while place < len(self._true) and (high, low) != (math.inf, -math.inf):
      first, last, high, low = place - half, place + half, math.inf, -math.inf
      if first >= 0:
        high = 2 * self._slack - self._rising[first]
      if last < len(self._rising):
        low = -self._rising[last] - 2 * self._slack
      if counts := self._counts(far, self.points(high, low)):
        return Rate(far, *map(self._point, counts))
      half *= 4
    return None

  def points(self, high: float, low: float) -> Points:
    """Points of the pairs that score from `high` down to `low`.

    They are at exact scores; where other pairs may score there too, left out.
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
    found = [x[is_point] for x in (scores, accepted, true)]
    if not first:
      found = [np.r_[x] for x in zip((math.inf, 0, 0), found, strict=True)]
    return Points(*found, not first, last == len(self._next))  # type: ignore[call-arg]

  def _counts(self, far: float, points: Points) -> tuple[int, int] | None:
    """Positives accepted at the nearest and at the conservative point.

    None where one of the two may lie outside of `points`.
    """
    fars, true = points.accepted / self._num_negatives, points.true
    at_most = np.count_nonzero(fars <= far)
    if not at_most or (at_most == len(fars) and not points.is_last):
      return None
    conservative = int(true[at_most - 1])
    if conservative == self._num_positives:
      # The first point with all positives is a corner, and no lower one nearer.
      return conservative, conservative
    is_corner = np.ones(len(true), bool)
    is_corner[1:-1] = np.any(np.diff(points[1:3], 2) != 0, axis=0)
    # (0, 0) and the first score are corners; what other outermost points are
    # depends on their neighbours outside.
    is_corner[: 2 if points.is_first else 1] = points.is_first
    is_corner[-1] &= points.is_last
    distances = np.where(is_corner, np.abs(fars - far), np.inf)
    i = len(true) - 1 - int(np.argmin(distances[::-1]))
    settled_above = points.is_first or far - fars[0] > distances[i]
    settled_below = points.is_last or fars[-1] - far > distances[i]
    settled = settled_above and settled_below
    return (int(true[i]), conservative) if settled else None

  def _point(self, count: int) -> Point:
    """The highest threshold that accepts `count` positives."""
    if not count:
      return Point(0.0, 0.0, math.inf)
    score = -self._rising[np.searchsorted(self._true, count) - 1]
    points = self.points(score + 4 * self._slack, score - 4 * self._slack)
    i = np.searchsorted(points.true, count)
    far = int(points.accepted[i]) / self._num_negatives
    tar = count / self._num_positives
    return Point(far, tar, float(points.thresholds[i]))
