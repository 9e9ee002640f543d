"""From a config to all the parts of a run."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from bfjax import builders, errors, labels, sharding, step
from bfjax.config import identity, limits, settings
from bfjax.data import (
  augment,
  images,
  labelled,
  order,
  pipeline,
  selection,
  sources,
)
from bfjax.logbook import collapse
from bfjax.storage import checkpoint


@dataclasses.dataclass(frozen=True)
class Run:
  """The fixed parts of a run.

  Attributes:
    source: the data set.
    given: int32 [rows], the labels that training is given.
    recipe: what the training step needs.
    batch: images an update, over all devices.
    total_steps: updates in the whole run.
    learning_rate: step -> learning rate.
    task: what the training is about, for whoever watches it.
    seed: of the run.
    config_json: the config, to be kept.
    record: what tells this run from another; see `checkpoint.claim_workdir`.
  """

  source: labelled.Source
  given: np.ndarray
  recipe: step.Recipe
  batch: int
  total_steps: int
  learning_rate: Callable
  task: collapse.Task
  seed: int
  config_json: str
  record: dict[str, Any]

  def epoch_of(self, done: int) -> tuple[int, bool]:
    """The epoch (from 1) that update `done` (from 1) is of; is it its last?"""
    steps = self.recipe.steps_per_epoch
    return -(-done // steps), done % steps == 0


def open_source(
  config, workdir: str | os.PathLike = ''
) -> tuple[labelled.Source, np.ndarray]:
  """Returns the data set and the labels that training is given.

  Args:
    config: see `defaults.get_config`.
    workdir: where an index that the source has to make is kept, unless
      `config.data.index_dir` says where.

  Raises:
    UserError: if the source cannot be opened, and as `selection.to_train_on`.
  """
  options = settings.source_options(config.data)
  if 'index_dir' in options:
    options['index_dir'] = options['index_dir'] or os.fspath(workdir)
  limits.check('data.labels', config.data.labels)
  source = sources.build(config.data.source, **options)
  return selection.to_train_on(source, config.data.labels)


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
  _check_devices(config.batch, mesh.size)
  builders.check(config)
  source, given = open_source(config, workdir)
  batch = config.batch * config.accumulate
  if batch > source.num_rows:
    raise errors.UserError(
      f'A batch of {batch} rows, but the data set has {source.num_rows}. Set'
      ' a smaller config.batch.'
    )
  steps_per_epoch = order.steps_per_epoch(source.num_rows, batch)
  total_steps = steps_per_epoch * config.epochs
  learning_rate = builders.open_learning_rate(
    config.optim,
    batch=batch,
    total_steps=total_steps,
    steps_per_epoch=steps_per_epoch,
  )
  recipe = builders.open_recipe(
    config,
    learning_rate,
    mesh,
    num_classes=source.num_classes,
    steps_per_epoch=steps_per_epoch,
  )
  true = source.true_labels
  of_data = (
    source.num_classes,
    source.num_rows,
    source.fingerprint,
    hashlib.sha256(given.tobytes()).hexdigest(),
  )
  return Run(
    source=source,
    given=given,
    recipe=recipe,
    batch=batch,
    total_steps=total_steps,
    learning_rate=learning_rate,
    task=builders.open_task(
      config,
      recipe,
      noise=None if true is None else float(np.mean(given != true)),
    ),
    seed=config.seed,
    config_json=config.to_json_best_effort(indent=2, sort_keys=True),
    record=identity.record(config, of_data, recipe.scale.formula),
  )


def _check_devices(batch, devices):
  if batch % devices:
    raise errors.UserError(
      f'config.batch={batch} rows cannot be split over {devices} devices'
      f' ({jax.process_count()} processes): give a multiple of {devices}.'
    )


def make_state(run: Run, config) -> step.TrainState:
  """The state of a new run, every array where it belongs on the devices."""
  mesh = run.recipe.mesh
  init = functools.partial(
    builders.new_state,
    recipe=run.recipe,
    num_rows=len(run.given),
    centres_init=config.head.centres_init,
    history=config.labels.history,
  )
  key = jax.random.key(config.seed)
  shardings = step.state_shardings(jax.eval_shape(init, key), mesh)
  state = jax.jit(init, out_shardings=shardings)(key)
  return state.replace(table=labels.make(run.given, mesh))


def restore_state(manager, done: int, state: step.TrainState):
  """The state saved after update `done`, laid out as `state`, a new one.

  A history of the rows that is not in the checkpoint begins empty; one that is
  no longer kept is left out.

  Raises:
    UserError: as `checkpoint.restore`.
  """
  saved = checkpoint.saved(manager, done).get('past', {})
  past = {k: x for k, x in state.past.items() if k not in labels.HISTORY}
  tables = jax.eval_shape(lambda: labels.no_past(len(state.table)))
  past |= {
    k: x.update(sharding=state.table.sharding)
    for k, x in tables.items()
    if k in saved
  }
  like = dataclasses.replace(state, past=past)
  found = checkpoint.restore(manager, done, like)
  past = {k: found.past.get(k, x) for k, x in state.past.items()}
  return found.replace(past=past)


def open_batches(config, run: Run, first_step: int, bad_rows: Sequence[int]):
  """The batches from `first_step` on, as `pipeline.train_batches` yields them.

  Args:
    config: of the run.
    run: from `open_run`.
    first_step: updates done.
    bad_rows: found before to have no image that can be read.
  """
  plan = order.TrainOrder(
    num_rows=run.source.num_rows,
    batch=run.batch,
    seed=config.seed,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
    flip=config.data.flip,
    bad_rows=bad_rows,
  )
  reading = images.Reading(
    image_size=config.data.image_size,
    augment=augment.Augment(**config.data.augment) or None,
    on_error=config.data.on_error,
    max_skipped=config.data.max_skipped,
    threads=config.data.threads,
  )
  steps = range(first_step, run.total_steps)
  return pipeline.train_batches(run.source, run.given, plan, steps, reading)
