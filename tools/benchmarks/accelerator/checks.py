"""Whether a device computes as the formulas say, and decides as a CPU."""

import functools
import inspect
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from benchmarks import backbone
from benchmarks.accelerator import recipes, sizes
from bfjax import backbones, builders, runtime, sharding, step
from bfjax.heads import margins, penalties, rules, softmax

ROWS, DIM, CLASSES = 16, 24, 61
_TOLERANCE = 1e-3


class Check(NamedTuple):
  """One result: `value` is to be as `goal` says."""

  what: str
  ours: str
  value: float
  goal: str
  note: str = ''


def run(found: sizes.Sizes) -> list[Check]:
  """All of them, on the device that JAX has first."""
  runtime.start('')
  return [_heads(), _step(), *_labels(found)]


def _case():
  return backbone.oracle('cases').noisy(ROWS, DIM, CLASSES)


def _heads() -> Check:
  """Every margin with the boundary rule and penalty, and without them."""
  errors, wrong = [], 0
  for name in margins.MARGINS:
    for rule in ('none', 'boundary'):
      error, labels = _head_error(name, rule)
      errors.append(error)
      wrong += labels
  return Check(
    'heads against the float64 oracle, float32',
    'largest error of losses and gradients',
    max(errors),
    f'at most {_TOLERANCE}',
    f'{len(errors)} heads, relative to the largest entry; {wrong} labels of'
    f' {ROWS * len(errors)} otherwise',
  )


def _head_error(name, rule) -> tuple[float, int]:
  mesh = sharding.make_mesh(jax.devices()[:1])
  mask = np.arange(ROWS) < ROWS - 3
  embedding, centres, label = _case()
  head = softmax.Head(
    mesh,
    margin=margins.build(name),
    rule=rules.build(rule),
    penalty=penalties.PENALTIES[rule],
    num_classes=CLASSES,
    scale=recipes.SCALE,
  )
  state = head.init_state()

  @functools.partial(jax.grad, argnums=(0, 1), has_aux=True)
  def gradient(embedding, centres):
    out = head(embedding, centres, label, mask, state, softmax.Now(True))
    per_row = out.weight * (out.loss + recipes.WEIGHT * out.penalty)
    return jnp.where(mask, per_row, 0).sum() / ROWS, out

  (of_rows, of_centres), out = jax.jit(gradient)(
    embedding.astype('f4'), centres.astype('f4')
  )
  options = inspect.signature(margins.MARGINS[name]).parameters
  want = backbone.oracle('oracle_heads').head(
    name,
    {key: option.default for key, option in options.items()},
    rule,
    rule,
    *(embedding, centres, label, mask, head.init_state()),
    scale=recipes.SCALE,
    correcting=True,
    penalty_weight=recipes.WEIGHT,
  )
  pairs = (
    (out.loss, want.loss),
    (of_rows, want.embedding_gradient),
    (of_centres, want.centres_gradient),
  )
  wrong = int((np.asarray(out.label) != want.label).sum())
  return max(_error(a, b) for a, b in pairs), wrong


def _error(found, want) -> float:
  """The largest difference, relative to the largest entry."""
  want = np.asarray(want)
  return float(np.abs(np.asarray(found) - want).max() / np.abs(want).max())


