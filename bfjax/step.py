"""The training state and the training step, a pure function of arrays."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from bfjax import backbones, labels, metrics, sharding
from bfjax.config import limits
from bfjax.heads import corrections, softmax


@flax.struct.dataclass
class TrainState:
  """All that a run is at one step; a checkpoint holds exactly this.

  Attributes:
    step: int32 scalar, updates made so far.
    params: {'backbone': ..., 'centres': float32 [padded classes, d]}.
    stats: the backbone's running statistics.
    opt_state: of the optimiser.
    head_state: what the margin (CurricularFace's t, ...) and the rule carry.
    table: int32 [padded rows], the label table; see `labels`.
    metrics: averages since the last log line.
    past: {} or, where the rule remembers visits or labels wait for several,
      'proposed' and 'times' of `corrections.Past`, which lie as the table does.
  """

  step: jax.Array
  params: Any
  stats: Any
  opt_state: Any
  head_state: Any
  table: jax.Array
  metrics: metrics.TrainMetrics
  past: Any = flax.struct.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What the step needs to know beside the state and the batch.

  Attributes:
    backbone: images -> embeddings.
    head: embeddings and labels -> per-row losses, from `softmax.make_head`.
    optimizer: gradients -> updates.
    mesh: the devices.
    steps_per_epoch: updates in an epoch.
    carry: what a sample is trained with at its next visit, before the rule
      decides: 'visit', its given label; 'persist', its label in the table.
    epoch_start: labels are corrected in epochs (from 1) greater than this.
    penalty_start: the penalty counts in epochs greater than this.
    penalty_weight: epoch (float, from 1) -> lambda.
    rule_margin: likewise -> the rule's own margin; None: the margin's phi.
    drop_start: minor sub-centres are dropped in epochs greater than this.
    accumulate: micro-batches an update.
    dropout_seed: of the dropout masks.
    scale: uint8 images -> what the backbone takes.
    frozen: what is not trained: '', 'backbone' or 'centres'. A frozen backbone
      computes as in inference, and its running statistics stay as they are.
  """

  backbone: Any
  head: Callable
  optimizer: optax.GradientTransformation
  mesh: jax.sharding.Mesh
  steps_per_epoch: int
  carry: str
  epoch_start: float
  penalty_start: float
  penalty_weight: Callable
  rule_margin: Callable
  drop_start: float
  accumulate: int
  dropout_seed: int
  scale: Callable = backbones.scale_pixels
  frozen: str = ''

  def __post_init__(self):
    limits.check('labels.carry', self.carry)
    limits.check('freeze', self.frozen)


def scheduled(key: str, value: float | Sequence | None) -> Callable:
  """Returns epoch -> value: constant, or piecewise linear.

  Args:
    key: of the config, for the message.
    value: a number, or pairs (epoch, number), epochs (from 1, fractions
      allowed) ascending; constant before the first and after the last. None
      for a function that returns None.

  Raises:
    UserError: if it is neither.
  """
  limits.check(key, value)
  if not isinstance(value, Sequence):
    return lambda epoch: value
  epochs, values = zip(*value, strict=True)
  return lambda epoch: jnp.interp(
    epoch, jnp.array(epochs, jnp.float32), jnp.array(values, jnp.float32)
  )


def init_params(key, backbone, *, num_centres, padded_centres, centres_init):
  """Returns (params, running statistics) of a new model.

  Args:
    key: a PRNG key.
    backbone: as `backbones.build` gives it.
    num_centres: of all classes.
    padded_centres: rows of the centres, padded to the devices.
    centres_init: 'xavier' (uniform) or 'normal' (deviation 0.01, as
      CurricularFace's).
  """
  backbone_key, centres_key = jax.random.split(key)
  params, stats = backbone.init(backbone_key)
  shape = (padded_centres, backbone.embedding_dim)
  bound = (6 / (num_centres + backbone.embedding_dim)) ** 0.5
  limits.check('head.centres_init', centres_init)
  if centres_init == 'normal':
    centres = 0.01 * jax.random.normal(centres_key, shape, jnp.float32)
  else:
    centres = jax.random.uniform(centres_key, shape, jnp.float32, -bound, bound)
  return {'backbone': params, 'centres': centres}, stats


# What lies over the devices, by class or by row.
_SPREAD = {'centres', 'class_rows', 'past', 'sub_centre_use', 'table'}


def state_shardings(state, mesh):
  """The sharding of every leaf: centres and table over the devices.

  Whatever belongs to the centres (their momentum, say) is sharded as they
  are; all else is replicated.
  """

  def of(path, leaf):
    del leaf
    names = {str(getattr(k, 'key', getattr(k, 'name', ''))) for k in path}
    return sharding.rows(mesh) if names & _SPREAD else sharding.replicated(mesh)

  return jax.tree_util.tree_map_with_path(of, state)


def compile_step(recipe: Recipe, state: TrainState) -> Callable:
  """Returns the compiled `train_step` of a recipe: (state, batch) -> ...

  The state given to it is used up. What it returns lies as `state` does, so
  nothing is compiled twice.
  """
  return jax.jit(
    functools.partial(train_step, recipe=recipe),
    donate_argnums=0,
    out_shardings=(
      state_shardings(state, recipe.mesh),
      sharding.replicated(recipe.mesh),
    ),
  )


def train_step(state: TrainState, batch: dict, recipe: Recipe):
  """One update, a pure function.

  Args:
    state: before the update.
    batch: 'image' uint8 [n, h, w, 3], 'label' int32 [n] (the given labels),
      'row' int32 [n], 'mask' bool [n] (false for what only fills the last
      batch of an epoch), 'skipped' float32 [n].
    recipe: everything fixed.

  Returns:
    (the new state, {'loss': scalar, 'finite': bool scalar}); `finite` says
    whether the loss and the whole gradient were.
  """
  epoch = state.step // recipe.steps_per_epoch + 1
  smooth_epoch = state.step / recipe.steps_per_epoch + 1
  label = batch['label']
  if recipe.carry == 'persist':
    label = labels.look_up(state.table, batch['row'], recipe.mesh)
  run = _forward_backward(
    recipe,
    state,
    now=softmax.Now(
      correcting=epoch > recipe.epoch_start,
      rule_margin=recipe.rule_margin(smooth_epoch),
      dropping=epoch > recipe.drop_start,
    ),
    penalising=epoch > recipe.penalty_start,
    weight=recipe.penalty_weight(smooth_epoch),
    num_rows=batch['mask'].sum(),
  )
  rows = {'image': batch['image'], 'label': label, 'mask': batch['mask']}
  rows['past'] = None
  if state.past:
    tables = corrections.Past(state.table, **state.past)
    rows['past'] = jax.tree.map(
      lambda x: labels.look_up(x, batch['row'], recipe.mesh), tables
    )
  grads, stats, head_state, out = _accumulate(run, state, rows, recipe)
  updates, opt_state = recipe.optimizer.update(
    grads, state.opt_state, state.params
  )
  past = out.pop('past')
  measured = metrics.TrainMetrics.single_from_model_output(
    mask=batch['mask'],
    corrected=(1 - out['unsure']) * (out['label'] != batch['label']),
    skipped=batch['skipped'],
    **{name: out[name] for name in out if name != 'label'},
  )
  loss = jnp.sum(jnp.where(batch['mask'], out['loss'], 0)) / jnp.sum(
    batch['mask']
  )
  params = optax.apply_updates(state.params, updates)
  if recipe.frozen:
    params |= {recipe.frozen: state.params[recipe.frozen]}
  finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
  new_state = state.replace(
    step=state.step + 1,
    params=params,
    stats=stats,
    opt_state=opt_state,
    head_state=head_state,
    table=labels.update(
      state.table, batch['row'], out['label'], batch['mask'], recipe.mesh
    ),
    metrics=_as(state.metrics, state.metrics.merge(measured)),
    past={
      name: labels.update(
        table,
        batch['row'],
        getattr(past, name),
        batch['mask'],
        recipe.mesh,
      )
      for name, table in state.past.items()
    },
  )
  return new_state, {'loss': loss, 'finite': finite}


def _as(like, values):
  """The values in the types of `like`: in 64-bit mode counts come as int64."""
  return jax.tree.map(lambda x, y: y.astype(x.dtype), like, values)


def _forward_backward(recipe, state, *, now, penalising, weight, num_rows):
  """Returns (stats, margin state, index, rows) -> (grads, stats, ..., out)."""
  key = jax.random.fold_in(jax.random.key(recipe.dropout_seed), state.step)

  def loss(params, stats, head_state, dropout_key, rows):
    if recipe.frozen:
      fixed = jax.lax.stop_gradient(params[recipe.frozen])
      params = params | {recipe.frozen: fixed}
    embedding, stats = recipe.backbone.apply(
      params['backbone'],
      stats,
      recipe.scale(rows['image']),
      train=recipe.frozen != 'backbone',
      dropout_key=dropout_key,
    )
    head: softmax.HeadOutput = recipe.head(
      embedding,
      params['centres'],
      rows['label'],
      rows['mask'],
      head_state,
      now,
      rows['past'],
    )
    penalty = jnp.where(penalising, head.penalty, 0)
    total = head.weight * (head.loss + weight * penalty)
    out = {
      'loss': total,
      'penalty': penalty,
      'accuracy': head.correct,
      'cosine_target': head.target_cosine,
      'cosine_other': head.other_cosine,
      'label': head.label,
      'unsure': 1 - head.weight,
      'past': head.past,
    }
    mean = jnp.sum(jnp.where(rows['mask'], total, 0)) / num_rows
    return mean, (stats, head.state, out)

  def run(stats, head_state, index, rows):
    grads, rest = jax.grad(loss, has_aux=True)(
      state.params, stats, head_state, jax.random.fold_in(key, index), rows
    )
    return grads, *rest

  return run


def _accumulate(run, state, rows, recipe):
  """Runs the micro-batches and adds up their gradients.

  Micro-batch j takes the rows j, j + k, j + 2k, ..., so that each has its
  share of rows on every device and nothing moves between them.
  """
  k = recipe.accumulate
  if k == 1:
    return run(state.stats, state.head_state, 0, rows)

  def split(x):
    return jnp.moveaxis(x.reshape(-1, k, *x.shape[1:]), 1, 0)

  def join(x):
    return jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:])

  def body(carry, micro):
    total, stats, head_state = carry
    grads, stats, head_state, out = run(stats, head_state, *micro)
    return (jax.tree.map(jnp.add, total, grads), stats, head_state), out

  zeros = jax.tree.map(jnp.zeros_like, state.params)
  (grads, stats, head_state), out = jax.lax.scan(
    body,
    (zeros, state.stats, state.head_state),
    (jnp.arange(k), jax.tree.map(split, rows)),
  )
  return grads, stats, head_state, jax.tree.map(join, out)
