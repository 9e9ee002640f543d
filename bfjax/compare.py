"""Several runs in one command, and what compares them."""

import json
import logging
import pathlib

import jax

from bfjax import atomic, evaluating, training
from bfjax.config import settings
from bfjax.logbook import collapse
from bfjax.report import markdown, modelreport, tables

_log = logging.getLogger(__name__)

_LEGEND = (
  'In per cent: verification accuracy +- its standard deviation over the folds;'
  ' corrections\nof the last epoch against the known wrong labels; the share of'
  ' labels still wrong.'
)


def train_all(config, workdir: pathlib.Path) -> dict[str, dict[str, float]]:
  """Trains every entry of `config.compare` in a folder of its own.

  What is finished is not trained again, so the same command goes on after an
  interruption. At the end the table is logged and written to
  `workdir/comparison.md`, the numbers to `workdir/comparison.json`. What a
  collapsed run scores is no result, and not in the table.

  Returns:
    name -> scores at the end of the run, see `training.train_and_evaluate`.
  """
  scores_of = {}
  configs = settings.run_configs(config)
  for number, (name, changed) in enumerate(configs.items(), 1):
    _log.info('Run %d of %d: %s', number, len(configs), name)
    scores_of[name] = training.train_and_evaluate(changed, workdir / name)
  if jax.process_index():  # the first writes
    return scores_of
  collapsed = {k for k, x in scores_of.items() if collapse.COLLAPSED in x}
  table = markdown.of_table(tables.of_trainings(scores_of, collapsed))
  lines = [table, '', _LEGEND]
  for name, scores in scores_of.items():
    if verdict := collapse.in_words(scores):
      lines.append(f'{name}: its training {verdict}.')
  keys = dict.fromkeys(key for scores in scores_of.values() for key in scores)
  absent = [x.removesuffix('/absent') for x in keys if x.endswith('/absent')]
  if absent:
    lines.append(f'Absent, and not evaluated on: {", ".join(absent)}.')
  shown = '\n'.join(lines) + '\n'
  numbers = json.dumps(scores_of, indent=2) + '\n'
  workdir.mkdir(parents=True, exist_ok=True)
  atomic.write_text(workdir / 'comparison.md', shown)
  atomic.write_text(workdir / 'comparison.json', numbers)
  print('\n' + shown)
  return scores_of


def evaluate_all(config, workdir: pathlib.Path) -> dict[str, dict[str, float]]:
  """Evaluates every entry of `config.compare`, see `evaluating.evaluate`.

  The comparison of all is printed and written to `workdir/evaluation`, see
  `modelreport.compare`.
  """
  several = []
  for name, changed in settings.run_configs(config).items():
    path, checkpoint = workdir / name, str(changed.eval.checkpoint)
    several.append(
      evaluating.evaluate_into(changed, path, path, checkpoint, name)
    )
  if jax.process_index() == 0:
    print('\n' + modelreport.compare(workdir / 'evaluation', several))
  return {one.name: one.scores() for one in several}
