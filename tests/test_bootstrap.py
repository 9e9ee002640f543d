"""Bootstrap intervals, against drawing the pairs one by one."""

import numpy as np
import pytest

from bfjax import errors
from bfjax.report import bootstrap, results


def make_models(seed=0, num_pairs=600, folds=10, rates=(0.95, 0.9, 0.95)):
  rng = np.random.default_rng(seed)
  # Pairs that are hard for one model are hard for the others.
  hard = rng.random(num_pairs)
  strata = np.repeat(np.arange(folds), num_pairs // folds)
  return [
    results.Outcomes(
      hard + 0.05 * rng.normal(size=num_pairs) < rate, strata, folds
    )
    for rate in rates
  ]


def literal(models, resamples=2000):
  """Draws pairs with replacement, fold by fold."""
  rng = np.random.default_rng(1)
  folds = models[0].num_strata
  scores = np.zeros((resamples, len(models)))
  for i in range(resamples):
    for fold in range(folds):
      rows = np.flatnonzero(models[0].strata == fold)
      drawn = rng.choice(rows, len(rows))
      for k, model in enumerate(models):
        scores[i, k] += np.mean(model.values[drawn]) / folds
  return scores


def test_intervals_are_those_of_drawing_pairs():
  models = make_models()
  found = bootstrap.intervals(models, resamples=4000)
  drawn = literal(models)
  low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
  # Scores lie on a grid of one pair in 600: a step for the noise of resamples.
  step = 1.01 / 600
  np.testing.assert_allclose(found.low, low, atol=step)
  np.testing.assert_allclose(found.high, high, atol=step)
  assert found.best == int(np.argmax([x.score() for x in models]))
  below = np.quantile(
    drawn - drawn[:, found.best, None], [0.025, 0.975], axis=0
  )
  np.testing.assert_allclose(found.below, below.T, atol=step)
  np.testing.assert_array_equal(found.below[found.best], 0)


def test_paired_differences_are_narrower_than_the_scores():
  found = bootstrap.intervals(make_models(rates=(0.9, 0.9)))
  width = found.high[0] - found.low[0]
  below = found.below[1 - found.best]
  assert below[1] - below[0] < 0.9 * width


def test_an_interval_does_not_depend_on_the_other_models():
  models = make_models()
  alone = bootstrap.intervals(models[1:2])
  together = bootstrap.intervals(models)
  assert alone.low[0] == together.low[1]
  assert alone.high[0] == together.high[1]


@pytest.mark.parametrize(('num_pairs', 'rounded'), [(50, False), (9000, True)])
def test_strata_without_outcomes_and_values_that_are_no_bits(
  num_pairs, rounded
):
  rng = np.random.default_rng(0)
  values = np.round(rng.random(num_pairs), 2 if rounded else 9)
  model = results.Outcomes(values, np.full(num_pairs, 1), 2)
  found = bootstrap.intervals([model], resamples=4000)
  assert found.score[0] == pytest.approx(values.mean() / 2)
  # The normal approximation of a mean.
  error = values.std() / np.sqrt(num_pairs) / 2
  np.testing.assert_allclose(
    [found.low[0], found.high[0]],
    found.score[0] + np.array([-1.96, 1.96]) * error,
    atol=0.15 * error,
  )


def test_constant_outcomes_have_no_width():
  found = bootstrap.intervals([results.outcomes(np.ones(30))])
  assert (found.low[0], found.high[0]) == (1.0, 1.0)


def test_models_of_other_pairs_are_refused():
  models = make_models()
  shorter = results.Outcomes(
    models[0].values[:-1], models[0].strata[:-1], models[0].num_strata
  )
  with pytest.raises(errors.UserError, match=r'\[600, 599\] pairs'):
    bootstrap.intervals([models[0], shorter])
