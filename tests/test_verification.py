"""Verification: the same digits as the literal loops over all thresholds."""

import numpy as np
import pytest
import scipy.interpolate
import sklearn.model_selection
import sklearn.preprocessing

from bfjax import errors
from bfjax.evaluation.protocols import thresholds, verification


def loop_mean_best(scores, same):
  """The search of BoundaryFace: every threshold against every pair."""
  tried = np.arange(-10_000, 10_001) / 10_000
  accuracies = np.zeros(len(tried))
  for i, t in enumerate(tried):
    accuracies[i] = (
      np.sum(scores[same] > t) + np.sum(scores[~same] < t)
    ) / len(scores)
  return np.mean(tried[accuracies == np.max(accuracies)])


def loop_boundaryface(features, left, right, same, folds):
  features = features.astype(np.float64).reshape(len(features), -1)
  size = len(same) // folds
  accuracies, chosen = [], []
  for k in range(folds):
    test = np.arange(len(same)) // size == k
    both = np.concatenate([features[left[~test]], features[right[~test]]])
    sides = []
    for rows in (left, right):
      centred = features[rows] - np.mean(both, axis=0)
      norm = np.sqrt(np.sum(centred**2, axis=1, keepdims=True))
      norm[norm == 0] = 1
      sides.append(centred / norm)
    scores = np.sum(sides[0] * sides[1], axis=1)
    t = loop_mean_best(scores[~test], same[~test])
    accuracies.append(
      (np.sum(scores[test & same] > t) + np.sum(scores[test & ~same] < t))
      / size
    )
    chosen.append(t)
  return np.array(accuracies), np.array(chosen)


def loop_first_best(distances, same):
  tried = np.arange(0, 4, 0.01)
  accuracies = [np.mean((distances < t) == same) for t in tried]
  return tried[np.argmax(accuracies)]


def loop_at_far(distances, same, target):
  tried = np.arange(0, 4, 0.001)
  negative = distances[~same]
  fars = np.array([np.sum(negative < t) / len(negative) for t in tried])
  if np.max(fars) < target:
    return 0.0
  # What interp1d(fars, tried, kind='slinear') builds, but for its check that
  # refuses equal rates.
  knots = np.r_[fars[0], fars, fars[-1]]
  return float(
    scipy.interpolate.BSpline.construct_fast(knots, tried, 1)(target)
  )


def loop_insightface(features, left, right, same, folds):
  embedding = sklearn.preprocessing.normalize(
    np.sum(features.astype(np.float64), axis=1)
  )
  distances = np.sum((embedding[left] - embedding[right]) ** 2, axis=1)
  accuracies, chosen, vals, fars = [], [], [], []
  splits = sklearn.model_selection.KFold(folds, shuffle=False)
  for train, test in splits.split(np.arange(len(same))):
    t = loop_first_best(distances[train], same[train])
    accuracies.append(np.mean((distances[test] < t) == same[test]))
    chosen.append(t)
    accepted = distances[test] < loop_at_far(
      distances[train], same[train], 1e-3
    )
    vals.append(np.sum(accepted & same[test]) / np.sum(same[test]))
    fars.append(np.sum(accepted & ~same[test]) / np.sum(~same[test]))
  return np.array(accuracies), np.array(chosen), np.array(vals), np.array(fars)


def make_scores(kind, rng, num_pairs=400):
  same = rng.random(num_pairs) < 0.5
  scores = np.clip(rng.normal(0.3 * same, 0.25), -1, 1)
  if kind == 'grid':
    # Where scores equal thresholds, j / 10000 and j * 1e-4 are not the same.
    scores = np.round(scores * 10_000) / 10_000
  elif kind == 'grid by product':
    scores = np.round(scores * 10_000) * 1e-4
  elif kind == 'tied':
    scores = np.round(scores * 5) / 5
  elif kind == 'constant':
    scores = np.full(num_pairs, 0.25)
  elif kind == 'ends':
    scores = np.where(rng.random(num_pairs) < 0.5, 1.0, -1.0)
  elif kind == 'separable':
    scores = np.where(same, 0.75, 0.25) + 0.1 * scores
  elif kind == 'all same':
    same[:] = True
  elif kind == 'all different':
    same[:] = False
  return scores, same


def make_features(rng, num_pairs, dim=8):
  """Features of 2 n images, half of the pairs of them alike."""
  features = rng.normal(size=(2 * num_pairs, 2, dim)).astype(np.float32)
  left = rng.permutation(2 * num_pairs)[:num_pairs]
  right = np.setdiff1d(np.arange(2 * num_pairs), left)
  same = rng.random(num_pairs) < 0.5
  features[right[same]] += features[left[same]]
  return features + np.float32(0.5), left, right, same


KINDS = (
  'random',
  'grid',
  'grid by product',
  'tied',
  'constant',
  'ends',
  'separable',
  'all same',
  'all different',
)


@pytest.mark.parametrize('kind', KINDS)
def test_thresholds_of_cosines_equal_the_loop(kind):
  scores, same = make_scores(kind, np.random.default_rng(KINDS.index(kind)))
  assert thresholds.mean_best(scores, same) == loop_mean_best(scores, same)


@pytest.mark.parametrize('kind', KINDS)
def test_thresholds_of_distances_equal_the_loop(kind):
  scores, same = make_scores(kind, np.random.default_rng(KINDS.index(kind)))
  # np.arange(0, 4, .01) itself, so that distances equal thresholds.
  step = np.round((1 - scores) * 199).astype(int)
  for distances in (2 - 2 * scores, np.arange(0, 4, 0.01)[step]):
    assert thresholds.first_best(distances, same) == loop_first_best(
      distances, same
    )


