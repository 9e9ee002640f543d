"""From a config to all the parts of a run."""

import dataclasses
import hashlib
import inspect
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bfjax import (
  backbones,
  collapse,
  corrections,
  errors,
  labels,
  margins,
  metrics,
  optim,
  plugins,
  scalings,
  sharding,
  softmax,
  step,
)
from bfjax.data import augment, pipeline, sources


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
    padded_classes: rows of the centres on this mesh.
    margin: the margin's functions.
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
  padded_classes: int
  margin: margins.Margin
  record: dict[str, Any]

  def epoch_of(self, done: int) -> tuple[int, bool]:
    """The epoch (from 1) that update `done` (from 1) is of; is it its last?"""
    return -(-done // self.steps_per_epoch), done % self.steps_per_epoch == 0


def open_source(
  config, workdir: str | os.PathLike = ''
) -> tuple[sources.Source, np.ndarray]:
  """Returns the data set and the labels that training is given.

  Args:
    config: see `defaults.get_config`.
    workdir: where an index that the source has to make is kept, unless
      `config.data.index_dir` says where.

  Raises:
    UserError: if the source cannot be opened, or true labels are asked for
      and not known.
  """
  name = config.data.source
  known = plugins.options('source', sources.__name__, name)
  options = _accepted(config.data, known)
  if 'index_dir' in known:
    options['index_dir'] = config.data.index_dir or os.fspath(workdir)
  source = sources.build(name, **options)
  errors.choose('data.labels', config.data.labels, {'given': 0, 'true': 0})
  if config.data.labels == 'given':
    return source, source.labels
  if source.true_labels is None:
    raise errors.UserError(
      "data.labels='true', but this data set does not say what its true labels"
      ' are. Give data.truth, or train on the given labels.'
    )
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
  batch = config.batch * config.accumulate
  _check_batch(config, mesh)
  collapse.check_policy(config.on_collapse)
  backbone = open_backbone(config)
  margin = open_margin(config.head)
  source, given = open_source(config, workdir)
  head = softmax.make_head(
    mesh,
    margin=margin,
    rule=errors.choose('rule', config.head.rule, corrections.RULES),
    penalty=errors.choose(
      'penalty', config.head.penalty, corrections.PENALTIES
    ),
    num_classes=source.num_classes,
    scale=config.head.s,
  )
  if batch > source.num_rows:
    raise errors.UserError(
      f'A batch of {batch} rows, but the data set has {source.num_rows}. Set'
      ' a smaller config.batch.'
    )
  steps_per_epoch = pipeline.steps_per_epoch(source.num_rows, batch)
  total_steps = steps_per_epoch * config.epochs
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
    penalty_start=penalty_start(config.head),
    penalty_weight=step.make_penalty_weight(
      config.head.lambda_, config.head.lambda_schedule
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
    padded_classes=sharding.pad_to(source.num_classes, mesh),
    margin=margin,
    record=_record(config, source, given),
  )


def penalty_start(head) -> float:
  """The epoch after which the penalty counts: the correction's, or its own."""
  return head.epoch_start if head.penalty_start is None else head.penalty_start


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

  def init(key):
    params, stats = step.init_params(
      key,
      run.recipe.backbone,
      num_classes=run.source.num_classes,
      padded_classes=run.padded_classes,
      centres_init=config.head.centres_init,
    )
    return step.TrainState(
      step=jnp.int32(0),
      params=params,
      stats=stats,
      opt_state=run.recipe.optimizer.init(params),
      margin_state=run.margin.init_state(),
      table=jnp.zeros(sharding.pad_to(len(run.given), run.mesh), jnp.int32),
      metrics=metrics.TrainMetrics.empty(),
    )

  key = jax.random.key(config.seed)
  shardings = step.state_shardings(jax.eval_shape(init, key), run.mesh)
  state = jax.jit(init, out_shardings=shardings)(key)
  return state.replace(table=labels.make(run.given, run.mesh))


def open_backbone(config) -> backbones.Backbone:
  """The backbone of `config.backbone`.

  Raises:
    UserError: if there is no such backbone, it has no such option or refuses
      an option's value.
  """
  return backbones.build(
    **backbone_options(config), image_size=config.data.image_size
  )


def backbone_options(config) -> dict[str, Any]:
  """The keys of `config.backbone`; what is None is as the backbone has it."""
  name = config.backbone.name
  known = plugins.options('backbone', backbones.__name__, name)
  given = {k: v for k, v in config.backbone.items() if v is not None}
  return {k: p.default for k, p in known.items() if k != 'image_size'} | given


def open_margin(head) -> margins.Margin:
  """The margin of `config.head`, with those of its numbers it has a use for."""
  make = errors.choose('margin', head.margin, margins.MARGINS)
  return margins.build(
    head.margin, **_accepted(head, inspect.signature(make).parameters)
  )


def _accepted(options, names):
  return {name: options[name] for name in names if name in options}


def _check_batch(config, mesh):
  devices, processes = mesh.size, jax.process_count()
  for name in ('batch', 'epochs', 'accumulate', 'log_every_steps'):
    if config[name] < 1:
      raise errors.UserError(
        f'config.{name}={config[name]}: expected 1 or more.'
      )
  if config.batch % devices:
    raise errors.UserError(
      f'config.batch={config.batch} rows cannot be split over {devices} devices'
      f' ({processes} processes): give a multiple of {devices}.'
    )
  rows = config.backbone.batch_norm_rows
  if rows and config.batch % rows:
    raise errors.UserError(
      f'config.batch={config.batch} is no multiple of'
      f' config.backbone.batch_norm_rows={rows}.'
    )


def _record(config, source, given):
  """Fixed: what would make another run. Free: what may change on the way."""
  # Only those that are on: without any, a run is what it was before they were.
  augmentations = {
    f'data.augment.{k}': v for k, v in config.data.augment.items() if v
  }
  options = backbone_options(config)
  backbone = {f'backbone.{k}': v for k, v in options.items()}
  head = {f'head.{k}': v for k, v in config.head.items()}
  optimizer = {f'optim.{k}': v for k, v in config.optim.items()}
  fixed = {
    'seed': config.seed,
    'batch': config.batch,
    'accumulate': config.accumulate,
    'number of classes': source.num_classes,
    'number of rows': source.num_rows,
    'data list (sha256)': source.fingerprint,
    'labels trained on (sha256)': hashlib.sha256(given.tobytes()).hexdigest(),
    'data.image_size': config.data.image_size,
    'data.input_scaling': config.data.input_scaling,
    'data.flip': config.data.flip,
    **augmentations,
    'labels.carry': config.labels.carry,
    'init_from': config.init_from,
    'init_step': config.init_step,
    'init_backbone': config.init_backbone,
    'init_centres': config.init_centres,
    'init_renamed': config.init_renamed,
    'freeze': config.freeze,
    **backbone,
    'head.margin': head.pop('head.margin'),
    'head.rule': head.pop('head.rule'),
    **_penalty_begins(config.head),
  }
  free = {'epochs': config.epochs, **head, **optimizer}
  scaling = scalings.from_config(config.data.input_scaling)
  about = {'colour_order': 'RGB', 'input_scaling': scaling.formula}
  return {'fixed': fixed, 'free': free, 'about': about}


def _penalty_begins(head):
  """Tells a run from one of before the penalty had a start.

  Such a run had its penalty from the first epoch on, as head.penalty_start=0
  has it: with that it goes on.
  """
  if head.penalty == 'none' or penalty_start(head) <= 0:
    return {}
  return {
    'start of the penalty': 'with the correction, or at head.penalty_start. A'
    ' run of an older bfjax had it from its first epoch on: to go on with such'
    ' a run, give --config.head.penalty_start=0'
  }
