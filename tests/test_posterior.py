"""The posterior of the true labels, against numpy and data drawn from it."""

import jax.numpy as jnp
import numpy as np
import pytest

from bfjax.heads import posterior

CLASSES = 40


def drawn(rng, count, kappa, rate):
  """Cosines [n, C] and given labels [n], as the model has them."""
  cosine = rng.uniform(-0.4, 0.4, (count, CLASSES))
  cosine[np.arange(count), rng.integers(0, CLASSES, count)] += 0.5
  p = softmax(kappa * cosine)
  true = (p.cumsum(1) < rng.random((count, 1))).sum(1).clip(max=CLASSES - 1)
  other = (true + rng.integers(1, CLASSES, count)) % CLASSES
  return cosine, np.where(rng.random(count) < rate, other, true)


def softmax(z):
  z = np.exp(z - z.max(1, keepdims=True))
  return z / z.sum(1, keepdims=True)


def log_sum_exp(kappa, cosine):
  return np.log(np.exp(kappa * cosine).sum(1))


def fit(cosine, label, mask=None):
  rows = np.arange(len(label))
  mask = np.ones(len(label), bool) if mask is None else mask
  sums = np.stack([log_sum_exp(k, cosine) for k in posterior.KAPPAS])
  values = posterior.log_likelihoods(
    jnp.float32(cosine[rows, label]), jnp.float32(sums), mask, CLASSES
  )
  return posterior.fit(values)


@pytest.mark.parametrize('kappa, rate', [(12, 0.1), (18, 0.2), (25, 0.4)])
def test_noise_rate_and_concentration_are_told_from_given_labels(kappa, rate):
  found = fit(*drawn(np.random.default_rng(0), 20_000, kappa, rate))
  np.testing.assert_allclose(found.rate, rate, atol=0.012)
  np.testing.assert_allclose(found.kappa, kappa, rtol=0.04)


def test_labels_without_noise_are_told_to_have_hardly_any():
  found = fit(*drawn(np.random.default_rng(1), 20_000, 20, 0.0))
  assert found.rate < 0.006


def test_masked_rows_tell_nothing():
  rng = np.random.default_rng(2)
  cosine, label = drawn(rng, 2000, 20, 0.3)
  spoilt = label.copy()
  spoilt[1000:] = rng.integers(0, CLASSES, 1000)
  mask = np.arange(2000) < 1000
  assert fit(cosine, spoilt, mask) == fit(cosine, label, mask)


def test_the_likelihood_is_that_of_the_model():
  rng = np.random.default_rng(3)
  cosine, label = drawn(rng, 7, 20, 0.3)
  rows = np.arange(7)
  sums = np.stack([log_sum_exp(k, cosine) for k in posterior.KAPPAS])
  found = posterior.log_likelihoods(
    jnp.float32(cosine[rows, label]),
    jnp.float32(sums),
    np.ones(7, bool),
    CLASSES,
  )
  for i, kappa in enumerate(posterior.KAPPAS):
    p = softmax(kappa * cosine)
    for j, rate in enumerate(posterior.RATES):
      confusion = np.full((CLASSES, CLASSES), rate / (CLASSES - 1))
      np.fill_diagonal(confusion, 1 - rate)
      want = np.log((p @ confusion)[rows, label]).sum()
      np.testing.assert_allclose(found[i, j], want, rtol=1e-4)


def test_probabilities_are_bayes_rule_and_the_margin_is_where_they_meet():
  rng = np.random.default_rng(4)
  cosine, given = drawn(rng, 500, 15, 0.3)
  rows = np.arange(500)
  found = posterior.Fit(jnp.float32(15), jnp.float32(0.3))
  prior = np.full((500, CLASSES), 0.3 / (CLASSES - 1))
  prior[rows, given] = 0.7
  want = softmax(15 * cosine + np.log(prior))
  others = np.where(np.arange(CLASSES) == given[:, None], -9, cosine)
  nearest = others.argmax(1)
  of_given, of_nearest = posterior.probabilities(
    jnp.float32(cosine[rows, given]),
    jnp.float32(cosine[rows, nearest]),
    jnp.float32(log_sum_exp(15, cosine)),
    found,
    CLASSES,
  )
  np.testing.assert_allclose(of_given, want[rows, given], atol=1e-5)
  np.testing.assert_allclose(of_nearest, want[rows, nearest], atol=1e-5)
  ahead = cosine[rows, nearest] - cosine[rows, given]
  beyond = ahead > posterior.margin(found, CLASSES)
  np.testing.assert_array_equal(of_nearest > of_given, beyond)
  assert 50 < beyond.sum() < 450


def test_a_peak_lies_between_the_points_or_at_an_end():
  places = jnp.float32([0, 1, 3, 4, 6])
  peak = posterior._peak(-((places - 2.6) ** 2), places)
  np.testing.assert_allclose(peak, 2.6, rtol=1e-5)
  assert posterior._peak(places, places) == 6
  assert posterior._peak(-places, places) == 0
  assert posterior._peak(0 * places, places) == 0
