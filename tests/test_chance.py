"""The spread of cosines by chance, and rates of what is wrong by chance."""

import numpy as np
import pytest

import spheres
from bfjax.cleaning import chance


def directions(count, dim, seed):
  return spheres.unit(np.random.default_rng(seed).normal(size=(count, dim)))


@pytest.mark.parametrize('dim', [8, 24, 128])
def test_far_tail_of_random_directions_is_told_from_their_bulk(dim):
  few, many = directions(100, dim, 0), directions(3000, dim, 1)
  found = chance.fit(few @ directions(200, dim, 2).T, 0.005)
  cosines = np.sort((many @ directions(3000, dim, 3).T).ravel())
  for beyond in (9000, 900, 90):
    expected = beyond / len(cosines)
    told = found.exceeding(cosines[-beyond])
    assert expected / 2.5 < told < expected * 2.5


def test_exceeding_and_cosine_are_each_others_inverse():
  found = chance.Chance(0.05, 25.0)
  for share in (0.3, 1e-3, 1e-9):
    np.testing.assert_allclose(found.exceeding(found.cosine(share)), share)


def test_one_person_among_different_people_moves_the_threshold_little():
  cosines = directions(100, 24, 0) @ directions(200, 24, 1).T
  mixed = cosines.copy()
  mixed[np.arange(100), np.arange(100)] = 0.95  # as many as there can be
  without = chance.fit(cosines, 1 / 200).cosine(1e-6)
  assert 0 <= chance.fit(mixed, 1 / 200).cosine(1e-6) - without < 0.05


def test_too_few_cosines_tell_nothing():
  found = chance.fit(np.array([0.1, 0.2, 0.9]), 0.1)
  assert found.exceeding(np.array([0.99])) == 1


def test_false_rates_are_those_of_benjamini_and_hochberg():
  p = np.array([0.04, 0.001, 0.03, 0.0001])
  # In order 1e-4, .001, .03, .04 times 10 / rank; then the least from there on.
  np.testing.assert_allclose(
    chance.false_rates(p, 10), [0.1, 0.005, 0.1, 0.001]
  )
  assert chance.false_rates(np.array([0.5]), 10) == 1
  assert len(chance.false_rates(np.array([]), 10)) == 0


def test_a_tail_that_is_heavier_than_the_bulk_counts():
  """As of a network that tells some people less well apart than others."""
  bulk = directions(200, 24, 0) @ directions(200, 24, 1).T
  mixed = bulk.copy()
  mixed[:60, :60] = directions(60, 4, 2) @ directions(60, 4, 3).T
  assert chance.fit(mixed, 1 / 200).cosine(1e-6) > 0.88
  assert chance.fit(bulk, 1 / 200).cosine(1e-6) < 0.83