@pytest.mark.parametrize('far', [1e-3, 0.01, 0.25, 0.5, 1.0])
@pytest.mark.parametrize('kind', KINDS[:-2])
def test_thresholds_at_far_equal_scipy(kind, far):
  scores, same = make_scores(kind, np.random.default_rng(KINDS.index(kind)))
  distances = np.where(same, 1.0, 1.5) - scores
  if far == 1.0:
    # At the largest rate SciPy's spline is 0 where thresholds share it.
    expected = np.arange(0, 4, 0.001)[-1]
  else:
    expected = loop_at_far(distances, same, far)
  assert thresholds.at_far(distances, same, far) == expected


def test_no_rate_reaches_far():
  distances = np.array([0.5, 5.0])
  assert thresholds.at_far(distances, np.array([True, False])) == 0.0
  assert thresholds.at_far(distances, np.array([True, True])) == 0.0


@pytest.mark.parametrize('folds', [2, 10])
def test_boundaryface_equals_the_loop(folds):
  pairs = make_features(np.random.default_rng(folds), 200)
  result = verification.boundaryface(*pairs, folds=folds)
  accuracies, chosen = loop_boundaryface(*pairs, folds)
  assert 0.6 < result.accuracy < 1.0
  np.testing.assert_array_equal(result.accuracies, accuracies)
  np.testing.assert_array_equal(result.thresholds, chosen)
  assert result.accuracy == np.mean(accuracies)
  assert result.std == np.std(accuracies)


@pytest.mark.parametrize('num_pairs', [200, 201, 209, 217])
def test_insightface_equals_the_loop(num_pairs):
  pairs = make_features(np.random.default_rng(num_pairs), num_pairs)
  result = verification.insightface(*pairs, folds=10)
  accuracies, chosen, vals, fars = loop_insightface(*pairs, 10)
  assert 0.6 < result.accuracy < 1.0
  np.testing.assert_array_equal(result.accuracies, accuracies)
  np.testing.assert_array_equal(result.thresholds, chosen)
  assert result.accuracy == np.mean(accuracies)
  assert result.std == np.std(accuracies)
  assert result.val == (np.mean(vals), np.std(vals), np.mean(fars))


def test_coarse_features_equal_the_loops():
  """Features of three values: many scores and distances are tied."""
  rng = np.random.default_rng(3)
  _, left, right, same = make_features(rng, 100)
  features = rng.integers(-1, 2, (200, 2, 3)).astype(np.float32)
  result = verification.boundaryface(features, left, right, same)
  accuracies, chosen = loop_boundaryface(features, left, right, same, 10)
  np.testing.assert_array_equal(result.accuracies, accuracies)
  np.testing.assert_array_equal(result.thresholds, chosen)
  result = verification.insightface(features, left, right, same)
  accuracies, chosen, *_ = loop_insightface(features, left, right, same, 10)
  np.testing.assert_array_equal(result.accuracies, accuracies)
  np.testing.assert_array_equal(result.thresholds, chosen)


@pytest.mark.parametrize('value', [0.0, 0.1, -3e4])
def test_constant_features_score_0(value):
  features = np.full((24, 2, 8), value, np.float32)
  left, right = np.arange(12), np.arange(12, 24)
  same = np.arange(12) % 2 == 0
  result = verification.boundaryface(features, left, right, same, folds=2)
  accuracies, chosen = loop_boundaryface(features, left, right, same, 2)
  np.testing.assert_array_equal(result.accuracies, accuracies)
  np.testing.assert_array_equal(result.thresholds, chosen)
  np.testing.assert_allclose(result.thresholds, 0, atol=0.01)
  result = verification.insightface(features, left, right, same, folds=2)
  np.testing.assert_array_equal(result.accuracies, np.full(2, 0.5))


@pytest.mark.parametrize('kind', [True, False])
def test_pairs_of_one_kind(kind):
  features, left, right, _ = make_features(np.random.default_rng(0), 50)
  same = np.full(50, kind)
  assert verification.boundaryface(features, left, right, same).accuracy == 1
  result = verification.insightface(features, left, right, same)
  assert result.accuracy >= 0.9
  assert all(np.isfinite(result.val))
  assert result.val.rate == 0


def test_a_zero_vector_is_alike_to_nothing():
  features = np.random.default_rng(0).normal(size=(20, 2, 4))
  features = features.astype(np.float32)
  features[3] = 0
  features[4, 1] = -features[4, 0]
  rows = np.arange(20)
  same = np.ones(20, bool)
  result = verification.insightface(features, rows, (rows + 1) % 20, same)
  assert np.isfinite(result.accuracies).all()


def test_features_that_are_not_finite_are_named():
  pairs = make_features(np.random.default_rng(0), 20)
  for value in (np.nan, np.inf):
    pairs[0][7, 1, 3] = value
    for protocol in verification.PROTOCOLS.values():
      with pytest.raises(errors.UserError, match='image 7 '):
        protocol(*pairs)


def test_pairs_that_do_not_split_into_folds():
  pairs = make_features(np.random.default_rng(0), 21)
  with pytest.raises(errors.UserError, match=r'21 pairs .* 10 equal folds'):
    verification.boundaryface(*pairs)
  for protocol in verification.PROTOCOLS.values():
    with pytest.raises(errors.UserError, match=r'21 pairs .* 42 folds'):
      protocol(*pairs, folds=42)
    with pytest.raises(errors.UserError, match='1 folds'):
      protocol(*pairs, folds=1)
