import jax
import numpy as np
import pytest

from bfjax import fit, labels, sharding

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


def test_tables_of_other_types_are_written_and_read_alike(mesh):
  rows, new, mask = batch(mesh)
  tables = labels.Past(
    labels.make(np.zeros(ROWS, np.int32), mesh),
    **jax.device_put(
      labels.no_past(sharding.pad_to(ROWS, mesh)), sharding.rows(mesh)
    ),
  )
  past = labels.Past(new, agreed=new, own=new / 128, other=-new / 128)
  past = past._replace(agreed=new.astype('u2'))
  write, read = (
    jax.jit(f, static_argnames='mesh') for f in (labels.update, labels.look_up)
  )
  written = write(tables, rows, past, mask, mesh=mesh)
  for table, before, values in (
    (written.agreed, 0, np.uint16(new)),
    (written.own, np.nan, np.float16(new / 128)),
    (written.other, np.nan, np.float16(-new / 128)),
  ):
    assert table.dtype == values.dtype
    expected = np.where(mask, values, np.asarray(before, values.dtype))
    np.testing.assert_array_equal(read(table, rows, mesh=mesh), expected)
  assert written.proposed is None


def test_agreement_begins_anew_with_a_label_and_has_an_end():
  top = np.iinfo(np.uint16).max
  before = labels.Past(
    np.int32([4, 4, 4, 4]), agreed=np.uint16([0, 7, 7, top]), own=0, other=0
  )
  now = labels.Past(np.int32([4, 4, 5, 4]))
  given = np.int32([4, 4, 4, 9])
  cosines = (
    np.float32(x) for x in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11])
  )
  past = labels.note_visit(now, before, given, [*cosines])
  assert past.agreed.dtype == np.uint16
  np.testing.assert_array_equal(past.agreed, [1, 8, 1, top])
  np.testing.assert_array_equal(past.own, [0, 1, 2, 3])
  # The nearest, or the label where that is not the given one.
  np.testing.assert_array_equal(past.other, [8, 9, 6, 7])


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
  scores = fit.score(fit.count(given, table, true))
  assert scores.precision == len(logged & truth) / len(logged)
  assert scores.recall == len(logged & truth) / len(truth)
  both = len(logged_rows & flipped_rows)
  assert scores.sample_precision == both / len(logged_rows)
  assert scores.sample_recall == both / len(flipped_rows)


def test_scores_without_corrections_are_not_numbers():
  labels_ = np.arange(4)
  scores = fit.score(fit.count(labels_, labels_, labels_))
  assert np.isnan(scores.precision)
  assert np.isnan(scores.recall)
  assert scores.wrong_labels == 0
  assert np.isnan(scores.relabelled_strangers)


def test_strangers_have_scores_of_their_own():
  #                 kept right, unjust, flip put right, flip left, strangers
  true = np.array([0, 1, 2, 3, -1, -1, -1, -1])
  given = np.array([0, 1, 0, 0, 1, 2, 3, 0])
  table = np.array([0, 2, 2, 0, 1, 2, 3, 1])
  scores = fit.score(fit.count(given, table, true))
  assert scores.precision == 1 / 3
  assert scores.recall == 1 / 2
  assert scores.wrong_labels == 2 / 4
  assert scores.unjust == 1 / 2
  assert scores.relabelled_strangers == 1 / 4
