"""The compiled training step against the published heads, epoch by epoch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bfjax import averages, backbones, labels, optim, sharding, step
from bfjax.heads import margins, penalties, rules, softmax

oracle = pytest.importorskip('oracle_step', reason='it is written in PyTorch')
torch = pytest.importorskip('torch')

ROWS, SIDE, DIM, CLASSES = 32, 4, 24, 61
S, M, T = 32.0, 0.5, 0.1
EPOCH_START, STEPS_PER_EPOCH = 3, 5
MASK = np.arange(ROWS) < ROWS - 3

MARGIN = {'boundary_f1': 'arcface', 'boundaryface': 'arcface'}


def scale(images):
  return images / 127.5 - 1


def case():
  """Images, weights of a linear net, centres, labels, half of them wrong."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (ROWS, SIDE, SIDE, 3), np.uint8)
  weights = rng.normal(size=(SIDE * SIDE * 3, DIM))
  centres = rng.normal(size=(CLASSES, DIM))
  label = rng.permutation(CLASSES)[:ROWS]
  embedding = scale(images).reshape(ROWS, -1) @ weights
  unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
  centres[label] = unit + 0.1 * rng.normal(size=(ROWS, DIM))
  label[::2] = rng.integers(0, CLASSES, len(label[::2]))
  return images, weights, centres, label.astype('i4')


def linear_backbone():
  def apply(params, stats, images, *, train, dropout_key=None):
    del train, dropout_key
    return images.reshape(len(images), -1) @ params['weights'], stats

  return backbones.Backbone(lambda key: ({}, {}), apply, DIM)


def widest(tree):
  """Counts and sums in 64 bits, as they come out of a step in float64."""
  return jax.tree.map(
    lambda x: x.astype('f8' if jnp.issubdtype(x.dtype, jnp.floating) else 'i8'),
    tree,
  )


def prepared(head, devices):
  """The step of a head and a state at step 0, as a run has them."""
  images, weights, centres, label = case()
  mesh = sharding.make_mesh(jax.devices()[:devices])
  corrects = head in oracle.LAMBDA
  penalises = bool(oracle.LAMBDA.get(head))
  margin = margins.build(MARGIN.get(head, head))
  recipe = step.Recipe(
    backbone=linear_backbone(),
    head=softmax.Head(
      mesh,
      margin=margin,
      rule=rules.build('boundary' if corrects else 'none'),
      penalty=penalties.PENALTIES['boundary' if penalises else 'none'],
      num_classes=CLASSES,
      scale=S,
    ),
    optimizer=optax.sgd(1.0),  # so that the gradient is what is taken off
    mesh=mesh,
    steps_per_epoch=STEPS_PER_EPOCH,
    carry='visit',
    epoch_start=EPOCH_START,
    penalty_start=EPOCH_START,
    penalty_weight=lambda epoch: np.pi,
    rule_margin=lambda epoch: None,
    drop_start=np.inf,
    accumulate=1,
    dropout_seed=0,
    scale=scale,
  )
  padded = np.zeros((sharding.pad_to(CLASSES, mesh), DIM))
  padded[:CLASSES] = centres
  params = {'backbone': {'weights': weights}, 'centres': padded}
  state = step.TrainState(
    step=np.int32(0),
    params=params,
    stats={},
    opt_state=recipe.optimizer.init(params),
    head_state={
      'margin': {name: np.float64(T) for name in margin.init_state()},
      'rule': {},
      'class_rows': {},
      'sub_centre_use': {},
    },
    table=labels.make(label, mesh),
    metrics=widest(averages.TrainMetrics.empty()),
  )
  batch = {
    'image': images,
    'label': label,
    'row': np.arange(ROWS, dtype=np.int32),
    'mask': MASK,
    'skipped': np.zeros(ROWS, np.float32),
  }
  # The state on the host: each step uses up what it is given.
  return (
    recipe,
    jax.device_get(state),
    jax.device_put(batch, sharding.rows(mesh)),
  )


def expected(head, epoch):
  """(outcome, gradient of the weights, of the centres), of the real rows."""
  images, weights, centres, label = case()
  weights = torch.tensor(weights, requires_grad=True)
  centres = torch.tensor(centres, requires_grad=True)
  pixels = torch.tensor(scale(images[MASK]).reshape(MASK.sum(), -1))
  out = oracle.outcome(
    head,
    pixels @ weights,
    centres,
    torch.tensor(label[MASK]).long(),
    epoch=epoch,
    epoch_start=EPOCH_START,
    s=S,
    m=M,
    t=T,
  )
  out.loss.backward()
  return out, weights.grad.numpy(), centres.grad.numpy()


def at(recipe, state, done):
  """The state after `done` updates, on the devices of the recipe."""
  return jax.device_put(
    state.replace(step=np.int32(done)),
    step.state_shardings(state, recipe.mesh),
  )


