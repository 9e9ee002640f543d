"""How far scores may be trusted: intervals by resampling the pairs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.report import results

# Quantiles that a 95 % interval goes from and to.
_ENDS = (1 - 0.95) / 2, (1 + 0.95) / 2
_IN_MEMORY = 4_000_000  # numbers drawn at a time
# To draw how often a combination comes takes as long as to draw so many rows.
_COUNT_COST = 30


class Intervals(NamedTuple):
  """Scores of some models on one benchmark, with intervals; float64 [models].

  `below`, [models, 2], is the interval of score - score of the best; (0, 0) for
  the best itself. Where it holds 0 the two may be equally good.
  """

  score: np.ndarray
  low: np.ndarray
  high: np.ndarray
  best: int  # the model of the highest score; the first of several
  below: np.ndarray


def intervals(
  models: Sequence[results.Outcomes], *, resamples: int = 2000
) -> Intervals:
  """Percentile bootstrap intervals, 95 %, of scores and of their differences.

  A resample draws, with replacement, as many pairs (or probes) from each
  stratum (fold) as it has, and takes the outcomes of all models on the same
  pairs, so that the differences between models are paired; the score of the
  resample is the mean over the strata of the mean outcome. The thresholds, and
  so the outcomes, stay as the protocol has set them on all pairs. The interval
  is from the quantile 0.025 of the resamples to that of 0.975, of linear
  interpolation.

  Only the mean is wanted, so it is counted how often each combination of
  outcomes (one a model) is drawn, which is multinomial: the same distribution
  as drawing the pairs, without touching them. Where there are many, as of
  outcomes that are no bits, pairs are drawn.

  Args:
    models: the outcomes of each model on the same pairs in the same order.
    resamples: how many.

  Raises:
    UserError: if the models do not have the same strata.
  """
  strata, num_strata = models[0].strata, models[0].num_strata
  if any(
    x.num_strata != num_strata or not np.array_equal(x.strata, strata)
    for x in models
  ):
    raise errors.UserError(
      'Scores on different pairs or in different folds cannot be compared: '
      f'{[len(x.values) for x in models]} pairs. Evaluate all models anew.'
    )
  score = np.array([x.score() for x in models])
  best = int(np.argmax(score))
  values = np.stack([np.asarray(x.values, np.float64) for x in models], axis=1)
  # Each model by itself, so that its interval does not depend on the others.
  alone = [
    np.quantile(_resample(column[:, None], models[0], resamples), _ENDS)
    for column in values.T
  ]
  drawn = _resample(values, models[0], resamples)
  below = np.quantile(drawn - drawn[:, best : best + 1], _ENDS, axis=0)
  low, high = np.array(alone).T
  return Intervals(score, low, high, best, below.T)


def score_intervals(
  outcomes: Mapping[str, results.Outcomes],
) -> dict[str, tuple[float, float]]:
  """The 95 % interval of every score: (low, high)."""
  found = {score: intervals([x]) for score, x in outcomes.items()}
  return {k: (float(x.low[0]), float(x.high[0])) for k, x in found.items()}


def _resample(values, like, resamples) -> np.ndarray:
  """float64 [resamples, models]: scores of resampled rows of [n, models]."""
  rng = np.random.default_rng(0)
  drawn = np.zeros((resamples, values.shape[1]))
  for stratum in range(like.num_strata):
    own = values[like.strata == stratum]
    num_rows = len(own)
    if not num_rows:
      continue
    combinations, counts = np.unique(own, axis=0, return_counts=True)
    by_count = _COUNT_COST * len(counts) < num_rows
    block = max(1, _IN_MEMORY // (len(counts) if by_count else num_rows))
    for start in range(0, resamples, block):
      means = drawn[start : start + block]  # a view
      if by_count:
        times = rng.multinomial(num_rows, counts / num_rows, len(means))
        means += times @ combinations / num_rows
      else:
        rows = rng.integers(num_rows, size=(len(means), num_rows))
        means += own[rows].mean(axis=1)
  return drawn / like.num_strata
