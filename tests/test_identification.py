"""Ranks, CMC, TAR at a FAR and noise removal, against the literal rules."""

import numpy as np
import pytest

from bfjax.evaluation.protocols import fusion, identification, roc


def features(kind, n=40, d=6, seed=0):
  rng = np.random.default_rng(seed)
  if kind == 'ties':
    return rng.integers(-1, 2, (n, 3)).astype(np.float32)
  if kind == 'constant':
    return np.full((n, d), 0.25, np.float32)
  return rng.normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize('kind', ['normal', 'ties', 'constant'])
def test_a_pair_is_found_as_the_rule_says(kind):
  known = features(kind).astype(np.float64)
  others = features(kind, 70, seed=1).astype(np.float64)
  labels = np.random.default_rng(2).integers(0, 12, len(known))
  probe, gallery = identification.mates(labels, labels)
  probe, gallery = probe[probe != gallery], gallery[probe != gallery]
  every = np.array([[np.sum(p * o) for o in others] for p in known])
  scores = np.array(
    [np.sum(known[i] * known[j]) for i, j in zip(gallery, probe, strict=True)]
  )
  highest = -np.sort(-every, axis=1)
  ranks = identification.ranks(scores, probe, highest[:, :30])
  rates = identification.cmc(ranks, 30)
  for n in range(1, 31):
    hits = total = 0
    for i in range(len(known)):
      for j in range(len(known)):
        if i != j and labels[i] == labels[j]:
          s = np.sum(known[i] * known[j])
          hits += s >= highest[j, n - 1]
          total += 1
    assert rates[n - 1] == hits / total
    assert np.sum(ranks <= n) == hits
  assert total == len(gallery)
  if kind == 'constant':
    assert rates[0] == 1  # equal scores count as found


def test_people_who_are_not_in_the_gallery_have_no_mates():
  people = np.array([5, 3, 9, 5])
  found = identification.mates(people, np.array([9, 5, 7, 5]))
  pairs = [(0, 1), (0, 3), (2, 0), (3, 1), (3, 3)]
  assert list(zip(*found, strict=True)) == pairs


def test_the_best_pair_of_each_probe_is_the_first_of_equal_ones():
  probe, row = np.array([4, 1, 4, 4, 1]), np.array([7, 2, 3, 5, 1])
  scores = np.array([0.9, 0.1, 0.9, 0.5, 0.2])
  assert identification.best(probe, row, scores).tolist() == [4, 2]


@pytest.mark.parametrize('kind', ['normal', 'coarse', 'constant', 'zeros'])
@pytest.mark.parametrize('far', [1e-3, 2.5e-4, 1e-6])
def test_few_negatives_give_the_rate_of_all(kind, far):
  rng = np.random.default_rng(3)
  positives = rng.normal(2, 1, 500)
  negatives = rng.normal(0, 1, 60_000)
  if kind == 'coarse':
    positives, negatives = positives.round(1), negatives.round(1)
  elif kind == 'constant':
    positives, negatives = np.ones(500), np.ones(60_000)
  elif kind == 'zeros':
    positives[:100], negatives[:] = 0, 0
  needed = roc.num_negatives_needed(len(negatives), far)
  assert needed < len(negatives) / 10
  found = roc.rate_of_highest(
    positives, np.sort(negatives)[::-1][:needed], len(negatives), far
  )
  scores = np.r_[positives, negatives]
  expected = roc.rates(scores, np.arange(len(scores)) < 500, (far,))[0]
  assert found == expected
  # And, in so many words, the conservative one.
  tried = np.unique(scores)[-2000:]  # lower ones have higher rates
  rates = [
    np.mean(positives >= t)
    for t in tried
    if np.sum(negatives >= t) / len(negatives) <= far
  ]
  assert found.conservative.tar == max(rates, default=0.0)


def test_noisy_features_become_the_mean_direction_of_the_clean_ones():
  x = features('normal', 6)
  labels = np.array([0, 0, 0, 1, 1, 2])
  noisy = np.array([False, True, False, False, True, False])
  clean = identification.without_noise(x, labels, noisy)
  total = x[0].astype(np.float64) + x[2]
  np.testing.assert_array_equal(
    clean[1], (total / np.sqrt(np.sum(total**2))).astype(np.float32)
  )
  np.testing.assert_array_equal(
    clean[4], (x[3] / np.linalg.norm(x[3].astype(np.float64))).astype('f')
  )
  np.testing.assert_array_equal(clean[~noisy], x[~noisy])


def test_a_person_without_clean_images_is_a_mistake():
  with pytest.raises(ValueError, match='person 1'):
    identification.without_noise(
      np.ones((3, 2), np.float32), np.array([0, 1, 1]), np.arange(3) > 0
    )


def test_fused_features():
  x = features('normal', 10).reshape(5, 2, 6)
  x[3] = 0
  total = x[:, 0].astype(np.float64) + x[:, 1]
  np.testing.assert_array_equal(
    fusion.fuse(x, flip='sum', normalise=False), total.astype(np.float32)
  )
  np.testing.assert_array_equal(
    fusion.fuse(x, flip='none', normalise=False), x[:, 0]
  )
  joined = fusion.fuse(x, flip='joined', normalise=True)
  np.testing.assert_allclose(
    np.linalg.norm(joined, axis=1), [1, 1, 1, 0, 1], rtol=1e-6
  )
  np.testing.assert_array_equal(
    fusion.fuse(joined, flip='sum', normalise=False), joined
  )