@pytest.mark.parametrize('devices', [1, 4])
@pytest.mark.parametrize('head', oracle.HEADS)
def test_a_step_is_the_published_one_in_every_epoch(head, devices):
  close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-11)
  given = case()[3][MASK]
  with jax.enable_x64(True):
    recipe, start, batch = prepared(head, devices)
    take = step.compile_step(recipe, start)
    for epoch in (EPOCH_START - 1, EPOCH_START, EPOCH_START + 1):
      out, of_weights, of_centres = expected(head, epoch)
      if head in oracle.LAMBDA and epoch > EPOCH_START:
        assert 5 < (out.label.numpy() != given).sum() < 20
        assert not oracle.LAMBDA[head] or out.penalty.sum() > 0
      for number in (0, STEPS_PER_EPOCH - 1):  # the first and the last of it
        done = (epoch - 1) * STEPS_PER_EPOCH + number
        state, told = take(at(recipe, start, done), batch)
        close(told['loss'], out.loss.item())
        means = state.metrics.compute()
        close(means['loss'], out.loss.item())
        if oracle.LAMBDA.get(head):
          close(means['penalty'], out.penalty.mean())
        close(means['corrected'], np.mean(out.label.numpy() != given))
        table = np.asarray(state.table)[:ROWS]
        np.testing.assert_array_equal(table[MASK], out.label)
        np.testing.assert_array_equal(table[~MASK], case()[3][~MASK])
        for value in state.head_state['margin'].values():
          close(value, out.t)
        moved = jax.tree.map(np.subtract, start.params, state.params)
        close(moved['backbone']['weights'], of_weights)
        close(moved['centres'][:CLASSES], of_centres)
    assert take._cache_size() == 1  # nothing recompiles as epochs go by


def test_a_penalty_with_a_start_and_a_schedule_of_its_own():
  with jax.enable_x64(True):
    recipe, start, batch = prepared('boundaryface', 1)
    recipe = dataclasses.replace(
      recipe,
      penalty_start=1,
      penalty_weight=optim.scheduled(
        'head.lambda_schedule', ((1, 0.0), (5, 8.0))
      ),
    )
    plain = dataclasses.replace(recipe, penalty_weight=lambda epoch: 0.0)
    take, take_plain = (step.compile_step(r, start) for r in (recipe, plain))
    weights, corrected = [], []
    for done in (0, 4, 5, 9, 14, 15, 99):  # five steps an epoch
      state, told = take(at(recipe, start, done), batch)
      _, without = take_plain(at(plain, start, done), batch)
      penalty = float(state.metrics.compute()['penalty'])
      added = float(told['loss'] - without['loss'])
      weights.append(added / penalty if penalty else 0.0)
      corrected.append(float(state.metrics.compute()['corrected']) > 0)
      assert (penalty > 0) == (done >= 5)
  # Of the epoch in fractions, (weight 2 an epoch), once the second begins.
  np.testing.assert_allclose(weights, [0, 0, 2, 3.6, 5.6, 6, 8], atol=1e-6)
  assert corrected == [False] * 5 + [True] * 2


@pytest.mark.parametrize('carry', ['visit', 'persist'])
def test_the_given_label_comes_back_at_the_next_visit_unless_told_to_stay(
  carry,
):
  with jax.enable_x64(True):
    recipe, start, batch = prepared('boundary_f1', 4)
    recipe = dataclasses.replace(recipe, carry=carry)
    given = case()[3]
    take = step.compile_step(recipe, start)
    state, _ = take(at(recipe, start, EPOCH_START * STEPS_PER_EPOCH), batch)
    corrected = np.asarray(state.table)[:ROWS]
    assert (corrected != given).sum() > 5
    # A visit at which nothing can be accepted: no row is near any class.
    params = {**start.params, 'centres': np.ones_like(start.params['centres'])}
    again = jax.device_get(state).replace(params=params)
    state, _ = take(
      jax.device_put(again, step.state_shardings(again, recipe.mesh)), batch
    )
    after = np.asarray(state.table)[:ROWS]
  np.testing.assert_array_equal(after, given if carry == 'visit' else corrected)


def test_the_rule_may_have_a_margin_of_its_own_that_follows_the_epochs():
  images, weights, centres, given = case()
  embedding = scale(images).reshape(ROWS, -1) @ weights
  unit = [
    x / np.linalg.norm(x, axis=1, keepdims=True) for x in (embedding, centres)
  ]
  cosine = unit[0] @ unit[1].T
  rows = np.arange(ROWS)
  other = np.where(np.arange(CLASSES) == given[:, None], -1, cosine)
  nearest = other.argmax(1)
  schedule = ((4, 1.5), (6, 0.1))
  with jax.enable_x64(True):
    recipe, start, batch = prepared('boundary_f1', 4)
    recipe = dataclasses.replace(
      recipe, rule_margin=optim.scheduled('head.rule_margin', schedule)
    )
    take = step.compile_step(recipe, start)
    counts = []
    for done, margin in ((15, 1.5), (20, 0.8), (25, 0.1), (99, 0.1)):
      state, _ = take(at(recipe, start, done), batch)
      angle = np.arccos(other[rows, nearest]) + margin
      phi = np.where(angle < np.pi, np.cos(angle), -1)
      beyond = np.maximum(phi, 0) > np.maximum(cosine[rows, given], 0)
      want = np.where(beyond & MASK, nearest, given)
      np.testing.assert_array_equal(np.asarray(state.table)[:ROWS], want)
      counts.append(beyond.sum())
  assert counts[0] < counts[1] <= counts[2]
