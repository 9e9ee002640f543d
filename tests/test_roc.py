"""Rates read off the ROC: the same digits as scikit-learn and a full sort."""

import warnings

import numpy as np
import pytest
from sklearn import metrics

from bfjax.evaluation.protocols import explanations, roc

FARS = (*roc.FARS, 0.25, 0.5, 1.0)


def first_with(scores, same, tar):
  """The highest threshold with a TAR: its FAR, the TAR, and itself."""
  threshold = np.inf
  if tar:
    count = round(tar * np.sum(same))
    threshold = np.sort(scores[same])[::-1][count - 1]
  return np.mean(scores[~same] >= threshold), tar, threshold


def literal_nearest(scores, same, far):
  """As the scripts do it: reversed, then the least (distance, place)."""
  fpr, tpr, _ = metrics.roc_curve(same, scores)
  fpr, tpr = np.flipud(fpr), np.flipud(tpr)
  distances = abs(fpr - far)
  _, i = min(zip(distances, range(len(fpr)), strict=True))
  return first_with(scores, same, tpr[i])


def literal_conservative(scores, same, far):
  """The best of all thresholds, each against all pairs."""
  best = 0.0
  for t in np.unique(scores):
    if np.mean(scores[~same] >= t) <= far:
      best = max(best, np.mean(scores[same] >= t))
      break
  return first_with(scores, same, best)


