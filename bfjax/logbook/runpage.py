"""The page of a training run: report.html in its workdir."""

import logging
import pathlib
from collections.abc import Mapping

import numpy as np

from bfjax import errors, metrics, text
from bfjax.config import keys
from bfjax.data import labelled, order
from bfjax.logbook import collapse, densitychart, runcharts
from bfjax.report import (
  html,
  page,
  resultfiles,
  review,
  suspects,
  tables,
)

_log = logging.getLogger(__name__)

NAME = 'report.html'
# The keys of the config that are shown.
_ABOUT = (
  *('data', 'backbone', 'head', 'labels', 'optim'),
  *('epochs', 'batch', 'accumulate', 'seed', 'init_from'),
)


def write(
  workdir: pathlib.Path, source: labelled.Source, given: np.ndarray
) -> pathlib.Path:
  """Draws what a run has left in its workdir, and writes the page.

  What the run has not left is not on it.

  Args:
    workdir: of the run, finished or not.
    source: the data set it is trained on.
    given: int32 [rows], the labels that training was given.

  Returns:
    the path of the page.

  Raises:
    UserError: if a file of the run is damaged or of other data.
  """
  config = text.read_json(workdir / 'config.json')
  lines = metrics.read_metrics(workdir / 'metrics.jsonl')
  batch = config['batch'] * config.get('accumulate', 1)
  steps = order.steps_per_epoch(source.num_rows, batch)
  lead: list[page.Part] = [page.Figures(_figures(lines, source))]
  if words := collapse.in_words(collapse.verdicts(lines)):
    lead.insert(0, page.Words(f'Its training {words}.', strong=True))
  shown = page.Page(
    f'Training of {workdir.resolve().name}',
    lead,
    [
      *_curves(lines, steps, batch),
      *_cosines(workdir),
      *_corrections(workdir, source, given),
      *_evaluation(workdir),
    ],
    'What was trained',
    {str(workdir): _about(config, source)},
  )
  path = workdir / NAME
  html.write(path, shown)
  return path


def write_at_end(
  workdir: pathlib.Path, source: labelled.Source, given: np.ndarray
) -> None:
  """The same of a run that has just ended: a failure is a warning alone."""
  try:
    _log.info('Wrote %s', write(workdir, source, given))
  except (errors.UserError, OSError, ValueError, MemoryError) as error:
    why = str(error).rstrip('.') or type(error).__name__
    _log.warning(
      'The run is whole, but its page could not be written: %s. Once that is'
      ' put right, `bfjax report %s` writes it.',
      *(why, workdir),
    )


def _figures(lines, source) -> list[page.Figure]:
  """The numbers to be seen first."""
  last = {k: v for line in lines for k, v in line.items() if v is not None}
  per_cent = tables.per_cent
  found = []
  for name, value in last.items():
    if name.endswith('/accuracy') and name.count('/') == 2:
      benchmark = tables.title(name.split('/')[0])
      found.append(
        page.Figure(f'{per_cent(value)} %', f'verification on {benchmark}')
      )
  for name, label in (
    ('corrections/share', 'of the labels corrected'),
    ('rule/noise_rate', 'of the labels wrong, told by the rule'),
    ('corrections/precision', 'of the corrections right'),
    ('corrections/recall', 'of the wrong labels corrected'),
    ('corrections/wrong_labels', 'of the labels left wrong'),
  ):
    if name in last:
      found.append(page.Figure(f'{per_cent(last[name])} %', label))
  speeds = [x['images_per_sec'] for x in lines if x.get('images_per_sec')]
  if speeds:
    median = f'{np.median(speeds):,.0f}'
    found.append(page.Figure(median, 'images a second, in the median'))
  found.append(
    page.Figure(
      f'{source.num_rows:,}', f'images of {source.num_classes:,} people'
    )
  )
  return found


def _curves(lines, steps, batch) -> list[page.Section]:
  pictures = runcharts.draw(lines, steps)
  if not pictures:
    return []
  spent = runcharts.where_time_went(lines, batch)
  if len(spent) > 1:
    pictures.append(runcharts.draw_times(spent))
  words = (
    'Means since the log line before, over the rows trained on; verification'
    ' and what is known of the corrections at the end of epochs.'
  )
  return [page.Section('Over the epochs', words, [page.Charts(pictures)])]


def _cosines(workdir) -> list[page.Section]:
  slides = densitychart.draw(workdir / 'corrections')
  if slides is None:
    return []
  words = (
    'Each row at its last visit: how near it is to the class it was given, and'
    ' to another one: the nearest, or that it is corrected to. Above the'
    ' diagonal the other one is nearer.'
  )
  return [page.Section('Cosines and boundary', words, [slides])]


def _corrections(workdir, source, given) -> list[page.Section]:
  """What the last correction log says, row by row and class by class."""
  logs = sorted((workdir / 'corrections').glob('epoch_*.tsv'))
  if not logs:
    return []
  found = suspects.read(logs[-1], source)
  words = (
    f'{len(found.row):,} of {source.num_rows:,} rows are trained with another'
    ' label than the given one at the end.'
  )
  return review.sections(found, source, given, 'Corrected rows', words)


def _evaluation(workdir) -> list[page.Section]:
  if not (workdir / resultfiles.RESULTS).exists():
    return []
  table = tables.of_models([resultfiles.read(workdir)])
  words = 'In per cent; results.html beside this page has curves and the rest.'
  return [page.Section('Evaluation', words, [table])]


def _about(config: Mapping, source) -> dict[str, str]:
  """What the data are, and the keys of the config that are not 0 or empty."""
  some = keys.flat({k: config[k] for k in _ABOUT if k in config})
  return {
    'data': source.fingerprint,
    **{key: str(value) for key, value in some if value},
  }