def _step() -> Check:
  """Two epochs' steps of a linear net: before labels are corrected, and after.

  The rate is 1 and there is no momentum, so that the gradient is what a step
  takes off.
  """
  oracle = backbone.oracle('oracle_step')
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (ROWS, 4, 4, 3), np.uint8)
  weights = rng.normal(size=(48, DIM))
  pixels = images.reshape(ROWS, -1) / 127.5 - 1
  _, centres, label = _case()
  centres[label] = pixels @ weights / 5 + rng.normal(size=(ROWS, DIM))
  label[::2] = rng.integers(0, CLASSES, len(label[::2]))
  recipe = _linear_recipe()
  errors, wrong, corrected = [], 0, 0
  for epoch in (1, 2):
    tensors = [torch.tensor(x, requires_grad=True) for x in (weights, centres)]
    want = oracle.outcome(
      'boundaryface',
      torch.tensor(pixels) @ tensors[0],
      tensors[1],
      torch.tensor(label).long(),
      **dict(epoch=epoch, epoch_start=1),
      **dict(s=recipes.SCALE, m=recipes.MARGIN, t=0.1),
    )
    want.loss.backward()
    start = _state(recipe, weights, centres, epoch)
    batch = _batch(images, label)
    # A state is used up by its step.
    state, told = step.compile_step(recipe, start)(
      jax.tree.map(jnp.copy, start), batch
    )
    moved = jax.tree.map(np.subtract, start.params, state.params)
    errors += [
      _error(told['loss'], want.loss.item()),
      _error(moved['backbone']['weights'], tensors[0].grad.numpy()),
      _error(moved['centres'], tensors[1].grad.numpy()),
    ]
    wrong += int((np.asarray(state.table)[:ROWS] != want.label.numpy()).sum())
    corrected += int((want.label.numpy() != label).sum())
  return Check(
    'training step against the float64 oracle, float32',
    'largest error of loss and gradients',
    max(errors),
    f'at most {_TOLERANCE}',
    f'{wrong} labels of {2 * ROWS} otherwise, of which {corrected} are'
    ' corrected',
  )


def _linear_recipe() -> step.Recipe:
  mesh = sharding.make_mesh(jax.devices()[:1])

  def apply(params, stats, images, *, train, dropout_key=None):
    del train, dropout_key
    flat = images.reshape(len(images), -1)
    highest = jax.lax.Precision.HIGHEST
    return jnp.matmul(flat, params['weights'], precision=highest), stats

  def init(key):
    del key
    return {'weights': jnp.zeros((48, DIM))}, {}

  return step.Recipe(
    backbone=backbones.Backbone(init, apply, DIM),
    head=recipes.head(mesh, CLASSES),
    optimizer=optax.sgd(1.0),
    mesh=mesh,
    steps_per_epoch=1,
    carry='visit',
    epoch_start=1,
    penalty_start=1,
    penalty_weight=lambda _: math.pi,
    rule_margin=lambda _: None,
    drop_start=math.inf,
    accumulate=1,
    dropout_seed=0,
  )


def _state(recipe, weights, centres, epoch) -> step.TrainState:
  new = builders.new_state(jax.random.key(0), recipe, ROWS)
  params = {
    'backbone': {'weights': jnp.asarray(weights, jnp.float32)},
    'centres': jnp.asarray(centres, jnp.float32),
  }
  return new.replace(params=params, step=jnp.int32(epoch - 1))


def _batch(images, label):
  return {
    'image': images,
    'label': label,
    'row': np.arange(ROWS, dtype=np.int32),
    'mask': np.ones(ROWS, bool),
    'skipped': np.zeros(ROWS, np.float32),
  }


def _labels(found: sizes.Sizes) -> list[Check]:
  """The labels of many rows that a head decides here and on the CPU."""
  rows = found.head_rows
  arrays = recipes.embeddings(rows, found.label_classes, found.dim)
  given = arrays[2]
  decided = []
  for device in (jax.devices()[0], jax.devices('cpu')[0]):
    mesh = sharding.make_mesh([device])
    head = recipes.head(mesh, found.label_classes)

    def decide(embedding, centres, label, head=head):
      mask, now = jnp.ones(rows, bool), softmax.Now(True)
      state = head.init_state()
      return head(embedding, centres, label, mask, state, now).label

    put = jax.device_put(arrays, sharding.rows(mesh))
    decided.append(np.asarray(jax.jit(decide)(*put)))
  here, there = decided
  return [
    Check(
      f'labels decided as on the CPU, {rows} rows, {found.label_classes:,}'
      ' classes',
      'share of the rows',
      float((here == there).mean()),
      '1',
      f'{(there != given).sum()} of them corrected',
    )
  ]
