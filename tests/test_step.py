import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

import tiny
from bfjax import setup, sharding, step

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def cache_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('faces')


def mesh_of(count):
  return sharding.make_mesh(jax.devices()[:count])


def batches(run, count, size=16):
  rng = np.random.default_rng(0)
  for _ in range(count):
    rows = rng.permutation(run.source.num_rows)[:size].astype(np.int32)
    yield {
      'image': rng.integers(0, 256, (size, 16, 16, 3), np.uint8),
      'label': run.given[rows],
      'row': rows,
      'mask': np.arange(size) < size - 3,
      'skipped': np.zeros(size, np.float32),
    }


def train(config, devices, count=3, size=16):
  run = setup.open_run(config, mesh_of(devices))
  state = setup.make_state(run, config)
  take = step.compile_step(run.recipe, state)
  for batch in batches(run, count, size):
    state, outcome = take(
      state, jax.device_put(batch, sharding.rows(run.recipe.mesh))
    )
    assert bool(outcome['finite'])
  return run, jax.device_get(state)


def test_any_number_of_devices_trains_the_same_model(cache_dir):
  config = tiny.config(cache_dir)
  config.head.epoch_start = 0
  config.labels.carry = 'persist'
  config.backbone.dropout = 0.4
  # A wide margin of the rule, so that untrained cosines are corrected too.
  config.head.m = 0.0
  results = {}
  for count in (1, 2, 8):
    run, state = train(config, count)
    classes, rows = run.source.num_classes, run.source.num_rows
    state.params['centres'] = state.params['centres'][:classes]
    results[count] = (state.params, state.stats, state.table[:rows])
  assert np.any(results[1][2] != run.given)
  for count in (2, 8):
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-5),
      results[count],
      results[1],
    )


def test_accumulated_batches_are_one_large_batch(cache_dir):
  # Statistics of two rows, so that micro-batches have the groups of the whole.
  config = tiny.config(cache_dir, backbone={'batch_norm_rows': 1})
  config.head.epoch_start = 0
  config.backbone.dropout = 0.0
  _, whole = train(config, 2)
  config.batch, config.accumulate = 8, 2
  _, parts = train(config, 2)
  for name in ('params', 'table', 'metrics'):
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-5),
      getattr(parts, name),
      getattr(whole, name),
    )


@pytest.mark.parametrize('devices', [1, 8])
def test_a_label_changes_once_enough_visits_agree(cache_dir, devices):
  config = tiny.config(cache_dir)
  config.head.m, config.head.epoch_start, config.head.visits = 0.0, 0, 2
  config.optim.lr = 0.0  # so that every visit proposes the same
  config.backbone.dropout = 0.0
  run = setup.open_run(config, mesh_of(devices))
  state = setup.make_state(run, config)
  compiled = step.compile_step(run.recipe, state)
  batch = next(batches(run, 1))
  one, two = [
    jax.device_get(state := compiled(state, batch)[0]) for _ in range(2)
  ]
  rows = batch['row'][batch['mask']]
  others = np.setdiff1d(np.arange(len(run.given)), rows)
  np.testing.assert_array_equal(one.table[: len(run.given)], run.given)
  changed = two.table[rows] != run.given[rows]
  assert changed.any()
  np.testing.assert_array_equal(one.past['proposed'][rows], two.table[rows])
  np.testing.assert_array_equal(one.past['times'][rows], 1)
  np.testing.assert_array_equal(two.past['times'][rows], 2)
  np.testing.assert_array_equal(two.past['times'][others], 0)
  np.testing.assert_array_equal(two.table[others], run.given[others])
  # Rows that wait have no loss.
  unsure = one.metrics.unsure
  np.testing.assert_allclose(unsure.total / unsure.count, changed.mean())


@pytest.mark.parametrize('devices', [1, 8])
def test_repface_remembers_predictions_from_the_start(cache_dir, devices):
  config = tiny.config(cache_dir)
  config.head.rule, config.head.epoch_start = 'repface', 1
  config.optim.lr = 0.0  # so that every visit predicts the same
  config.backbone.dropout = 0.0
  run = setup.open_run(config, mesh_of(devices))
  state = setup.make_state(run, config)
  compiled = step.compile_step(run.recipe, state)
  batch = next(batches(run, 1))
  states = [
    jax.device_get(state := compiled(state, batch)[0])
    for _ in range(run.recipe.steps_per_epoch + 1)
  ]
  rows = batch['row'][batch['mask']]
  others = np.setdiff1d(np.arange(len(run.given)), rows)
  for visits, now in enumerate(states, 1):
    np.testing.assert_array_equal(now.past['times'][rows], visits)
    np.testing.assert_array_equal(now.past['times'][others], 0)
  before, last = states[-2:]
  np.testing.assert_array_equal(before.table[: len(run.given)], run.given)
  assert (last.table[rows] != run.given[rows]).any()
  np.testing.assert_array_equal(last.table[rows], last.past['proposed'][rows])
  assert compiled._cache_size() == 1


def test_labels_are_corrected_from_the_epoch_after_epoch_start(cache_dir):
  config = tiny.config(cache_dir)
  config.head.m = 0.0
  config.head.epoch_start = 1
  run = setup.open_run(config, mesh_of(1))
  assert run.recipe.steps_per_epoch == 8
  state = setup.make_state(run, config)
  compiled = step.compile_step(run.recipe, state)
  corrected = []
  for batch in batches(run, 9):
    state, _ = compiled(
      state, jax.device_put(batch, sharding.rows(run.recipe.mesh))
    )
    corrected.append(
      np.any(np.asarray(state.table)[: len(run.given)] != run.given)
    )
  assert corrected == [False] * 8 + [True]
  assert compiled._cache_size() == 1  # nothing recompiles at the epoch


