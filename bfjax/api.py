"""Commands as functions, for `import bfjax`; docs/python.md.

What is here, in `facemodel` and in `heads.make` keeps its names and meaning
from version to version; all else may change.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections

from bfjax import (
  configfile,
  defaults,
  errors,
  facemodel,
  preflight,
  program,
  runtime,
  sharding,
  text,
)
from bfjax.config import keys, settings
from bfjax.evaluation import fieldsets, suite
from bfjax.storage import diskerrors


def train(
  config: str | os.PathLike | ml_collections.ConfigDict,
  workdir: str | os.PathLike,
  changes: Mapping[str, Any] | None = None,
) -> dict:
  """Trains the run that a config describes, or goes on with it.

  It is `bfjax train --config=... --workdir=...`. What it tells on the way goes
  to the logger 'bfjax'.

  Example:
    >>> import bfjax
    >>> scores = bfjax.train('tiny.py', 'runs/mine', {'head.m': 0.3})
    >>> 'unseen/boundaryface/accuracy' in scores
    True

  Args:
    config: a file, as 'configs/small.py:7500', or what its `get_config` gives.
    workdir: of this run alone; if it holds the same run, it is gone on with.
    changes: key -> value of what is changed, such as 'data.root', as
      --config.KEY=VALUE of the command has it.

  Returns:
    The scores at the end: evaluations, corrections. Of a config that compares
    several runs, name -> scores.

  Raises:
    UserError: for whatever is wrong with config or data.
  """
  workdir = pathlib.Path(workdir)
  config = _whole(config, changes or {})
  preflight.check(config, defaults.get_config(), workdir, 'train')
  runtime.start(config.cache_dir)
  from bfjax import compare, training  # after the runtime's flags are set

  run = compare.train_all if config.compare else training.train_and_evaluate
  with diskerrors.writing_to(workdir):
    return run(config, workdir)


def _whole(given, changes) -> ml_collections.ConfigDict:
  """The config, changed, and looked at as that of a command line is."""
  if isinstance(given, ml_collections.ConfigDict):
    config = given.copy_and_resolve_references()
  else:
    config = configfile.load(os.fspath(given))
  keys.check_complete(config, defaults.get_config())
  before = config.data.copy_and_resolve_references()
  for key, value in changes.items():
    group, name = keys.find(config, key)
    if keys.is_group(group[name]) and keys.is_group(value):
      group[name] = ml_collections.ConfigDict(value)  # replaced as a whole
    else:
      keys.change(config.lock(), {key: value})
  keys.check_complete(config, defaults.get_config())
  is_changed = config.data.source != before.source
  settings.check_source_options(config.data, before if is_changed else None)
  return config


def evaluate(
  model: facemodel.FaceModel | str | os.PathLike,
  sets: str | os.PathLike | Mapping[str, Any],
  *,
  batch: int = 256,
) -> dict[str, float]:
  """Scores of a model on verification sets; `bfjax report` writes a page.

  Example:
    >>> import bfjax
    >>> model = bfjax.load('models/net')
    >>> scores = bfjax.evaluate(model, {'mine': 'pairs.txt'})
    >>> list(scores)[:1]
    ['mine/boundaryface/accuracy']

  Args:
    model: a model, or what `load` takes.
    sets: name -> a list of pairs (whose images lie beside it) or a pack, such
      as 'lfw.bin', or the options of a benchmark as in `config.benchmarks`; or
      the folder of the field's sets, of which those are taken that there are.
    batch: images a step.

  Returns:
    '<set>/<protocol>/<score>' -> value; docs/evaluation.md has the protocols.

  Raises:
    UserError: if there is no such set, or it cannot be read.
  """
  if not isinstance(model, facemodel.FaceModel):
    model = facemodel.load(model)
  mesh = sharding.make_mesh()
  loaded = model.loaded
  opened = suite.open_suite(
    _of_sets(sets, batch),
    loaded.backbone,
    mesh,
    image_size=loaded.image_size,
    scale=loaded.scale,
  )
  weights = jax.device_put(
    (loaded.params, loaded.stats), sharding.replicated(mesh)
  )
  return suite.run(opened, *weights)


def _of_sets(sets, batch) -> ml_collections.ConfigDict:
  """A config that evaluates on them."""
  config = defaults.get_config()
  config.eval.batch = batch
  if isinstance(sets, str | os.PathLike):
    config.eval.root = os.fspath(sets)
    there = [x for x in config.eval.field_sets if fieldsets.is_there(sets, x)]
    config.eval.field_sets = tuple(there)
    if not there:
      raise errors.UserError(
        f'{sets} is no folder with sets of the field'
        f' ({", ".join(defaults.FIELD_SETS)}). One file is given with a name:'
        " {'lfw': 'lfw.bin'}."
      )
    return config
  for name, given in sets.items():
    if isinstance(given, str | os.PathLike):
      root, pairs = os.path.split(given)
      given = {'kind': 'pairs', 'root': root or '.', 'pairs': pairs}
    config.benchmarks[name] = given
  config.eval.benchmarks = tuple(sets)
  return config


def clean(
  model: str | os.PathLike, out: str | os.PathLike, **options
) -> dict[str, Any]:
  """Finds what is wrong with a data set, and writes the set without it.

  It is `bfjax clean --model=... --out=...`, whose help tells what it writes.

  Args:
    model: the workdir of a run, whose images they are then, or a model folder.
    out: the folder of what is found; the same call goes on with it.
    **options: of the command, by their names there with _ for -, such as
      root='IMAGES' or merge=True; `format` is --from.

  Returns:
    What summary.json says.

  Raises:
    UserError: if there is no such option, or as the command.
  """
  command = program.load('clean')
  arguments = command.parse_arguments([f'--model={model}', f'--out={out}'])
  for name, value in options.items():
    errors.choose('option of clean', name, vars(arguments))
    setattr(arguments, name, value)
  runtime.start()
  command.main(arguments)
  return text.read_json(pathlib.Path(out) / 'summary.json')
