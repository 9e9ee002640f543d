"""The parts that a config names, built without its data: network and head."""

import inspect
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from bfjax import (
  averages,
  backbones,
  errors,
  labels,
  optim,
  scalings,
  sharding,
  step,
)
from bfjax.config import settings
from bfjax.heads import (
  margins,
  penalties,
  rules,
  samples,
  softmax,
  subcentres,
)
from bfjax.logbook import collapse

_SCHEDULE_KEYS = 'schedule', 'warmup_epochs', 'milestones', 'factor', 'power'
_SGD_KEYS = (
  'momentum',
  'nesterov',
  'weight_decay',
  'clip_norm',
  'momentum_dtype',
)


def check(config) -> None:
  """Builds them and throws them away.

  Raises:
    UserError: for whatever these parts refuse.
  """
  open_backbone(config)
  open_margin(config.head)
  rules.build(config.head.rule)


def open_backbone(config) -> backbones.Backbone:
  """The backbone of `config.backbone`.

  Raises:
    UserError: if there is no such backbone, it has no such option or refuses
      an option's value.
  """
  return backbones.build(
    **settings.backbone_options(config), image_size=config.data.image_size
  )


def open_margin(head) -> margins.Margin:
  """The margin of `config.head`, with those of its numbers it has a use for.

  Raises:
    UserError: if there is no such margin or it refuses a number.
  """
  make = errors.choose('margin', head.margin, margins.MARGINS)
  known = inspect.signature(make).parameters
  margin = make(**{k: head[k] for k in known if k in head})
  return margins.filtered(margin, head.filter)


def _open_head(head, mesh, num_classes, calls_per_epoch, seed):
  """The head of `config.head`, that is called so often in an epoch."""
  sub_centres = None
  if head.sub_centres > 1:
    sub_centres = subcentres.SubCentres(head.sub_centres, head.drop_angle)
  sampling = None
  if head.sample_rate < 1:
    sampling = samples.Sampling(head.sample_rate, seed, head.sample_rule)
  return softmax.Head(
    mesh,
    margin=open_margin(head),
    rule=rules.build(head.rule),
    penalty=errors.choose('penalty', head.penalty, penalties.PENALTIES),
    num_classes=num_classes,
    scale=head.s,
    kept=0.5 ** (1 / calls_per_epoch),  # rows of an epoch ago count half
    sub_centres=sub_centres,
    visits=head.visits,
    chunk_classes=head.chunk_classes,
    precision=head.precision,
    sampling=sampling,
  )


def open_task(
  config, recipe: step.Recipe, noise: float | None
) -> collapse.Task:
  """What the training is about; `noise` is the share of labels that are wrong.

  None where that is not known.
  """
  head, optimizer = config.head, config.optim
  corrects = head.rule != 'none' or head.penalty != 'none'
  tried = {
    'a longer optim.warmup_epochs': optimizer.warmup_epochs,
    'a smaller optim.lr': optimizer.lr,
    'a smaller head.m': head.margin not in ('softmax', 'combined') and head.m,
    'a later head.epoch_start': corrects and head.epoch_start,
    'a smaller head.lambda_': head.penalty != 'none' and head.lambda_,
  }
  cures = ', '.join(
    f'{k} (now {v:.4g})' for k, v in tried.items() if v is not False
  )
  return collapse.Task(
    recipe.head.margin,
    recipe.head.scale,
    recipe.head.num_classes,
    collapse.first_epoch(optimizer.warmup_epochs, recipe.steps_per_epoch),
    noise=0.0 if noise is not None and head.rule != 'none' else noise,
    cures=f'In a new workdir, try {cures}. docs/method.md tells what helped'
    ' where.',
  )


def open_learning_rate(
  optimizer, *, batch: int, steps_per_epoch: int, total_steps: int
) -> Callable:
  """Step -> learning rate, of `config.optim`.

  Raises:
    UserError: if there is no such schedule.
  """
  return optim.make_schedule(
    peak=optimizer.lr * batch / optimizer.lr_batch,
    total_steps=total_steps,
    steps_per_epoch=steps_per_epoch,
    **{k: optimizer[k] for k in _SCHEDULE_KEYS},
  )


def open_recipe(
  config,
  learning_rate: Callable,
  mesh: jax.sharding.Mesh,
  *,
  num_classes: int,
  steps_per_epoch: int,
) -> step.Recipe:
  """What the training step needs; the optimizer leaves alone what is frozen.

  Raises:
    UserError: as `open_backbone` and `open_margin`, or if there is no such
      rule or penalty.
  """
  own = config.head
  # Once a micro-batch.
  calls = steps_per_epoch * config.accumulate
  head = _open_head(own, mesh, num_classes, calls, config.seed)
  sgd = optim.sgd(learning_rate, **{k: config.optim[k] for k in _SGD_KEYS})
  return step.Recipe(
    backbone=open_backbone(config),
    head=head,
    optimizer=optim.freeze(sgd, config.freeze),
    mesh=mesh,
    steps_per_epoch=steps_per_epoch,
    carry=config.labels.carry,
    epoch_start=own.epoch_start,
    penalty_start=settings.penalty_start(own),
    penalty_weight=optim.scheduled(
      'head.lambda_schedule', own.lambda_schedule or own.lambda_
    ),
    rule_margin=optim.scheduled('head.rule_margin', own.rule_margin),
    drop_start=math.inf if own.drop_start is None else own.drop_start,
    accumulate=config.accumulate,
    dropout_seed=config.seed,
    scale=scalings.Scaling(*config.data.input_scaling),
    frozen=config.freeze,
  )


def new_state(
  key: jax.Array,
  recipe: step.Recipe,
  num_rows: int,
  centres_init: str = 'xavier',
  history: bool = False,
) -> step.TrainState:
  """The state of a new run, a pure function of the key.

  Args:
    key: of the random numbers.
    recipe: of the run.
    num_rows: of the data set, whose label table is zeros yet.
    centres_init: see `step.init_params`.
    history: whether the history of the rows is kept; see `labels`.
  """
  head, mesh = recipe.head, recipe.mesh
  rows = sharding.pad_to(num_rows, mesh)
  each_class = head.sub_centres.count if head.sub_centres else 1
  params, stats = step.init_params(
    key,
    recipe.backbone,
    num_centres=each_class * head.num_classes,
    padded_centres=each_class * sharding.pad_to(head.num_classes, mesh),
    centres_init=centres_init,
  )
  return step.TrainState(
    step=jnp.int32(0),
    params=params,
    stats=stats,
    opt_state=recipe.optimizer.init(params),
    head_state=head.init_state(),
    table=jnp.zeros(rows, jnp.int32),
    metrics=averages.TrainMetrics.empty(),
    past=labels.no_past(rows, remembers=head.remembers, history=history),
  )
