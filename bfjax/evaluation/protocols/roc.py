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

Only the highest scores matter to this: they are sorted, and more of them where
these do not settle which point it is. Scores that come rounded, out of float32
products, are computed exactly in windows around the ranks that matter, which
are widened until the point is settled. So the result is exact, ties included,
and does not depend on the order of the pairs.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bfjax.evaluation.protocols import windows

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Negatives that are sorted at first: what is aimed at and some more.
_SURPLUS, _SPARE = 1.1, 4096


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
    below = None
    if count < len(scores):
      below = np.partition(scores, -count)[-count]
    found = _rates(
      windows.Ranked(scores, same, num_negatives, below, exact, slack), fars
    )
    if found:
      return found
    count *= 2


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
  # Of negatives that score as the lowest, some may be missing.
  below = negatives.min() if len(negatives) < num_negatives else None
  same = np.arange(len(scores)) < len(positives)
  ranked = windows.Ranked(scores, same, num_negatives, below)
  found = _rates(ranked, fars)
  if not found:
    raise ValueError(
      f'the highest {len(negatives)} of {num_negatives} negatives do not'
      f' settle the rates at FAR {max(fars)}'
    )
  return found


def _rates(ranked, fars) -> tuple[Rate, ...] | None:
  counts = [ranked.counts(far) for far in fars]
  if None in counts:
    return None
  return tuple(
    Rate(far, *(_point(ranked, count) for count in found))
    for far, found in zip(fars, counts, strict=True)
  )


def _point(ranked, count: int) -> Point:
  """The highest threshold that accepts `count` positives."""
  if not count:
    return Point(0.0, 0.0, math.inf)
  threshold, accepted = ranked.first_with(count)
  return Point(
    accepted / ranked.num_negatives, count / ranked.num_positives, threshold
  )
