"""From a config to all the parts of a run."""

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bfjax import (
  builders,
  errors,
  labels,
  metrics,
  optim,
  scalings,
  sharding,
  step,
)
from bfjax.config import identity, limits, settings
from bfjax.data import augment, pipeline, selection, sources
from bfjax.heads import corrections, margins, softmax


@dataclasses.dataclass(frozen=True)
class Run:
  """The fixed parts of a run.

  Attributes:
    source: the data set.
    given: int32 [rows], the labels that training is given.
    augment: what is done to the images, besides mirroring.
    mesh: all devices.
    recipe: what the training step needs.
    batch: images an update, over all devices.
    steps_per_epoch: updates in an epoch.
    total_steps: updates in the whole run.
    learning_rate: step -> learning rate.
    padded_centres: rows of the centres on this mesh.
    margin: the margin's functions.
    rule: the rule's; None without one.
    init_head_state: () -> the state of a new head.
    record: what tells this run from another; see `checkpoint.claim_workdir`.
  """

  source: sources.Source
  given: np.ndarray
  augment: augment.Augment
  mesh: jax.sharding.Mesh
  recipe: step.Recipe
  batch: int
  steps_per_epoch: int
  total_steps: int
  learning_rate: Callable
  padded_centres: int
  margin: margins.Margin
  rule: corrections.Rule | None
  init_head_state: Callable
  record: dict[str, Any]

  def epoch_of(self, done: int) -> tuple[int, bool]:
    """The epoch (from 1) that update `done` (from 1) is of; is it its last?"""
    return -(-done // self.steps_per_epoch), done % self.steps_per_epoch == 0


def open_source(
  config, workdir: str | os.PathLike = ''
) -> tuple[sources.Source, np.ndarray]:
  """Returns the data set and the labels that training is given.

  With data.labels='true' these are the true ones, and images of nobody in the
  set are left out; with 'right' all rows are whose given label is not the true
  one.

  Args:
    config: see `defaults.get_config`.
    workdir: where an index that the source has to make is kept, unless
      `config.data.index_dir` says where.

  Raises:
    UserError: if the source cannot be opened, or true labels are asked for
      and not known.
  """
  options = settings.source_options(config.data)
  if 'index_dir' in options:
    options['index_dir'] = options['index_dir'] or os.fspath(workdir)
  limits.check('data.labels', config.data.labels)
  source = sources.build(config.data.source, **options)
  if config.data.labels == 'given':
    return source, source.labels
  true = source.true_labels
  if true is None:
    raise errors.UserError(
      f'data.labels={config.data.labels!r}, but this data set does not say what'
      ' its true labels are. Give data.truth, or train on the given labels.'
    )
  kept = true != sources.NOBODY
  if config.data.labels == 'right':
    kept = true == source.labels
  if not kept.all():
    source = selection.Selection(source, rows=np.flatnonzero(kept))
  return source, source.true_labels


def open_run(
  config,
  mesh: jax.sharding.Mesh | None = None,
  workdir: str | os.PathLike = '',
) -> Run:
  """Builds every part, checking what can be checked before training.

  Args:
    config: see `defaults.get_config`.
    mesh: the devices; None for all there are.
    workdir: of the run; see `open_source`.

  Raises:
    UserError: for whatever is wrong with the config or the data.
  """
  mesh = mesh or sharding.make_mesh()
  settings.check(config)
  _check_devices(config.batch, mesh)
  batch = config.batch * config.accumulate
  backbone = builders.open_backbone(config)
  margin = builders.open_margin(config.head)
  rule = corrections.build_rule(config.head.rule)
  source, given = open_source(config, workdir)
  if batch > source.num_rows:
    raise errors.UserError(
      f'A batch of {batch} rows, but the data set has {source.num_rows}. Set'
      ' a smaller config.batch.'
    )
  steps_per_epoch = pipeline.steps_per_epoch(source.num_rows, batch)
  total_steps = steps_per_epoch * config.epochs
  sub_centres = None
  if config.head.sub_centres > 1:
    sub_centres = softmax.SubCentres(
      config.head.sub_centres, config.head.drop_angle
    )
  padded_classes = sharding.pad_to(source.num_classes, mesh)
  head = softmax.make_head(
    mesh,
    margin=margin,
    rule=rule,
    penalty=errors.choose(
      'penalty', config.head.penalty, corrections.PENALTIES
    ),
    num_classes=source.num_classes,
    scale=config.head.s,
    kept=0.5 ** (1 / steps_per_epoch),  # rows of an epoch ago count half
    sub_centres=sub_centres,
    visits=config.head.visits,
  )
  learning_rate = optim.make_schedule(
    batch=batch,
    total_steps=total_steps,
    steps_per_epoch=steps_per_epoch,
    **{k: config.optim[k] for k in SCHEDULE_KEYS},
  )
  recipe = step.Recipe(
    backbone=backbone,
    head=head,
    optimizer=optim.freeze(
      optim.sgd(learning_rate, **{k: config.optim[k] for k in _SGD_KEYS}),
      config.freeze,
    ),
    mesh=mesh,
    steps_per_epoch=steps_per_epoch,
    carry=config.labels.carry,
    epoch_start=config.head.epoch_start,
    penalty_start=settings.penalty_start(config.head),
    penalty_weight=step.scheduled(
      'head.lambda_schedule', config.head.lambda_schedule or config.head.lambda_
    ),
    rule_margin=step.scheduled('head.rule_margin', config.head.rule_margin),
    drop_start=(
      math.inf if config.head.drop_start is None else config.head.drop_start
    ),
    accumulate=config.accumulate,
    dropout_seed=config.seed,
    scale=scalings.from_config(config.data.input_scaling),
    frozen=config.freeze,
  )
  return Run(
    source=source,
    given=given,
    augment=augment.Augment(**config.data.augment),
    mesh=mesh,
    recipe=recipe,
    batch=batch,
    steps_per_epoch=steps_per_epoch,
    total_steps=total_steps,
    learning_rate=learning_rate,
    padded_centres=config.head.sub_centres * padded_classes,
    margin=margin,
    init_head_state=functools.partial(
      softmax.init_state, margin, rule, padded_classes, sub_centres
    ),
    rule=rule,
    record=_record(config, source, given),
  )


SCHEDULE_KEYS = (
  'lr',
  'lr_batch',
  'schedule',
  'warmup_epochs',
  'milestones',
  'factor',
  'power',
)
_SGD_KEYS = ('momentum', 'nesterov', 'weight_decay', 'clip_norm')


def make_state(run: Run, config) -> step.TrainState:
  """The state of a new run, every array where it belongs on the devices."""
  no_rows = jnp.zeros(sharding.pad_to(len(run.given), run.mesh), jnp.int32)
  remembers = config.head.visits > 1 or (run.rule and run.rule.remembers)

  def init(key):
    params, stats = step.init_params(
      key,
      run.recipe.backbone,
      num_centres=config.head.sub_centres * run.source.num_classes,
      padded_centres=run.padded_centres,
      centres_init=config.head.centres_init,
    )
    return step.TrainState(
      step=jnp.int32(0),
      params=params,
      stats=stats,
      opt_state=run.recipe.optimizer.init(params),
      head_state=run.init_head_state(),
      table=no_rows,
      metrics=metrics.TrainMetrics.empty(),
      past=dict(proposed=no_rows, times=no_rows) if remembers else {},
    )

  key = jax.random.key(config.seed)
  shardings = step.state_shardings(jax.eval_shape(init, key), run.mesh)
  state = jax.jit(init, out_shardings=shardings)(key)
  return state.replace(table=labels.make(run.given, run.mesh))


def _check_devices(batch, mesh):
  devices, processes = mesh.size, jax.process_count()
  if batch % devices:
    raise errors.UserError(
      f'config.batch={batch} rows cannot be split over {devices} devices'
      f' ({processes} processes): give a multiple of {devices}.'
    )


def _record(config, source, given):
  """Fixed: what would make another run. Free: what may change on the way."""
  of_data = (
    source.num_classes,
    source.num_rows,
    source.fingerprint,
    hashlib.sha256(given.tobytes()).hexdigest(),
  )
  data = dict(zip(identity.OF_DATA, of_data, strict=True))
  fixed = identity.fixed(config) | data
  head = {f'head.{k}': v for k, v in config.head.items()}
  optimizer = {f'optim.{k}': v for k, v in config.optim.items()}
  free = {'epochs': config.epochs, **head, **optimizer}
  free = {name: value for name, value in free.items() if name not in fixed}
  scaling = scalings.from_config(config.data.input_scaling)
  about = {'colour_order': 'RGB', 'input_scaling': scaling.formula}
  return {'fixed': fixed, 'free': free, 'about': about}