def test_updates_are_published_sgd_on_every_parameter(cache_dir):
  config = tiny.config(cache_dir, backbone={'dropout': 0.0})
  config.optim.update(
    {'lr': 0.1, 'lr_batch': 16, 'warmup_epochs': 0.5, 'milestones': (2,)}
  )
  # Eight steps an epoch: four of warm-up, and the drop at the second epoch.
  rates = [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]
  # A hundred times the usual decay, for whatever lacks it to be seen.
  momentum, decay = 0.9, 0.05
  config.optim.weight_decay = decay
  run = setup.open_run(config, mesh_of(1))
  state = setup.make_state(run, config)
  take = step.compile_step(run.recipe, state)
  # One that moves by the gradient itself, to read it off.
  bare = dataclasses.replace(run.recipe, optimizer=optax.sgd(1.0))
  opt_state = bare.optimizer.init(state.params)
  take_bare = step.compile_step(bare, state.replace(opt_state=opt_state))
  expected = jax.tree.map(np.float64, jax.device_get(state.params))
  velocity = jax.tree.map(np.zeros_like, expected)
  see = jax.jit(functools.partial(run.recipe.backbone.apply, train=True))
  place = functools.partial(
    jax.device_put, device=sharding.replicated(run.recipe.mesh)
  )
  for rate, batch in zip(rates, batches(run, len(rates)), strict=True):
    before = jax.device_get(state)
    batch = jax.device_put(batch, sharding.rows(run.recipe.mesh))
    moved, _ = take_bare(place(before.replace(opt_state=opt_state)), batch)
    images = run.recipe.scale(batch['image'])
    _, stats = see(before.params['backbone'], before.stats, images)
    slope = jax.tree.map(
      lambda p, q, e: np.float64(p) - q + decay * e,
      before.params,
      jax.device_get(moved.params),
      expected,
    )
    velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, slope)
    expected = jax.tree.map(
      lambda p, v, g, rate=rate: p - rate * (g + momentum * v),
      expected,
      velocity,
      slope,
    )
    state, _ = take(state, batch)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    jax.tree.map(close, jax.device_get(state.params), expected)
    jax.tree.map(close, jax.device_get(state.stats), jax.device_get(stats))


def test_the_centres_are_spread_over_the_devices_and_the_net_is_not(cache_dir):
  config = tiny.config(cache_dir)
  run = setup.open_run(config, mesh_of(8))
  state = setup.make_state(run, config)
  assert len(state.params['centres']) == 16  # 10 classes, padded
  assert state.params['centres'].sharding == sharding.rows(run.recipe.mesh)
  momentum = [
    x
    for path, x in jax.tree.leaves_with_path(state.opt_state)
    if 'centres' in jax.tree_util.keystr(path)
  ]
  assert [x.sharding for x in momentum] == [sharding.rows(run.recipe.mesh)]
  for leaf in jax.tree.leaves(state.params['backbone']):
    assert leaf.sharding.is_fully_replicated


@pytest.mark.parametrize(
  'changes',
  [
    {'head.margin': 'adaface', 'head.centres_init': 'normal'},
    {'accumulate': 2, 'batch': 8, 'labels.carry': 'persist'},
    {'optim.schedule': 'cosine', 'optim.clip_norm': 1.0},
  ],
)
def test_64_bit_mode_changes_no_type_of_the_state(cache_dir, changes):
  config = tiny.config(cache_dir)
  config.update_from_flattened_dict(changes)

  def types(state):
    return jax.tree.map(lambda x: x.dtype, state)

  run = setup.open_run(config, mesh_of(2))
  plain = types(setup.make_state(run, config))
  with jax.enable_x64(True):
    run = setup.open_run(config, mesh_of(2))
    state = setup.make_state(run, config)
    assert types(state) == plain
    take = functools.partial(step.train_step, recipe=run.recipe)
    state, _ = jax.eval_shape(take, state, next(batches(run, 1)))
  assert types(state) == plain


def test_what_is_counted_of_an_epoch_halves_in_one(cache_dir):
  """Also where a head runs several times an update."""
  config = tiny.config(cache_dir)
  config.head.rule, config.head.sub_centres = 'posterior', 2
  config.batch, config.accumulate = 8, 2
  run = setup.open_run(config, mesh_of(1))
  assert run.recipe.head.kept ** (
    2 * run.recipe.steps_per_epoch
  ) == pytest.approx(0.5)
  # An epoch of batches that do not count leaves half of what was counted.
  state = setup.make_state(run, config)
  head_state = dict(
    state.head_state,
    class_rows=state.head_state['class_rows'] + 4,
    sub_centre_use=state.head_state['sub_centre_use'] + 6,
  )
  state = jax.device_put(
    state.replace(head_state=head_state),
    step.state_shardings(state, run.recipe.mesh),
  )
  take = step.compile_step(run.recipe, state)
  batch = next(batches(run, 1)) | {'mask': np.zeros(16, bool)}
  for _ in range(run.recipe.steps_per_epoch):
    state, _ = take(state, batch)
  np.testing.assert_allclose(state.head_state['class_rows'], 2, rtol=1e-5)
  np.testing.assert_allclose(state.head_state['sub_centre_use'], 3, rtol=1e-5)
