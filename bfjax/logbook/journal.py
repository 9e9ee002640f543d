"""What a run writes down: numbers, correction logs, pictures, console lines."""

import contextlib
import logging
import pathlib
import time
from collections.abc import Callable, Iterator

import jax

from bfjax import atomic, metrics
from bfjax.data import labelled
from bfjax.logbook import (
  collapse,
  corrections,
  density,
  history,
  progress,
  spent,
)
from bfjax.text import printable

_log = logging.getLogger(__name__)

# Scores that are no rates, or too many: in the metrics file alone.
_NOT_ON_CONSOLE = ('/threshold', '/std', '/val_std', '/far', '/absent')
_CHEAP = 0.02  # the share of the time that evaluation should stay below


class Journal:
  """The journal of one run; only the first process writes files.

  Attributes:
    spent: where its time goes.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    first_step: int,
    run,
    *,
    eval_period: int,
    eval_images: int,
    is_period_given: bool,
  ):
    """Opens the files of a run.

    Args:
      workdir: of the run.
      first_step: that it goes on from; what the files say of later is dropped.
      run: see `setup.Run`.
      eval_period: epochs from an evaluation to the next.
      eval_images: that an evaluation embeds.
      is_period_given: by the user; otherwise it follows from `eval_images`.
    """
    self._writes = jax.process_index() == 0
    self._writer = metrics.make_writer(workdir, first_step, self._writes)
    self._workdir, self._run = workdir, run
    self._is_period_given = is_period_given
    plan = progress.Plan(
      run.total_steps,
      run.recipe.steps_per_epoch,
      run.batch,
      eval_period,
      eval_images,
    )
    self._clock = progress.Progress(first_step, plan)
    self.spent = spent.Spent()
    self._began = time.monotonic()
    self._evaluation_secs = 0.0
    self._skipped_path = workdir / 'skipped_images.tsv'
    self.skipped = []
    if self._skipped_path.exists():
      lines = self._skipped_path.read_text().splitlines()
      self.skipped = [int(line.split('\t')[0]) for line in lines]
    lines = metrics.read_metrics(workdir / 'metrics.jsonl')
    self._watch = collapse.Watch(
      run.task,
      [x for x in lines if x['step'] <= first_step],
    )

  @property
  def has_collapsed(self) -> bool:
    """Whether the training has, and has not recovered."""
    return self._watch.has_collapsed

  def __enter__(self):
    """Writes the config and the class names beside the run."""
    if self._writes:
      text = self._run.config_json
      atomic.write_text(self._workdir / 'config.json', text + '\n')
      labelled.save_class_names(
        self._workdir / 'classes.tsv', self._run.source.class_names
      )
    return self

  def __exit__(self, *exception):
    self._writer.close()

  def note_compiled(self) -> None:
    """Starts the clock: the first step is compiled and on its way."""
    self._clock.begin()
    self.spent.begin()

  def training_line(self, done: int, state) -> tuple[dict, Callable]:
    """Averages of the stretch of training that ends at `done`; and its line.

    And 'train/kept', the share of rows trained with the given label; what is
    neither kept nor corrected is unsure. And what the rule has learned of the
    labels, 'rule/noise_rate', ...; and where the time since the line before
    went, 'time/input', ..., see `spent.Spent.lap`.

    Returns:
      what has to be computed first, and what writes the line then.
    """
    values = {
      'train': state.metrics.compute(),
      'rule': self._run.recipe.head.tell(state.head_state),
      'lr': self._run.learning_rate(done - 1),
    }
    return values, lambda: self._write_training(done, **jax.device_get(values))

  def _write_training(self, done, train, rule, lr):
    speed, secs_left = self._clock.lap(done)
    epoch, _ = self._run.epoch_of(done)
    total, lr = self._run.total_steps, float(lr)
    means = {name: float(mean) for name, mean in train.items()}
    means['kept'] = 1 - means['corrected'] - means['unsure']
    told = {name: float(x) for name, x in rule.items()}
    scalars = {f'train/{name}': mean for name, mean in means.items()}
    scalars |= {f'rule/{name}': x for name, x in told.items()}
    scalars |= {f'time/{name}': x for name, x in self.spent.lap().items()}
    scalars |= {'train/lr': lr, 'epoch': epoch, 'images_per_sec': speed}
    self._writer.write_scalars(done, scalars)
    of_rule = ''
    if 'noise_rate' in told:
      unsure, rate = 100 * means['unsure'], 100 * told['noise_rate']
      of_rule = f'  unsure {unsure:.1f} %  noise {rate:.1f} %'
    _log.info(
      'epoch %d/%d  step %d/%d  loss %.3f  accuracy %.1f %%  corrected %.1f %%'
      '%s  lr %.3g  %.0f images/s  ETA %s',
      *(epoch, self._run.epoch_of(total)[0], done, total),
      *(means['loss'], 100 * means['accuracy'], 100 * means['corrected']),
      *(of_rule, lr, speed, progress.clock(secs_left)),
    )
    verdict, words = self._watch.see(scalars, done == total)
    if verdict:
      self._writer.write_scalars(done, verdict)
      _log.warning('%s', words)

  def write_corrections(self, done: int, state) -> dict[str, float]:
    """Writes the correction log of the epoch that ends at `done`.

    And, of runs that keep a history, the density of all rows' cosines.

    Args:
      done: updates so far.
      state: of the training, with the labels now.

    Returns: see `corrections.write`.
    """
    epoch, _ = self._run.epoch_of(done)
    path = self._workdir / 'corrections' / f'epoch_{epoch:03}.tsv'
    rows, known = history.of_process(state, len(self._run.given), epoch)
    # First, as it gathers: to write the log may take the first process long.
    if known.agreed is not None:
      seen = density.of_epoch(self._run, state, done)
      if self._writes:
        density.write(path.with_suffix('.npz'), seen)
        self._writer.write_histograms(done, *density.histograms(seen))
    scores, picture = corrections.write(path, self._run, rows, known)
    if picture is not None:
      self._writer.write_images(done, {'corrections': picture[None]})
    return scores

  def write_scores(self, done: int, scores: dict[str, float]) -> None:
    """Logs what was measured at the end of an epoch."""
    self._writer.write_scalars(done, scores)
    shown = '  '.join(
      f'{name} {100 * value:.2f} %'
      for name, value in scores.items()
      if not name.endswith(_NOT_ON_CONSOLE)
    )
    if shown:
      _log.info('epoch %d ends: %s', self._run.epoch_of(done)[0], shown)
    self._clock.resume()

  @contextlib.contextmanager
  def timing_evaluation(self, done: int) -> Iterator[None]:
    """Logs what the evaluation in its body takes of the time since the start.

    As 'eval/secs' and 'eval/share_of_time': that of all evaluations of this
    process, compilation included, in the time since training began in it.
    """
    before = time.monotonic()
    with self.spent.on('evaluation'):
      yield
    now = time.monotonic()
    self._evaluation_secs += now - before
    self._clock.note_evaluation(now - before)
    share = self._evaluation_secs / (now - self._began)
    self._writer.write_scalars(
      done, {'eval/secs': now - before, 'eval/share_of_time': share}
    )
    advice = ''
    if share >= _CHEAP and self._is_period_given:
      advice = (
        ' config.eval.every_epochs=0 would keep it below 2 % of a long run.'
      )
    _log.info(
      'Evaluation took %.1f s; %.1f %% of the time so far went into it.%s',
      *(now - before, 100 * share, advice),
    )

  def note_skipped(self, rows) -> None:
    """Lists the unreadable images that have been replaced so far."""
    if len(rows) == len(self.skipped):
      return
    self.skipped = list(rows)
    if self._writes:
      name = self._run.source.name
      lines = (f'{row}\t{printable(name(row))}\n' for row in rows)
      atomic.write_text(self._skipped_path, ''.join(lines))
    _log.warning('%d unreadable images, see %s', len(rows), self._skipped_path)

  def flush(self) -> None:
    """Brings all that is written to the disk."""
    self._writer.flush()


def final_scores(workdir: pathlib.Path) -> dict[str, float]:
  """What the metrics file says of the last step, and of the whole training."""
  lines = metrics.read_metrics(workdir / 'metrics.jsonl')
  last = max((line['step'] for line in lines), default=0)
  return collapse.verdicts(lines) | {
    name: value
    for line in lines
    if line['step'] == last
    for name, value in line.items()
    if _is_score(name, line)
  }


def _is_score(name, line):
  if 'train/loss' in line:
    return name.startswith('rule/')
  # Not what it took; verdicts are on any line.
  return not name.startswith(('eval/', 'verdict/'))
