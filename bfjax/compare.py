"""Several runs in one command, and the table that compares them."""

import json
import logging
import pathlib
from collections.abc import Mapping

from bfjax import text, train
from bfjax.config import settings
from bfjax.logbook import collapse, sheet

_log = logging.getLogger(__name__)

_LEGEND = (
  'In per cent: verification accuracy +- its standard deviation over the folds;'
  ' corrections\nof the last epoch against the known wrong labels; the share of'
  ' labels still wrong.'
)
# What the table shows of the scores, and under which heading.
_COLUMNS = {
  'corrections/precision': 'precision of corrections',
  'corrections/recall': 'recall',
  'corrections/wrong_labels': 'wrong labels left',
  'rule/noise_rate': 'noise rate told',
}


def train_all(config, workdir: pathlib.Path) -> dict[str, dict[str, float]]:
  """Trains every entry of `config.compare` in a folder of its own.

  What is finished is not trained again, so the same command goes on after an
  interruption. At the end the table is logged and written to
  `workdir/comparison.md`, the numbers to `workdir/comparison.json`.

  Returns:
    name -> scores at the end of the run, see `train.train_and_evaluate`.
  """
  results = {}
  configs = settings.run_configs(config)
  for number, (name, changed) in enumerate(configs.items(), 1):
    _log.info('Run %d of %d: %s', number, len(configs), name)
    results[name] = train.train_and_evaluate(changed, workdir / name)
  shown = f'{table(results)}\n\n{_LEGEND}'
  for name, scores in results.items():
    if verdict := collapse.in_words(scores):
      shown += f'\n{name}: its training {verdict}.'
  absent = {
    name.removesuffix('/absent'): None
    for scores in results.values()
    for name in scores
    if name.endswith('/absent')
  }
  if absent:
    shown += f'\nAbsent, and not evaluated on: {", ".join(absent)}.'
  sheet.write_text(workdir / 'comparison.md', shown + '\n')
  sheet.write_text(
    workdir / 'comparison.json', json.dumps(results, indent=2) + '\n'
  )
  print('\n' + shown + '\n')
  return results


def table(results: Mapping[str, Mapping[str, float]]) -> str:
  """A Markdown table, a run a line: verification accuracy, corrections.

  Rates are in per cent; '-' where a run has no such score, and no column where
  none has. The corrections of a run that corrects nothing have no precision.
  What a collapsed run scores is no result.
  """
  accuracies = {
    name: 'accuracy on {} ({})'.format(*name.split('/'))
    for scores in results.values()
    for name in scores
    if name.endswith('/accuracy')
  }
  known = set().union(*results.values())
  columns = accuracies | {k: v for k, v in _COLUMNS.items() if k in known}
  rows = [['run', *columns.values()]]
  for run, scores in results.items():
    shown = [_shown(scores, name) for name in columns]
    rows.append([run, *shown])
  return text.table(rows)


def _shown(scores, name):
  if collapse.COLLAPSED in scores:
    return 'collapsed' if name.endswith('/accuracy') else '-'
  value = scores.get(name)
  if value is None:
    return '-'
  std = scores.get(name.replace('/accuracy', '/std'))
  spread = f' +- {100 * std:.2f}' if name.endswith('/accuracy') else ''
  return f'{100 * value:.2f}{spread}'
