"""What a run remembers of its rows: in the state, in its files, on the host."""

import functools
import shutil
import sys

import jax
import numpy as np
import pytest

import tiny
from bfjax import errors, labels, setup, sharding, step, training
from bfjax.logbook import density, history
from bfjax.storage import arrays

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('quick_compilation')]

STEPS, SIZE = 6, 16


@pytest.fixture(scope='module')
def cache_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('faces')


def config_of(cache_dir, **head):
  """One in which untrained cosines are corrected too."""
  config = tiny.config(cache_dir)
  config.backbone.dropout = 0.0
  config.head.update({'m': 0.0, 'epoch_start': 0, **head})
  return config


def take_steps(config, devices):
  """Yields (run, state before, batch, state after) of some steps."""
  mesh = sharding.make_mesh(jax.devices()[:devices])
  run = setup.open_run(config, mesh)
  state = setup.make_state(run, config)
  take = step.compile_step(run.recipe, state)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (run.source.num_rows, 16, 16, 3), np.uint8)
  for _ in range(STEPS):
    # Of a third of the rows, so that most are visited more than once.
    rows = rng.permutation(run.source.num_rows // 3)[:SIZE].astype(np.int32)
    batch = {
      'image': images[rows],
      'label': run.given[rows],
      'row': rows,
      'mask': np.arange(SIZE) < SIZE - 3,
      'skipped': np.zeros(SIZE, np.float32),
    }
    before = jax.device_get(state)
    batch_here = jax.device_put(batch, sharding.rows(mesh))
    state, _ = take(state, batch_here)
    yield run, before, batch, jax.device_get(state)


@functools.cache
def embed(apply):
  return jax.jit(functools.partial(apply, train=True))


def oracle_cosines(run, before, batch):
  """Cosines of a batch with all classes, float64 [n, classes]."""
  parts = run.recipe.accumulate
  cosine = np.empty((SIZE, run.source.num_classes))
  for part in range(parts):
    images = run.recipe.scale(batch['image'][part::parts])
    backbone = before.params['backbone']
    apply = embed(run.recipe.backbone.apply)
    embedding = np.float64(apply(backbone, before.stats, images)[0])
    centres = np.float64(before.params['centres'][: cosine.shape[1]])
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    cosine[part::parts] = embedding @ centres.T
  return cosine


@pytest.mark.parametrize(
  'devices, head, changes',
  [
    (1, {}, {}),
    (8, {}, {}),
    (2, {}, {'accumulate': 2, 'batch': 8}),
    (2, {'visits': 2}, {'labels.carry': 'persist'}),
    (1, {'rule': 'none', 'penalty': 'none'}, {}),
  ],
)
def test_agreement_and_cosines_are_those_of_the_last_visit(
  cache_dir, devices, head, changes
):
  config = config_of(cache_dir, **head)
  config.update_from_flattened_dict(changes)
  agreed, present, own, other, again_changed = {}, {}, {}, {}, 0
  for run, before, batch, after in take_steps(config, devices):
    cosine = oracle_cosines(run, before, batch)
    for i in np.flatnonzero(batch['mask']):
      row, given = int(batch['row'][i]), batch['label'][i]
      label = after.table[row]
      again = label == present.get(row, given)
      agreed[row] = agreed.get(row, 0) + 1 if again else 1
      again_changed += row in present and not again
      present[row], own[row] = label, cosine[i, given]
      others = np.delete(cosine[i], given)
      other[row] = others.max() if label == given else cosine[i, label]
  assert (again_changed > 0) == (config.head.rule != 'none')
  assert max(agreed.values()) > 1
  unseen = np.setdiff1d(np.arange(len(run.given)), list(agreed))
  past = after.past
  assert (past['agreed'][unseen] == 0).all()
  assert np.isnan(past['own'][unseen]).all()
  assert np.isnan(past['other'][unseen]).all()
  for row, count in agreed.items():
    assert past['agreed'][row] == count
    np.testing.assert_allclose(past['own'][row], own[row], atol=2e-3)
    np.testing.assert_allclose(past['other'][row], other[row], atol=2e-3)
  kept = {k: past[k] for k in labels.HISTORY}
  assert sum(x.dtype.itemsize for x in kept.values()) == 6


def test_without_history_the_state_is_what_it_was(cache_dir):
  config = config_of(cache_dir)
  *_, with_history = take_steps(config, 2)
  config.labels.history = False
  *_, without = take_steps(config, 2)
  state, other = without[-1], with_history[-1]
  assert state.past == {}
  jax.tree.map(
    np.testing.assert_array_equal, state, other.replace(past=state.past)
  )


@pytest.fixture(scope='module')
def runs(cache_dir, tmp_path_factory):
  """Workdirs of one run with a history and without: no -> workdir."""
  found = {}
  for keeps in (True, False):
    found[keeps] = tmp_path_factory.mktemp('run')
    training.train_and_evaluate(config_in_run(cache_dir, keeps), found[keeps])
  return found


def config_in_run(cache_dir, keeps):
  config = tiny.config(cache_dir)
  config.labels.history, config.head.m = keeps, 0.2
  return config


def saved_state(workdir, done=16):
  folder = workdir / 'checkpoints' / str(done) / 'state'
  return arrays.read(folder, arrays.saved(folder))


@pytest.mark.parametrize('keeps', [True, False])
def test_a_run_goes_on_with_a_history_or_without(
  cache_dir, runs, tmp_path, keeps
):
  """As from a checkpoint of before there was one; nothing else changes."""
  workdir = tmp_path / 'run'
  shutil.copytree(runs[not keeps], workdir)
  shutil.rmtree(workdir / 'checkpoints' / '16')
  training.train_and_evaluate(config_in_run(cache_dir, keeps), workdir)
  found, whole = saved_state(workdir), saved_state(runs[keeps])
  past, expected = found.pop('past', {}), whole.pop('past', {})
  jax.tree.map(np.testing.assert_array_equal, found, whole)
  assert (
    past.keys() == expected.keys() == ({*labels.HISTORY} if keeps else set())
  )
  if keeps:  # the cosines of the second epoch, and what is known since then
    rows = len(setup.open_run(config_in_run(cache_dir, keeps)).given)
    assert (past['agreed'][:rows] == 1).all()
    for name in ('own', 'other'):
      np.testing.assert_array_equal(past[name], expected[name])


def test_history_on_the_host_is_that_of_the_checkpoint(cache_dir, runs):
  run = setup.open_run(config_in_run(cache_dir, True))
  found, state = history.read(runs[True]), saved_state(runs[True])
  rows = run.source.num_rows
  assert found.epoch == 2
  np.testing.assert_array_equal(found.label, state['table'][:rows])
  np.testing.assert_array_equal(found.agreed, state['past']['agreed'][:rows])
  np.testing.assert_array_equal(found.own, state['past']['own'][:rows])
  # Corrected in the second epoch for the first time, or in agreement for two.
  corrected = found.label != run.given
  assert corrected.any() and not corrected.all()
  assert (found.since[corrected] == 2).all()
  assert set(found.since) == {1, 2}
  assert history.read(runs[True], 8).epoch == 1
  without = history.read(runs[False])
  np.testing.assert_array_equal(without.label, found.label)
  assert without.agreed is None and without.own is None
  assert not without.since.any()
  with pytest.raises(errors.UserError, match="No checkpoint '5'"):
    history.read(runs[True], 5)


def test_the_log_tells_the_history_of_what_is_corrected(cache_dir, runs):
  known = history.read(runs[True])
  header, *lines = (
    (runs[True] / 'corrections/epoch_002.tsv').read_text().splitlines()
  )
  old_header, *old = (
    (runs[False] / 'corrections/epoch_002.tsv').read_text().splitlines()
  )
  of_history = ['given_cosine', 'new_cosine', 'since_epoch', 'visits']
  assert header.split('\t') == [*old_header.split('\t'), *of_history]
  assert len(lines) == len(old) > 0
  for line, before in zip(lines, old, strict=True):
    fields = line.split('\t')
    assert fields[:4] == before.split('\t')
    row = int(fields[0])
    cosines = known.own[row], known.other[row]
    np.testing.assert_allclose(np.float64(fields[4:6]), cosines, atol=1e-4)
    assert fields[6:] == ['2', '1']


def test_the_density_is_that_of_the_cosines(cache_dir, runs):
  run = setup.open_run(config_in_run(cache_dir, True))
  known = history.read(runs[True])
  found = density.read(runs[True] / 'corrections/epoch_002.npz')
  for name, rows in (
    ('kept', known.label == run.given),
    ('corrected', known.label != run.given),
  ):
    expected = np.zeros((80, 80), int)
    for own, other in zip(known.own[rows], known.other[rows], strict=True):
      place = np.float64([own, other]) + 1
      expected[tuple(np.minimum(place / 0.025, 79.0).astype(int))] += 1
    np.testing.assert_array_equal(found[name], expected)
    assert found[name].dtype == np.uint32
  edges = np.float64(found['edges'])
  np.testing.assert_allclose(edges, np.linspace(-1, 1, 81), atol=1e-6)
  phi = np.cos(np.arccos(np.clip(edges, -1, 1)) + 0.2)
  inside = edges > np.cos(np.pi - 0.2)
  np.testing.assert_allclose(found['phi'][inside], phi[inside], atol=1e-5)
  beyond = np.where(found['phi'] > 0, found['phi'], np.nan)
  np.testing.assert_array_equal(found['boundary'], beyond)
  words = found['margin'].item(), found['rule'].item(), found['epoch'].item()
  assert words == ('arcface', 'boundary', 2)
  assert found['correcting'] and np.isnan(found['rule_margin'])
  assert found['m'] == np.float32(0.2)
  first = density.read(runs[True] / 'corrections/epoch_001.npz')
  assert not first['correcting'] and not first['corrected'].any()
  assert first['kept'].sum() == run.source.num_rows
  assert not list((runs[False] / 'corrections').glob('*.npz'))


@pytest.mark.parametrize(
  'head, boundary, rule_margin',
  [
    ({'rule': 'boundary', 'rule_margin': ((1, 0.0), (2, 0.4))}, 'angle', 0.2),
    ({'rule': 'posterior'}, 'difference', None),
    ({'rule': 'repface', 'penalty': 'none'}, 'difference', None),
    ({'rule': 'none', 'penalty': 'none', 'margin': 'adaface'}, 'none', None),
  ],
)
def test_the_boundary_is_where_the_rule_has_it(
  cache_dir, head, boundary, rule_margin
):
  config = config_of(cache_dir, **head)
  mesh = sharding.make_mesh(jax.devices()[:1])
  run = setup.open_run(config, mesh)
  state = setup.make_state(run, config)
  # After five of eight steps an epoch, so half an epoch after its beginning.
  found = density.of_epoch(run, state, 5)
  edges, own = np.float64(found['edges']), found['rule_margin']
  if boundary == 'angle':
    assert own == pytest.approx(rule_margin)
    expected = np.cos(np.arccos(np.clip(edges, -1, 1)) + rule_margin)
    expected = np.where(expected > 0, expected, np.nan)
  elif boundary == 'difference':
    told = run.recipe.head.rule.tell(state.head_state['rule'], 10)
    assert own == pytest.approx(float(told['rule_margin']))
    expected = edges - own
  else:
    assert np.isnan(own)
    expected = np.full(81, np.nan)
  np.testing.assert_allclose(found['boundary'], expected, atol=1e-5)
  assert found['kept'].sum() == found['corrected'].sum() == 0
  assert np.isfinite(found['phi']).all()


def test_tensorboard_has_both_cosines_at_every_epoch(cache_dir, runs):
  loader = pytest.importorskip(
    'tensorboard.backend.event_processing.event_file_loader'
  )
  found = {}
  for path in (runs[True] / 'tensorboard').iterdir():
    for event in loader.EventFileLoader(str(path)).Load():
      for value in event.summary.value:
        if value.tag.startswith('cosines/'):
          found[event.step, value.tag] = value.tensor
  names = 'cosines/own', 'cosines/nearest_other'
  assert found.keys() == {(step, name) for step in (8, 16) for name in names}
  tensors = sys.modules['tensorboard'].util.tensor_util
  seen = density.read(runs[True] / 'corrections/epoch_002.npz')
  counts = (seen['kept'] + seen['corrected']).sum(1)
  buckets = tensors.make_ndarray(found[16, 'cosines/own'])
  first, last = np.flatnonzero(counts)[[0, -1]]
  np.testing.assert_array_equal(buckets[:, 2], counts[first : last + 1])


def test_a_damaged_density_is_refused(tmp_path):
  path = tmp_path / 'epoch_001.npz'
  path.write_bytes(b'PK\x03\x04' + b'x' * 50)
  with pytest.raises(errors.UserError, match='cannot be read'):
    density.read(path)
