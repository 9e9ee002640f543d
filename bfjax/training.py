"""The training loop, from the config to the last checkpoint, in order."""

import contextlib
import logging
import pathlib
import signal

import jax
from jax.experimental import multihost_utils

from bfjax import (
  averages,
  errors,
  feed,
  metrics,
  peers,
  pretrained,
  setup,
  sharding,
  step,
)
from bfjax.data import order
from bfjax.evaluation import suite
from bfjax.logbook import collapse, journal, late, progress, runpage, trace
from bfjax.storage import checkpoint, diskerrors, wholeness

_log = logging.getLogger(__name__)


class Preempted(Exception):
  """SIGTERM came; the state is saved and the run can go on from there."""


def train_and_evaluate(config, workdir: pathlib.Path) -> dict[str, float]:
  """Trains the run that `config` describes, or goes on with it.

  Args:
    config: see `defaults.get_config`.
    workdir: of this run alone. If it holds the same run unfinished, training
      goes on from its last complete checkpoint; if finished, nothing is done.

  Returns:
    The scores at the last step: evaluations, corrections, what the rule has
    learned of the labels, and what `collapse.verdicts` holds of the training.

  Raises:
    UserError: for whatever is wrong with the config or the data, before
      training starts where it can be known then.
    Preempted: after SIGTERM.
  """
  run = setup.open_run(config, workdir=workdir)
  benchmarks = suite.open_suite(
    config,
    run.recipe.backbone,
    run.recipe.mesh,
    image_size=config.data.image_size,
    scale=run.recipe.scale,
  )
  best_metric = config.checkpoint.best_metric
  if best_metric:
    errors.choose(
      'benchmark of checkpoint.best_metric',
      best_metric.split('/')[0],
      benchmarks.benchmarks,
    )
  start = None
  if config.init_from and not wholeness.has_begun(workdir):
    start = pretrained.load(config, run)
    run = pretrained.note(run, start)
  with contextlib.ExitStack() as stack:
    stack.enter_context(
      diskerrors.writing_to(
        workdir,
        'Once that is put right, the same command goes on from the last'
        ' checkpoint.',
        also=(order.tensorflow().errors.OpError,),
      )
    )
    checkpoint.claim_workdir(workdir, run.record)
    first_step = wholeness.last_whole_step(workdir)
    manager = stack.enter_context(
      checkpoint.open_manager(
        workdir,
        max_to_keep=config.checkpoint.max_to_keep,
        best_metric=best_metric,
      )
    )
    if first_step >= run.total_steps:
      _log.info('%s is finished (step %d).', workdir, first_step)
    elif config.on_collapse == 'stop' and _has_collapsed(workdir, first_step):
      _log.warning(_STOPPED, workdir, first_step)
    else:
      state = setup.make_state(run, config)
      if first_step:
        _log.info('Going on from the checkpoint of step %d.', first_step)
        state = setup.restore_state(manager, first_step, state)
      elif start is not None:
        state = pretrained.fill(state, start)
      _train(config, workdir, run, benchmarks, manager, state, first_step)
      checkpoint.wait(manager)
      if jax.process_index() == 0:
        runpage.write_at_end(workdir, run.source, run.given)
    return journal.final_scores(workdir)


_STOPPED = (
  '%s stopped at step %d, where its training had collapsed; its checkpoints are'
  ' kept. --config.on_collapse=warn goes on with it.'
)


def _has_collapsed(workdir, step):
  lines = metrics.read_metrics(workdir / 'metrics.jsonl')
  return collapse.COLLAPSED in collapse.verdicts(lines, step)


