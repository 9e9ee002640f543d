"""Evaluating a checkpoint after training: --mode=eval."""

import json
import logging
import pathlib

from bfjax import checkpoint, compare, errors, reports, runs
from bfjax.evaluation import suite

_log = logging.getLogger(__name__)


def evaluate(config, workdir: pathlib.Path) -> dict[str, float]:
  """Runs the config's benchmarks on a checkpoint of the run in `workdir`.

  Prints a table and writes the numbers to `workdir/evaluation.json`. Which
  checkpoint, `config.eval.checkpoint` says: 'last', 'best' or a step.

  Raises:
    UserError: if the config has no benchmark, or there is no such checkpoint
      or it is not of this config.
  """
  scores, step = _score(config, workdir)
  reports.write_text(
    workdir / 'evaluation.json',
    json.dumps({'step': step, **scores}, indent=2) + '\n',
  )
  print(f'\nStep {step} of {workdir}:\n\n{suite.table(scores)}\n')
  return scores


def evaluate_all(config, workdir: pathlib.Path) -> dict[str, dict]:
  """The same for every run of `config.compare`, with a table of all."""
  results = {
    name: evaluate(changed, workdir / name)
    for name, changed in compare.run_configs(config).items()
  }
  print(compare.table(results) + '\n')
  return results


def _score(config, workdir):
  run = runs.open_run(config)
  benchmarks = suite.open_suite(config, run.recipe.backbone, run.mesh)
  if not benchmarks.benchmarks:
    raise errors.UserError(
      'Nothing to evaluate on: give config.eval.root or config.eval.benchmarks.'
    )
  if not (workdir / 'run.json').exists():
    raise errors.UserError(f'{workdir} holds no run: nothing to evaluate.')
  checkpoint.claim_workdir(workdir, run.record)
  with checkpoint.open_manager(
    workdir, best_metric=config.checkpoint.best_metric, read_only=True
  ) as manager:
    step = _choose_step(manager, str(config.eval.checkpoint))
    _log.info('Evaluating the checkpoint of step %d.', step)
    state = checkpoint.restore(manager, step, runs.make_state(run, config))
  return suite.run(benchmarks, state.params['backbone'], state.stats), step


def _choose_step(manager, wanted):
  steps = manager.all_steps()
  chosen = {
    'last': manager.latest_step(),
    'best': manager.best_step(),
    **{str(step): step for step in steps},
  }.get(wanted)
  if chosen is None:
    raise errors.UserError(
      f'No checkpoint {wanted!r} in {manager.directory}. There are steps:'
      f' {", ".join(map(str, steps)) or "none"}.'
    )
  return chosen
