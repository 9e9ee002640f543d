import jax
import numpy as np
import pytest

from bfjax import labels, sharding

ROWS = 21  # not divisible by the devices


@pytest.fixture(params=[1, 2, 8])
def mesh(request):
  return sharding.make_mesh(jax.devices()[: request.param])


def batch(mesh):
  rng = np.random.default_rng(0)
  rows = rng.permutation(ROWS)[:16].astype(np.int32)
  return [
    jax.device_put(x, sharding.rows(mesh))
    for x in (rows, rng.integers(0, 99, 16, np.int32), rng.random(16) < 0.7)
  ]


def test_update_writes_the_masked_rows_and_no_others(mesh):
  given = np.arange(100, 100 + ROWS, dtype=np.int32)
  rows, new, mask = batch(mesh)
  table = jax.jit(labels.update, static_argnums=4)(
    labels.make(given, mesh), rows, new, mask, mesh
  )
  expected = given.copy()
  for row, label, counts in zip(
    *map(np.asarray, (rows, new, mask)), strict=True
  ):
    if counts:
      expected[row] = label
  assert table.sharding.is_equivalent_to(sharding.rows(mesh), 1)
  np.testing.assert_array_equal(np.asarray(table)[:ROWS], expected)


def test_a_filled_up_row_does_not_overwrite_the_real_one(mesh):
  table = labels.make(np.zeros(ROWS, np.int32), mesh)
  rows = jax.device_put(np.full(8, 3, np.int32), sharding.rows(mesh))
  new = jax.device_put(np.arange(1, 9, dtype=np.int32), sharding.rows(mesh))
  mask = jax.device_put(np.arange(8) == 5, sharding.rows(mesh))
  assert labels.update(table, rows, new, mask, mesh)[3] == 6


def test_look_up_reads_across_devices(mesh):
  given = np.random.default_rng(1).integers(0, 9, ROWS, np.int32)
  rows = batch(mesh)[0]
  found = labels.look_up(labels.make(given, mesh), rows, mesh)
  np.testing.assert_array_equal(found, given[np.asarray(rows)])


def test_scores_are_those_of_the_reference_on_sets_of_pairs():
  rng = np.random.default_rng(2)
  true = rng.integers(0, 5, 200)
  given = np.where(rng.random(200) < 0.3, rng.integers(0, 5, 200), true)
  table = np.where(rng.random(200) < 0.4, rng.integers(0, 5, 200), given)
  logged = {(i, table[i]) for i in range(200) if table[i] != given[i]}
  truth = {(i, true[i]) for i in range(200) if true[i] != given[i]}
  logged_rows, flipped_rows = ({i for i, _ in s} for s in (logged, truth))
  scores = labels.score_corrections(given, table, true)
  assert scores.precision == len(logged & truth) / len(logged)
  assert scores.recall == len(logged & truth) / len(truth)
  both = len(logged_rows & flipped_rows)
  assert scores.sample_precision == both / len(logged_rows)
  assert scores.sample_recall == both / len(flipped_rows)


def test_scores_without_corrections_are_not_numbers():
  labels_ = np.arange(4)
  scores = labels.score_corrections(labels_, labels_, labels_)
  assert np.isnan(scores.precision)
  assert np.isnan(scores.recall)
  assert scores.wrong_labels == 0
  assert np.isnan(scores.relabelled_strangers)


def test_strangers_have_scores_of_their_own():
  #                 kept right, unjust, flip put right, flip left, strangers
  true = np.array([0, 1, 2, 3, -1, -1, -1, -1])
  given = np.array([0, 1, 0, 0, 1, 2, 3, 0])
  table = np.array([0, 2, 2, 0, 1, 2, 3, 1])
  scores = labels.score_corrections(given, table, true)
  assert scores.precision == 1 / 3
  assert scores.recall == 1 / 2
  assert scores.wrong_labels == 2 / 4
  assert scores.unjust == 1 / 2
  assert scores.relabelled_strangers == 1 / 4