def _train(config, workdir, run, benchmarks, manager, state, first_step):
  """Takes the steps from `first_step` to the last."""
  eval_period = suite.period(
    config.eval.every_epochs, benchmarks.images.num_rows, run.source.num_rows
  )
  with (
    journal.Journal(
      workdir,
      first_step,
      run,
      eval_period=eval_period,
      eval_images=benchmarks.images.num_rows,
      is_period_given=bool(config.eval.every_epochs),
    ) as book,
    setup.open_batches(config, run, first_step, book.skipped) as batches,
    trace.Trace(workdir / 'profile', config.profile_steps) as tracing,
    _catching_sigterm() as must_stop,
  ):
    train_step = step.compile_step(run.recipe, state)
    no_metrics = jax.jit(
      averages.TrainMetrics.empty,
      out_shardings=sharding.replicated(run.recipe.mesh),
    )
    if benchmarks.benchmarks:
      _log.info(
        'Evaluation: %d images, every %d epochs and at the end.',
        benchmarks.images.num_rows,
        eval_period,
      )
    looks = late.Late(late.most_under_way())
    stops_early = config.on_collapse == 'stop'
    ahead = book.spent.on_each('input', feed.ahead(batches, run.recipe.mesh))
    _log.info('Compiling the training step')
    for done, batch in enumerate(ahead, start=first_step + 1):
      if done == first_step + 1:
        train_step = train_step.lower(state, batch).compile()
        peers.exchange('compiled the training step')
        book.note_compiled()
      tracing.before(done)
      with book.spent.on('step'):
        state, outcome = train_step(state, batch)
        looks.put(done, outcome, _finite_check(done, outcome, manager))
        looks.keep_up(done)
      tracing.after(done, outcome)
      book.note_skipped(batches.bad_rows)
      epoch, is_epoch_end = run.epoch_of(done)
      is_told = progress.is_told(
        done, run.recipe.steps_per_epoch, config.log_every_steps
      )
      if is_told:
        looks.put(done, *book.training_line(done, state))
        state = state.replace(metrics=no_metrics())
      is_due = _is_due(config.checkpoint, done, is_epoch_end and epoch, run)
      if is_epoch_end or is_due or (is_told and stops_early):
        with book.spent.on('step'):
          looks.settle(done)
      scores = {}
      if is_epoch_end:
        scores = book.write_corrections(done, state)
        evaluates = epoch % eval_period == 0 or done == run.total_steps
        if evaluates and benchmarks.benchmarks:
          with book.timing_evaluation(done):
            scores |= _evaluate(benchmarks, state, config)
        book.write_scores(done, scores)
        peers.exchange(f'ended epoch {epoch}')
      stop = must_stop(done)
      gives_up = stops_early and book.has_collapsed
      if stop or gives_up or is_due:
        looks.settle(done)
        book.flush()
        chosen_by = config.checkpoint.best_metric
        best = {chosen_by: scores[chosen_by]} if chosen_by in scores else {}
        with book.spent.on('checkpoint'):
          checkpoint.save(manager, done, state, run.record, best)
      if gives_up:
        _log.warning(_STOPPED, workdir, done)
        return
      if stop and done < run.total_steps:
        checkpoint.wait(manager)
        raise Preempted(f'Saved step {done}. The same command goes on from it.')


def _evaluate(benchmarks, state, config):
  scores = suite.run(benchmarks, state.params['backbone'], state.stats)
  if config.checkpoint.best_metric:
    errors.choose('score', config.checkpoint.best_metric, scores)
  return scores


def _is_due(periods, done, ended_epoch, run):
  """Whether a checkpoint is due after update `done`."""
  return (
    done == run.total_steps
    or (ended_epoch and ended_epoch % periods.every_epochs == 0)
    or (periods.every_steps and done % periods.every_steps == 0)
  )


def _finite_check(done, outcome, manager):
  """What stops the run if the loss or gradient of a step was not finite."""

  def check():
    if outcome['finite']:
      return
    checkpoint.wait(manager)
    last = manager.latest_step()
    kept = (
      f'The checkpoint of step {last} is kept' if last else 'No step is saved'
    )
    raise errors.UserError(
      f'The loss ({float(outcome["loss"])}) or its gradient is not finite at'
      f' step {done}. {kept}. Lower optim.lr, lengthen optim.warmup_epochs or'
      ' set optim.clip_norm, in a new workdir.'
    )

  return check


@contextlib.contextmanager
def _catching_sigterm():
  """Gives step -> whether to save and stop, the same on every process."""
  if jax.process_count() > 1:
    yield multihost_utils.reached_preemption_sync_point
    return
  caught = []
  handler = signal.signal(signal.SIGTERM, lambda *_: caught.append(True))
  try:
    yield lambda step: bool(caught)
  finally:
    signal.signal(signal.SIGTERM, handler)
