"""Makes a page again, or compares several models in one table.

    bfjax report runs/mine

writes runs/mine/report.html, as the end of the training does: what the run did,
and its corrected rows to look at; or that of a folder of tools/clean.py.

    bfjax report runs/arcface runs/boundaryface --out comparison
    bfjax report runs/mine@best runs/mine@12000 --out comparison
    bfjax report runs/mine@best converted/r50 --out comparison \\
      --config my_benchmarks.py

A model is the workdir of a run, a folder that `bfjax convert` has made, or a
folder with a results.json. What `bfjax eval` has left in it is used as it is. A
model that is not evaluated yet, and any that is given with a checkpoint
(`@best`, `@last` or `@STEP`), is evaluated now, by --config or the run's own
config.json, into a folder in --out. Its features stay there, so that the same
command, after a kill too, embeds only the rest.

--out gets comparison.html, comparison.md and comparison.json: the table of
the paper, the best in bold, with 95 % bootstrap intervals over pairs, and ROC
curves of all models in common charts.
"""

import argparse
import pathlib

from bfjax import command, errors

USES_JAX = True


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  add = parser.add_argument
  add('models', nargs='+', metavar='MODEL', help='MODEL or MODEL@CHECKPOINT')
  add(
    '--out',
    type=pathlib.Path,
    help='where the comparison goes; without it, a page is made',
  )
  add(
    '--config',
    default='',
    metavar='FILE',
    help='on what models are evaluated now, as for `bfjax eval`: FILE[:TEXT]',
  )
  add(
    '--eval-root',
    default='',
    help="the folder of the field's sets, for models evaluated now",
  )
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Writes a page; with --out, evaluates and compares models.

  Raises:
    UserError: if a model cannot be read or evaluated, or the benchmarks were
      not run in one way for all of them.
  """
  from bfjax import pages
  from bfjax.report import modelreport, resultfiles

  if arguments.out is None:
    if len(arguments.models) > 1:
      raise errors.UserError('To compare models, give --out=DIR.')
    print(f'Wrote {pages.write(pathlib.Path(arguments.models[0]))}')
    return
  several = []
  for given, name in zip(
    arguments.models, _names(arguments.models), strict=True
  ):
    path, checkpoint = _split(given)
    if not path.is_dir():
      raise errors.UserError(f'There is no folder {path}.')
    if not checkpoint and (path / resultfiles.RESULTS).exists():
      found = resultfiles.read(path)
    else:
      found = _evaluate(arguments, path, checkpoint or 'last', name)
    several.append(found._replace(name=name))
  print(modelreport.compare(arguments.out, several))
  print(f'Wrote {arguments.out / "comparison.html"}')


def _evaluate(arguments, path, checkpoint, name):
  from bfjax import configfile, defaults, evaluating
  from bfjax.report import resultfiles

  config = defaults.get_config()
  if arguments.config:
    config = configfile.load(arguments.config)
  elif (path / 'config.json').exists():
    config = defaults.read_config(path / 'config.json')
  elif not arguments.eval_root:
    raise errors.UserError(
      f'{path} is not evaluated, and has no config.json that says on what: '
      'give --config or --eval-root.'
    )
  if arguments.eval_root:
    config.eval.root = arguments.eval_root
  out = arguments.out / resultfiles.file_name(name)
  return evaluating.evaluate_into(
    config, path, out, checkpoint, name, keeps_features=True
  )


def _split(given: str) -> tuple[pathlib.Path, str]:
  """The folder and the checkpoint, '' if none is named."""
  path, at, checkpoint = given.rpartition('@')
  if at and not pathlib.Path(given).exists():
    return pathlib.Path(path), checkpoint
  return pathlib.Path(given), ''


def _names(models: list[str]) -> list[str]:
  """What tells the models apart: the folder's name, or the path as given."""
  short = [pathlib.Path(given).resolve().name for given in models]
  return short if len(set(short)) == len(short) else models
