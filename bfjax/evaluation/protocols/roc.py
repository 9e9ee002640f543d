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
pairs above an estimated quantile are taken, and partitioned at the edges of
windows around the ranks N x. A window that does not settle which point it is
is widened, a quantile that turns out too high lowered: the result is exact,
ties included, and does not depend on the order of the pairs. Scores that come
rounded, out of float32 products, are computed exactly where they matter.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bfjax.evaluation.protocols import windows

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_SAMPLE = 65536
_SURPLUS = 1.05
# Negatives on either side of a rank that are sorted at first.
_HALF_WINDOW = 256


class Point(NamedTuple):
  """A threshold, the highest one with its TAR.

  Attributes:
    far: share of negatives that are accepted.
    tar: share of positives that are accepted.
    threshold: the lowest score of an accepted positive; infinite if there is
      none.
  """

  far: float
  tar: float
  threshold: float


class Rate(NamedTuple):
  """What an ROC has at the false accept rate `target`; see above.

  The TAR of each is that of the point defined above, but the point is the
  first one with this TAR: its FAR may be lower.
  """

  target: float
  nearest: Point
  conservative: Point


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
  _check(scores, num_positives, num_negatives)
  share = _SURPLUS * max(fars)
  while True:
    top = _top(scores, same, share)
    found = _rates(top, num_positives, num_negatives, fars, exact, slack)
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
  scores = np.concatenate([positives, negatives])
  _check(scores, len(positives), min(len(negatives), num_negatives))
  same = np.arange(len(scores)) < len(positives)
  least = -np.inf
  if len(negatives) < num_negatives:
    # Of negatives that score as the lowest, some may be missing.
    least = float(np.nextafter(negatives.min(), np.inf))
    same, scores = same[scores >= least], scores[scores >= least]
  top = windows.Top(scores, same, np.arange(len(scores)), least)
  found = _rates(top, len(positives), num_negatives, fars, None, 0.0)
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
  ranks = np.geomspace(1, len(negatives), max_points - 2)
  ranks = np.unique(np.r_[0, np.round(ranks).astype(np.int64)])
  ranks, ends = ranks[ranks < len(negatives)], []
  thresholds = negatives[len(negatives) - 1 - ranks]
  if total == len(negatives):
    ends = [1.0]
  far = len(negatives) - np.searchsorted(negatives, thresholds, 'right')
  tar = len(positives) - np.searchsorted(positives, thresholds, 'right')
  far, keep = np.unique(far / total, return_index=True)
  return np.r_[far, ends], np.r_[tar[keep] / len(positives), ends]


def _check(scores, num_positives, num_negatives) -> None:
  if not num_positives or not num_negatives:
    raise ValueError(f'{num_positives} positives, {num_negatives} negatives')
  with np.errstate(invalid='ignore'):
    if np.isnan(np.max(scores)):
      raise ValueError('a score is NaN')


def _top(scores, same, share: float) -> windows.Top:
  """All pairs from some score on: about the highest `share` of them."""
  if share >= 0.5:
    return windows.Top(scores, same, np.arange(len(scores)), -np.inf)
  sample = scores[:: max(len(scores) // _SAMPLE, 1)]
  rank = math.floor((1 - share) * len(sample))
  least = np.partition(sample, rank)[rank]
  is_high = scores >= least
  # `compress` is several times as fast as an index by a mask.
  return windows.Top(
    np.compress(is_high, scores),
    np.compress(is_high, same),
    np.flatnonzero(is_high),
    float(least),
  )


def _rates(top, num_positives, num_negatives, fars, exact, slack):
  """The rates; None if pairs below the top ones may matter."""
  negatives = np.compress(~top.same, top.scores)
  ranks = [min(round(far * num_negatives), num_negatives - 1) for far in fars]
  if max(ranks) >= len(negatives):
    return None
  found, half = {}, _HALF_WINDOW
  pending = dict(zip(fars, ranks, strict=True))
  while pending:
    bounds = windows.bounds(
      negatives, top.least, list(pending.values()), half, slack
    )
    for far, (low, high) in zip(list(pending), bounds, strict=True):
      window = windows.window(top, low, high, exact, slack)
      counts = _accepted(far, window, top, num_positives, num_negatives, slack)
      if None not in counts:
        found[far] = counts
        del pending[far]
      elif high == math.inf and low == top.least > -math.inf:
        return None
    half *= 4
  positives = np.sort(np.compress(top.same, top.scores))
  return tuple(
    Rate(
      far,
      *(
        _point(n, top, positives, num_positives, num_negatives, exact, slack)
        for n in found[far]
      ),
    )
    for far in fars
  )


def _accepted(far, window, top, num_positives, num_negatives, slack):
  """How many positives both points accept; None where it cannot be told."""
  nearest = windows.nearest(far, window, num_negatives)
  if nearest is None:
    nearest = windows.nearer_end(
      far, window, top, num_positives, num_negatives, slack
    )
  return nearest, windows.conservative(far, window, num_negatives)


def _point(count, top, positives, num_positives, num_negatives, exact, slack):
  """The highest threshold that accepts `count` positives."""
  if not count:
    return Point(0.0, 0.0, math.inf)
  score = float(positives[len(positives) - count])
  window = windows.window(
    top, score - 4 * slack, score + 4 * slack, exact, slack
  )
  i = np.searchsorted(window.true, count)
  return Point(
    float(window.accepted[i] / num_negatives),
    count / num_positives,
    float(window.values[i]),
  )