def make(kind, rng, n=500):
  same = rng.random(n) < 0.1
  scores = (rng.normal(size=n) + 1.5 * same).astype(np.float32)
  if kind == 'tied':
    scores = np.round(scores * 4) / 4
  elif kind == 'hardly tied':
    scores = np.round(scores * 500) / 500
  elif kind == 'constant':
    scores[:] = 0.25
  elif kind == 'two values':
    scores = np.where(rng.random(n) < 0.95, np.float32(0.5), scores)
  elif kind == 'separable':
    scores = np.where(same, 3, -3) + np.clip(scores, -1, 1)
  elif kind == 'inverted':
    scores = np.where(same, -3, 3) + np.clip(scores, -1, 1)
  elif kind == 'diagonal':
    # Each score once for each kind: all of the ROC is one straight piece.
    same = np.arange(n) % 2 == 0
    scores = np.repeat(rng.permutation(n // 2), 2).astype(np.float32)
  elif kind == 'sorted':
    order = np.argsort(scores)
    scores, same = scores[order], same[order]
  elif kind == 'one positive':
    same = np.arange(n) == 77
  elif kind == 'one negative':
    same = np.arange(n) != 77
  elif kind == 'double':
    scores = scores.astype(np.float64) + rng.random(n)
  return scores, same


KINDS = (
  'random',
  'tied',
  'hardly tied',
  'constant',
  'two values',
  'separable',
  'inverted',
  'diagonal',
  'sorted',
  'one positive',
  'one negative',
  'double',
)


@pytest.fixture(params=[1, 20, 1024])
def half_window(request, monkeypatch):
  """Windows that must be widened, and one that holds all there is."""
  monkeypatch.setattr(roc, '_HALF_WINDOW', request.param)


@pytest.mark.parametrize('kind', KINDS)
def test_rates_equal_scikit_learn_and_the_loop(kind, half_window):
  for seed in range(2):
    scores, same = make(kind, np.random.default_rng(seed))
    # One by one, so that no target owes its negatives to a larger one.
    for far in FARS:
      [rate] = roc.rates(scores, same, [far])
      assert rate.target == far
      assert rate.nearest == literal_nearest(scores, same, far)
      assert rate.conservative == literal_conservative(scores, same, far)
    assert roc.rates(scores, same, FARS) == tuple(
      roc.rates(scores, same, [far])[0] for far in FARS
    )


@pytest.mark.parametrize('n', [2, 3, 4, 5, 8])
def test_few_pairs_equal_scikit_learn(n):
  rng = np.random.default_rng(n)
  for _ in range(40):
    scores = rng.integers(0, n, n).astype(np.float32)
    same = rng.permutation(n) < rng.integers(1, n)
    for rate in roc.rates(scores, same, FARS):
      assert rate.nearest == literal_nearest(scores, same, rate.target)
      expected = literal_conservative(scores, same, rate.target)
      assert rate.conservative == expected


def test_a_point_in_the_middle_of_a_straight_piece_is_no_point():
  """scikit-learn drops it; the nearest corner, here a farther one, counts."""
  scores = np.arange(20, dtype=np.float32)[::-1]
  same = np.isin(np.arange(20), [0, 10])
  [rate] = roc.rates(scores, same, [0.35])
  # Of the 18 negatives, 9 come before the second positive: 6.3 is aimed at.
  assert rate.nearest.tar == 1.0
  assert rate.conservative == (0.0, 0.5, scores[0])


def test_many_pairs_equal_scikit_learn_in_any_order():
  """Enough pairs that the negatives are a sample's quantile and up."""
  rng = np.random.default_rng(0)
  scores, same = make('random', rng, 200_000)
  found = roc.rates(scores, same)
  assert [rate.nearest for rate in found] == [
    literal_nearest(scores, same, far) for far in roc.FARS
  ]
  assert roc.rates(scores[::-1], same[::-1]) == found
  for order in (rng.permutation(len(scores)), np.argsort(scores)):
    assert roc.rates(scores[order], same[order]) == found


@pytest.mark.parametrize('kind', KINDS)
def test_rounded_scores_are_computed_exactly_where_they_matter(
  kind, half_window
):
  rng = np.random.default_rng(KINDS.index(kind))
  exact, same = make(kind, rng)
  exact = exact.astype(np.float64)
  # Wrong by so much that the order of pairs is another one.
  for slack in (0.02, 0.2):
    rounded = exact + rng.choice([-slack, 0, slack], len(exact))
    found = roc.rates(
      rounded.astype(np.float32),
      same,
      FARS,
      exact=exact.__getitem__,
      slack=slack + 1e-6,
    )
    assert found == roc.rates(exact, same, FARS)


def test_a_window_counts_all_pairs():
  """Also those whose rounded scores lie outside it, and the exact ones not."""
  rng = np.random.default_rng(0)
  exact, same, slack = rng.random(2000), rng.random(2000) < 0.5, 0.125
  rounded = exact + rng.choice([-slack, slack], 2000)
  ranked = roc.Ranked(rounded, same, 1, None, exact.__getitem__, slack)
  window = ranked.points(0.75, 0.25)
  inside = exact[(exact >= 0.375) & (exact <= 0.625)]
  np.testing.assert_array_equal(window.thresholds, np.sort(inside)[::-1])
  for i, value in enumerate(window.thresholds):
    assert window.accepted[i] == np.sum(exact[~same] >= value)
    assert window.true[i] == np.sum(exact[same] >= value)


def test_few_scores_are_computed_exactly():
  exact, same = make('random', np.random.default_rng(0), 200_000)
  exact = exact.astype(np.float64) + 1e-9
  asked = []

  def look_up(pairs):
    asked.append(len(pairs))
    return exact[pairs]

  found = roc.rates(exact.astype(np.float32), same, exact=look_up, slack=1e-6)
  assert found == roc.rates(exact, same)
  assert sum(asked) < 0.1 * len(exact)


def test_the_highest_negatives_suffice():
  scores, same = make('random', np.random.default_rng(0), 200_000)
  positives, negatives = scores[same], np.sort(scores[~same])
  for far in (1e-6, 1e-4, 1e-2, 0.1):
    count = roc.num_negatives_needed(len(negatives), far)
    assert count < len(negatives)
    [expected] = roc.rates(scores, same, [far])
    highest = negatives[-count:]
    found = roc.rate_of_highest(positives, highest, len(negatives), far)
    assert found == expected
    with pytest.raises(ValueError, match=f'{count} needed'):
      roc.rate_of_highest(positives, highest[1:], len(negatives), far)


def test_the_curve_lies_on_the_roc():
  scores, same = make('random', np.random.default_rng(0), 50_000)
  far, tar, *_ = explanations.thinned_roc(
    scores[same], scores[~same], max_points=500
  )
  fpr, tpr, _ = metrics.roc_curve(same, scores, drop_intermediate=False)
  assert 100 < len(far) <= 500
  assert (far[0], far[-1], tar[-1]) == (0, 1, 1)
  best = {x: y for x, y in zip(fpr, tpr, strict=True)}
  assert [best[x] for x in far] == tar.tolist()
  # From the highest negatives alone, the beginning of it.
  highest = np.sort(scores[~same])[-3000:]
  start = explanations.thinned_roc(
    scores[same], highest, np.sum(~same), max_points=100
  )
  assert start[0][-1] <= 3000 / np.sum(~same)
  assert [best[x] for x in start[0]] == start[1].tolist()


def test_constant_scores_have_a_curve_of_two_points():
  constant = np.ones(3, np.float32), np.ones(5, np.float32)
  far, tar, *_ = explanations.thinned_roc(*constant)
  assert far.tolist() == tar.tolist() == [0, 1]


def test_no_rates_without_both_kinds_or_with_nan():
  scores = np.array([0.1, 0.2, 0.3], np.float32)
  for same in ([True] * 3, [False] * 3):
    with pytest.raises(ValueError, match=r'\d positives of 3 pairs'):
      roc.rates(scores, np.array(same))
  scores[1] = np.nan
  for same in ([True, True, False], [True, False, False]):
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      with pytest.raises(ValueError, match='NaN'):
        roc.rates(scores, np.array(same))
