"""What the flags alone tell of a run, said before JAX and TensorFlow load.

It finds no more than the parts themselves would find later, minutes later
where there is much data; what it does not find, they do. So it never reads a
data set: it looks whether names, numbers and files can be right.
"""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from bfjax import declared, errors, plugins
from bfjax.config import identity, keys, settings
from bfjax.evaluation import fieldsets

_MARGINS = 'bfjax.heads.margins'
# Module and dict of what a key of the config names.
_NAMED = {
  'head.margin': (_MARGINS, 'MARGINS'),
  'head.rule': ('bfjax.heads.rules', 'RULES'),
  'head.penalty': ('bfjax.heads.penalties', 'PENALTIES'),
  'optim.schedule': ('bfjax.optim', 'SCHEDULES'),
}
_BENCHMARKS = 'bfjax.evaluation.benchmarks'
# Keys of a benchmark in a config that are not options of its `build`.
_OF_ALL_BENCHMARKS = ('kind', 'optional')


def check(config, whole, workdir: pathlib.Path, mode: str) -> None:
  """Checks a run, or each of those that `config.compare` names.

  Args:
    config: of the command line.
    whole: one with all keys there are, see `defaults.get_config`.
    workdir: of the run, or the folder above those of several.
    mode: 'train' or 'eval'.

  Raises:
    UserError: for the first thing found wrong.
  """
  _check_folder(workdir)
  several = settings.run_configs(config)
  if not several:
    _check_run(config, whole, workdir, mode)
  for name, changed in several.items():
    try:
      _check_run(changed, whole, workdir / name, mode)
    except errors.UserError as error:
      raise errors.UserError(f'config.compare.{name}: {error}') from error


def _check_run(config, whole, workdir, mode):
  _check_names(config, whole)
  settings.check(config)
  benchmarks = dict(_benchmarks(config))
  if mode == 'eval':
    _check_evaluated(workdir, benchmarks)
    return
  _check_data(config.data)
  _check_start(config, workdir)
  best = config.checkpoint.best_metric
  if best:
    errors.choose(
      'benchmark of checkpoint.best_metric', best.split('/')[0], benchmarks
    )
  _check_same_run(config, workdir)


def _check_folder(workdir):
  there = next(x for x in (workdir, *workdir.parents) if os.path.exists(x))
  if not there.is_dir():
    raise errors.UserError(f'--workdir={workdir}: {there} is no folder.')
  if not os.access(there, os.W_OK):
    raise errors.UserError(
      f'--workdir={workdir}: {there} cannot be written to.'
    )


def _check_names(config, whole):
  """Refuses parts that are not there, and keys that nothing reads."""
  backbone = settings.backbone_options(config)
  plugins.check('backbone', settings.BACKBONES, backbone.pop('name'), backbone)
  for key, table in _NAMED.items():
    group, kind = key.split('.')
    errors.choose(kind, config[group][kind], declared.functions(*table))
  known = dict.fromkeys(plugins.names(settings.SOURCES))
  errors.choose('source', config.data.source, known)
  # Another margin's numbers do no harm: a config changes its margin.
  numbers = {
    number
    for margin in declared.functions(_MARGINS, 'MARGINS').values()
    for number in declared.parameters(_MARGINS, margin)
  }
  free = ('benchmarks', 'compare', 'backbone')
  for key, _ in keys.flat(config):
    group, _, name = key.partition('.')
    if group not in free and not (group == 'head' and name in numbers):
      keys.find(whole, key)


def _check_data(data):
  """Refuses a folder or list that is not there."""
  options = settings.source_options(data)
  if 'root' in options:
    if not data.root:
      raise errors.UserError(
        'config.data.root is empty: give the folder of the images,'
        ' --config.data.root=DIR. `python tools/info.py DIR` tells what is in'
        ' one and how to train on it.'
      )
    if not os.path.exists(data.root):
      raise errors.UserError(f'There is no config.data.root={data.root}.')
  for name in ('list', 'truth', 'outliers'):
    path = data.get(name)
    if name in options and path and not _is_there(data.root, path):
      raise errors.UserError(
        f'There is no config.data.{name}={path}, in {data.root} or here.'
      )


def _is_there(root, path):
  folder = os.path.dirname(root) if os.path.isfile(root) else root
  return os.path.exists(path) or os.path.exists(os.path.join(folder, path))


def _benchmarks(config) -> Iterator[tuple[str, Any]]:
  """The benchmarks that a config asks for, by name, each looked at."""
  sets = config.eval
  if sets.root:
    if not sets.get('optional'):
      _check_field_sets(sets.root, sets.field_sets)
    yield from dict.fromkeys(sets.field_sets).items()
  for name in sets.benchmarks:
    chosen = dict(errors.choose('benchmark', name, config.benchmarks))
    if 'kind' not in chosen:
      raise errors.UserError(
        f'config.benchmarks.{name} has no key kind. There are:'
        f' {", ".join(plugins.names(_BENCHMARKS))}.'
      )
    options = {k: v for k, v in chosen.items() if k not in _OF_ALL_BENCHMARKS}
    plugins.check('benchmark', _BENCHMARKS, chosen['kind'], options)
    root = chosen.get('root')
    if root and not os.path.exists(root) and not chosen.get('optional'):
      raise errors.UserError(
        f'There is no config.benchmarks.{name}.root={root}. Give its place, or'
        f' --config.benchmarks.{name}.optional=True to have it reported as'
        ' absent.'
      )
    yield name, chosen


def _check_field_sets(root, names):
  if not os.path.isdir(root):
    raise errors.UserError(f'There is no folder config.eval.root={root}.')
  missing = [name for name in names if not fieldsets.is_there(root, name)]
  if missing:
    tried = ', '.join(x.format(missing[0]) for x in fieldsets.PLACES)
    raise errors.UserError(
      f'config.eval.root={root} has no {", ".join(missing)} ({tried}). Name the'
      ' sets that you have by config.eval.field_sets, or have the others'
      ' reported as absent by --config.eval.optional=True.'
    )


def _check_evaluated(folder, benchmarks):
  if not folder.is_dir():
    raise errors.UserError(
      f'There is no folder {folder}: --mode=eval takes the workdir of a run or'
      ' a model folder.'
    )
  if not benchmarks:
    raise errors.UserError(
      'Nothing to evaluate on: give config.eval.root or config.eval.benchmarks.'
    )


def _check_start(config, folder):
  """Refuses a model to start from that is not there."""
  if not config.init_from or (folder / 'run.json').exists():
    return
  for key in ('init_from', 'init_renamed'):
    if config[key] and not os.path.exists(config[key]):
      raise errors.UserError(f'There is no config.{key}={config[key]}.')


def _check_same_run(config, folder):
  """Refuses the workdir of a run that the config cannot go on with."""
  try:
    old = json.loads((folder / 'run.json').read_text())['fixed']
  except (OSError, ValueError, LookupError, TypeError):
    return  # none there, or its reader will tell
  known = {k: v for k, v in old.items() if k not in identity.OF_DATA}
  identity.refuse_other(folder, known, identity.fixed(config))
