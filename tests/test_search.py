"""Search: the literal result, whatever the devices, blocks and order."""

import jax
import numpy as np
import pytest

from bfjax import errors
from bfjax.evaluation import blocks, search
from bfjax.evaluation.protocols import products


def scores_of(queries, gallery):
  """Every product in float64, one by one."""
  return np.array(
    [
      [np.sum(q.astype(np.float64) * g.astype(np.float64)) for g in gallery]
      for q in queries
    ]
  )


def best_of(scores, k):
  """The k best of each line, the lowest index first where scores tie."""
  rows = np.array(
    [sorted(range(len(s)), key=lambda i, s=s: (-s[i], i))[:k] for s in scores]
  )
  return np.take_along_axis(scores, rows, axis=1), rows


def normal(n, d=24, seed=0, length=1.0):
  features = np.random.default_rng(seed).normal(size=(n, d))
  features *= length / np.linalg.norm(features, axis=1, keepdims=True)
  return features.astype(np.float32)


def ties(n, seed=0):
  """Features with few different values: most products occur many times."""
  return np.random.default_rng(seed).integers(-1, 2, (n, 3)).astype(np.float32)


def near_ties(n, seed=0):
  """Features that differ by what float32 products cannot tell."""
  few = normal(4, seed=9)
  noise = np.random.default_rng(seed).normal(size=(n, few.shape[1])) * 3e-8
  return (few[np.arange(n) % 4] + noise).astype(np.float32)


KINDS = {
  'normal': (normal(21), normal(300, seed=1)),
  'long': (normal(9, length=40.0), normal(300, seed=1, length=25.0)),
  'ties': (ties(21), ties(300, seed=1)),
  'constant': (normal(1).repeat(9, axis=0), normal(1).repeat(200, axis=0)),
  'zeros': (np.zeros((3, 4), np.float32), np.zeros((100, 4), np.float32)),
  'negative': (normal(5), -normal(1).repeat(40, axis=0)),
  'one row': (normal(5), normal(1, seed=3)),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('shape', [None, (4, 32), (8, 96)])
def test_equal_to_sorting_all_products(kind, shape):
  queries, gallery = KINDS[kind]
  every = scores_of(queries, gallery)
  for k in (1, 10, 70):
    k = min(k, len(gallery))
    scores, rows = search.top_k(queries, gallery, k, shape=shape)
    expected_scores, expected_rows = best_of(every, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('count', [1, 40, 100_000])
def test_highest_of_all_products(kind, count):
  queries, gallery = KINDS[kind]
  collector = search.Highest(queries, gallery, count)
  search.scan(queries, gallery, [collector], shape=(4, 32))
  every = np.sort(scores_of(queries, gallery), axis=None)[::-1]
  np.testing.assert_array_equal(collector.result(), every[:count])


@pytest.mark.parametrize('many', [0, 7])
def test_what_is_overtaken_is_dropped_on_the_way(many, monkeypatch):
  monkeypatch.setattr(search, '_MANY', many)
  for queries, gallery in KINDS.values():
    every = scores_of(queries, gallery)
    best = search.TopK(queries, gallery, 1)
    highest = search.Highest(queries, gallery, 3)
    search.scan(queries, gallery, [best, highest], shape=(4, 32))
    for found, expected in zip(best.result(), best_of(every, 1), strict=True):
      np.testing.assert_array_equal(found, expected)
    expected = np.sort(every, axis=None)[::-1][:3]
    np.testing.assert_array_equal(highest.result(), expected)


def test_what_float32_cannot_tell_is_right_within_its_rounding():
  """More near ties than are kept beyond those wanted."""
  queries, gallery = near_ties(9), near_ties(300, seed=1)
  every = scores_of(queries, gallery)
  scores, rows = search.top_k(queries, gallery, 10)
  assert np.all(np.diff(scores) <= 0)
  assert all(len(set(x)) == 10 for x in rows)
  np.testing.assert_array_equal(scores, np.take_along_axis(every, rows, axis=1))
  expected, _ = best_of(every, 10)
  np.testing.assert_allclose(scores, expected, atol=3e-7)


def test_products_are_picked_where_they_lie(monkeypatch):
  monkeypatch.setattr(blocks, '_SHARES_MEMORY', ())
  for kind in ('normal', 'ties'):
    queries, gallery = KINDS[kind]
    scores, rows = search.top_k(queries, gallery, 40, shape=(8, 96))
    expected_scores, expected_rows = best_of(scores_of(queries, gallery), 40)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


def test_number_of_devices_makes_no_difference():
  queries, gallery = normal(30), normal(500, seed=1)
  results = [
    search.top_k(queries, gallery, 5, shape=(16, 32), devices=jax.devices()[:n])
    for n in (1, 3, 8)
  ]
  for result in results[1:]:
    np.testing.assert_array_equal(result, results[0])


def test_order_of_rows_makes_no_difference():
  queries, gallery = KINDS['normal']
  order = np.random.default_rng(5).permutation(len(gallery))
  scores, rows = search.top_k(queries, gallery, 10)
  permuted_scores, permuted_rows = search.top_k(queries, gallery[order], 10)
  np.testing.assert_array_equal(permuted_scores, scores)
  np.testing.assert_array_equal(
    scores_of(queries, gallery)[np.arange(len(rows))[:, None], rows],
    scores_of(queries, gallery)[
      np.arange(len(rows))[:, None], order[permuted_rows]
    ],
  )


def test_a_gallery_in_a_file_and_in_half_precision(tmp_path):
  queries, gallery = normal(9), normal(300, seed=1).astype(np.float16)
  np.save(tmp_path / 'gallery.npy', gallery)
  mapped = np.load(tmp_path / 'gallery.npy', mmap_mode='r')
  scores, rows = search.top_k(queries, mapped, 4, shape=(4, 64))
  expected_scores, expected_rows = best_of(scores_of(queries, gallery), 4)
  np.testing.assert_array_equal(rows, expected_rows)
  np.testing.assert_array_equal(scores, expected_scores)


def test_collectors_go_on_with_more_rows():
  queries, gallery = normal(9), normal(300, seed=1)
  best = search.TopK(queries, gallery, 5)
  every = scores_of(queries, gallery)
  for start, stop in ((0, 10), (10, 205), (205, 300)):
    search.scan(queries, gallery, [best], slice(start, stop), shape=(4, 64))
    for found, expected in zip(
      best.result(), best_of(every[:, :stop], 5), strict=True
    ):
      np.testing.assert_array_equal(found, expected)


def test_rough_products_are_within_the_slack():
  queries, gallery = normal(64, d=512), normal(256, d=512, seed=1)
  rough = queries @ gallery.T
  wrong = np.abs(rough - scores_of(queries, gallery)).max()
  assert 0 < wrong < products.slack(1.0, 1.0, 512) < 1e-4


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad):
  queries, gallery = normal(3), normal(100, seed=1)
  gallery[70, 2] = bad
  with pytest.raises(errors.UserError, match='row 70 '):
    search.top_k(queries, gallery, 1, shape=(4, 32))


def test_products_that_overflow_are_refused():
  with pytest.raises(errors.UserError, match='Normalise'):
    search.top_k(normal(3), normal(100, length=1e38), 1)


def test_more_than_there_are_is_a_mistake():
  with pytest.raises(ValueError, match='101 best of 100'):
    search.top_k(normal(3), normal(100), 101)
