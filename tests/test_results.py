"""Curves, histograms, worst pairs and outcomes, against literal counts."""

import numpy as np
import pytest
import sklearn.metrics

from bfjax.evaluation import imagepairs
from bfjax.evaluation.protocols import explanations, verification
from bfjax.report import results

KINDS = ('random', 'tied', 'constant', 'all same', 'all different')


def make_scores(kind, n=300):
  rng = np.random.default_rng(KINDS.index(kind))
  same = rng.random(n) < 0.5
  scores = rng.normal(0.3 * same, 0.25)
  if kind == 'tied':
    scores = np.round(scores * 5) / 5
  elif kind == 'constant':
    scores[:] = 0.25
  elif kind.startswith('all'):
    same[:] = kind == 'all same'
  return scores, same


def literal_points(scores, same):
  """Every threshold against every pair."""
  points = [(0.0, 0.0)]
  for t in sorted(set(scores), reverse=True):
    far = np.mean(scores[~same] >= t) if (~same).any() else 0.0
    tar = np.mean(scores[same] >= t) if same.any() else 0.0
    points.append((far, tar))
  return points


@pytest.mark.parametrize('kind', KINDS)
def test_roc_has_the_corners_of_the_literal_curve(kind):
  scores, same = make_scores(kind)
  curve = explanations.roc(scores, same)
  found = list(zip(curve.x, curve.y, strict=True))
  literal = literal_points(scores, same)
  assert set(found) <= set(literal)
  assert found == sorted(found)
  for far in {x for x, _ in literal}:
    here = [y for x, y in literal if x == far]
    assert (far, min(here)) in found
    assert (far, max(here)) in found


def test_roc_has_the_area_of_scikit_learn():
  scores, same = make_scores('random')
  curve = explanations.roc(scores, same)
  np.testing.assert_allclose(
    np.trapezoid(curve.y, curve.x),
    sklearn.metrics.roc_auc_score(same, scores),
    rtol=1e-12,
  )


def test_a_histogram_counts_every_pair_once():
  scores, same = make_scores('random')
  found = explanations.histogram(
    {'different people': scores[~same], 'same person': scores[same]}, 'cosine'
  )
  edges = found.edges
  assert found.counts['same person'].sum() == same.sum()
  assert found.counts['different people'].sum() == (~same).sum()
  inside = (scores >= edges[3]) & (scores < edges[4])
  assert found.counts['same person'][3] == np.sum(inside & same)


def test_hardest_pairs_come_worst_first():
  scores = np.array([0.9, 0.1, 0.2, 0.8, 0.2, 0.7])
  same = np.array([True, True, True, False, True, False])
  rows = np.arange(6)
  found = explanations.hardest_pairs(
    scores,
    same,
    rows,
    rows + 10,
    lambda row: (row, str(row)),
    of_each=2,
    what='cosine',
  )
  assert [x.score for x in found] == [0.1, 0.2, 0.8, 0.7]
  assert found[1].images == ((2, '2'), (12, '12'))
  assert found[0].caption.startswith('same person')
  assert found[2].caption.startswith('different people')


def test_outcomes_are_averaged_over_strata():
  found = results.Outcomes(np.array([1, 0, 1, 1]), np.array([0, 0, 0, 2]), 4)
  assert found.score() == pytest.approx((2 / 3 + 0 + 1 + 0) / 4)
  assert results.outcomes([True, False]).score() == 0.5


class Named:
  """Files that nothing reads."""

  def __init__(self, num_rows):
    self.num_rows = num_rows

  def name(self, row):
    return f'{row}.jpg'


@pytest.mark.parametrize('features', ['random', 'coarse', 'constant'])
@pytest.mark.parametrize(
  ('folds', 'kinds'), [(5, 2), (10, 2), (10, 'same'), (10, 'different')]
)
def test_what_explains_the_pairs_gives_their_scores(features, folds, kinds):
  rng = np.random.default_rng(folds)
  left, right = rng.integers(0, 80, (2, 100))
  same = rng.random(100) < 0.5
  if kinds != 2:
    same[:] = kinds == 'same'
  arrays = {
    'random': rng.normal(size=(80, 2, 6)),
    'coarse': rng.integers(-1, 2, (80, 2, 3)),
    'constant': np.ones((80, 2, 4)),
  }
  values = arrays[features].astype(np.float32)
  benchmark = imagepairs.Pairs(Named(80), left, right, same, folds)
  found = benchmark.analyse(values)
  assert found.scores == benchmark.evaluate(values)
  assert set(found.outcomes) == {
    'boundaryface/accuracy',
    'insightface/accuracy',
    'insightface/val',
  }
  for name, outcomes in found.outcomes.items():
    np.testing.assert_allclose(
      outcomes.score(), found.scores[name], rtol=0, atol=1e-14
    )
  assert {x.split(', ')[1] for x in found.curves} == set(benchmark.protocols)
  worst = found.examples[0]
  result = verification.boundaryface(values, left, right, same, folds)
  if kinds == 'different':
    assert worst.score == result.scores.max()
  else:
    assert worst.score == result.scores[same].min()
  assert '100 pairs' in benchmark.protocol
  assert f'{folds} contiguous folds' in benchmark.protocol
