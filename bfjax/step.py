"""The training state and the training step, a pure function of arrays."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from bfjax import averages, labels, optim, scalings, sharding
from bfjax.config import limits
from bfjax.heads import functions, softmax


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
    past: the other tables of `labels.Past`, those that are kept; they lie as
      the label table does.
  """

  step: jax.Array
  params: Any
  stats: Any
  opt_state: Any
  head_state: Any
  table: jax.Array
  metrics: averages.TrainMetrics
  past: Any = flax.struct.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What the step needs to know beside the state and the batch.

  Attributes:
    backbone: images -> embeddings.
    head: embeddings and labels -> per-row losses, a `softmax.Head`.
    optimizer: gradients -> updates.
    mesh: the devices.
    steps_per_epoch: updates in an epoch. Epochs are counted from 1.
    carry: what a sample is trained with at its next visit, before the rule
      decides: 'visit', its given label; 'persist', its label in the table.
    epoch_start: labels are corrected in epochs greater than this.
    penalty_start: the penalty counts in epochs greater than this.
    penalty_weight: epoch, with its fraction -> lambda.
    rule_margin: likewise -> the rule's own margin; None: the margin's phi.
    drop_start: minor sub-centres are dropped in epochs greater than this.
    accumulate: micro-batches an update.
    dropout_seed: of the dropout masks.
    scale: uint8 images -> what the backbone takes.
    frozen: what is not trained: '', 'backbone' (it computes as in inference,
      and its running statistics stay as they are) or 'centres'.
  """

  backbone: Any
  head: softmax.Head
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
  scale: scalings.Scaling = scalings.STANDARD
  frozen: str = ''

  def __post_init__(self):
    limits.check('labels.carry', self.carry)
    limits.check('freeze', self.frozen)


def init_params(key, backbone, *, num_centres, padded_centres, centres_init):
  """Returns (params, running statistics) of a new model.

  Centres, of which there are `num_centres` and some to fill up the devices,
  are drawn as `centres_init` says, see `functions.draw_centres`.
  """
  limits.check('head.centres_init', centres_init)
  backbone_key, centres_key = jax.random.split(key)
  params, stats = backbone.init(backbone_key)
  shape = (padded_centres, backbone.embedding_dim)
  centres = functions.draw_centres(
    centres_key, shape, num_centres, centres_init
  )
  return {'backbone': params, 'centres': centres}, stats


# What lies over the devices, by class or by row.
_SPREAD = {'centres', 'class_rows', 'past', 'sub_centre_use', 'table'}


def state_shardings(state, mesh):
  """The sharding of every leaf: centres and table over the devices.

  Whatever belongs to the centres, as their momentum, lies as they do; all else
  is replicated.
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
  mesh = recipe.mesh
  return jax.jit(
    functools.partial(train_step, recipe=recipe),
    donate_argnums=0,
    out_shardings=(state_shardings(state, mesh), sharding.replicated(mesh)),
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
    (the new state, {'loss': scalar, 'finite': bool, it and the gradient are}).
  """
  row, mask, mesh = batch['row'], batch['mask'], recipe.mesh
  tables = labels.Past(state.table, **state.past)
  before = jax.tree.map(lambda x: labels.look_up(x, row, mesh), tables)
  rows = {
    'image': batch['image'],
    'label': before.label if recipe.carry == 'persist' else batch['label'],
    'given': batch['label'],
    'mask': mask,
    'past': before if recipe.head.remembers else None,
  }
  objective = _objective(recipe, state.step, mask.sum())
  gradient = optim.accumulated_gradient(objective, recipe.accumulate)
  carried = state.stats, state.head_state
  grads, ((stats, head_state), out) = gradient(state.params, carried, rows)
  measured, label, past, own = out
  updates, opt_state = recipe.optimizer.update(
    grads, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, updates)
  if recipe.frozen:
    params |= {recipe.frozen: state.params[recipe.frozen]}
  past = (past or labels.Past(label))._replace(label=label)
  cosines = own, measured['cosine_target'], measured['cosine_other']
  past = labels.note_visit(past, before, batch['label'], cosines)
  tables = labels.update(tables, row, past, mask, mesh)
  seen = averages.TrainMetrics.of(
    mask=mask,
    corrected=(1 - measured['unsure']) * (label != batch['label']),
    skipped=batch['skipped'],
    **measured,
  )
  merged = state.metrics.merge(seen)
  loss = jnp.sum(jnp.where(mask, measured['loss'], 0)) / jnp.sum(mask)
  finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
  new_state = state.replace(  # type: ignore[attr-defined]
    step=state.step + 1,
    params=params,
    stats=stats,
    opt_state=opt_state,
    head_state=head_state,
    table=tables.label,
    # In 64-bit mode counts come as int64.
    metrics=jax.tree.map(lambda x, y: y.astype(x.dtype), state.metrics, merged),
    past={name: getattr(tables, name) for name in state.past},
  )
  return new_state, {'loss': loss, 'finite': finite}


def _objective(recipe, step, num_rows) -> Callable:
  """What is minimised: the mean loss of some rows, as a part of `num_rows`.

  Returns:
    (params, (stats, head state), number of the micro-batch, rows) ->
    (mean, ((stats, head state), (per-row metrics, label, past, own cosine))).
  """
  epoch = step // recipe.steps_per_epoch + 1
  smooth_epoch = step / recipe.steps_per_epoch + 1
  weight = recipe.penalty_weight(smooth_epoch)
  now = softmax.Now(
    correcting=epoch > recipe.epoch_start,
    rule_margin=recipe.rule_margin(smooth_epoch),
    dropping=epoch > recipe.drop_start,
  )
  key = jax.random.fold_in(jax.random.key(recipe.dropout_seed), step)

  def objective(params, carried, index, rows):
    stats, head_state = carried
    if recipe.frozen:
      fixed = jax.lax.stop_gradient(params[recipe.frozen])
      params = params | {recipe.frozen: fixed}
    embedding, stats = recipe.backbone.apply(
      params['backbone'],
      stats,
      recipe.scale(rows['image']),
      train=recipe.frozen != 'backbone',
      dropout_key=jax.random.fold_in(key, index),
    )
    embedded = embedding, params['centres'], rows['label'], rows['mask']
    at = now._replace(draw=step * recipe.accumulate + index)
    with jax.named_scope('head'):  # what profiles and plans call it
      head: softmax.HeadOutput = recipe.head(
        *embedded, head_state, at, rows['past'], rows['given']
      )
    penalty = jnp.where(epoch > recipe.penalty_start, head.penalty, 0)
    total = head.weight * (head.loss + weight * penalty)
    measured = {
      'loss': total,
      'penalty': penalty,
      'accuracy': head.correct,
      'cosine_target': head.target_cosine,
      'cosine_other': head.other_cosine,
      'unsure': 1 - head.weight,
    }
    mean = jnp.sum(jnp.where(rows['mask'], total, 0)) / num_rows
    of_rows = measured, head.label, head.past, head.own_cosine
    return mean, ((stats, head.state), of_rows)

  return objective
