"""Evaluating a checkpoint after training: --mode=eval."""

import contextlib
import datetime
import functools
import importlib.metadata
import logging
import pathlib
import platform
import shlex
import sys
from typing import Any

import jax

from bfjax import defaults, errors, metrics, model, sharding
from bfjax.config import keys
from bfjax.evaluation import suite
from bfjax.evaluation.features import extraction
from bfjax.logbook import collapse
from bfjax.report import modelreport, results
from bfjax.storage import diskerrors

_log = logging.getLogger(__name__)
_LIBRARIES = ('bfjax', 'jax', 'flax', 'numpy', 'opencv-python-headless')


def evaluate(config, workdir: pathlib.Path) -> dict[str, float]:
  """Runs the config's benchmarks on a run's checkpoint or on a model folder.

  Prints the table of the paper and writes `workdir/results.json`, `.md` and
  `.html` (see `bfjax.report`). Architecture, image size and input
  scaling are the model's, whatever the config says. Which checkpoint of a
  run, `config.eval.checkpoint` says: 'last', 'best' or a step.

  Returns:
    '<benchmark>/<score>' -> value.

  Raises:
    UserError: if the config has no benchmark, or there is no such checkpoint
      or model.
  """
  one = evaluate_into(
    config, workdir, workdir, str(config.eval.checkpoint), workdir.name
  )
  return one.scores()


def evaluate_into(
  config,
  path: pathlib.Path,
  out: pathlib.Path,
  checkpoint: str,
  name: str,
  keeps_features: bool = False,
) -> results.Evaluation:
  """Evaluates one checkpoint or model and writes its report.

  Args:
    config: of which `eval`, `benchmarks` and `data.threads` count.
    path: the workdir of a run, or a model folder.
    out: where the report goes.
    checkpoint: of a run: 'last', 'best' or a step.
    name: what the report calls the model.
    keeps_features: whether features are kept in `out/features`, and those that
      are there used, see `extraction.kept`.

  Raises:
    UserError: as `evaluate`.
  """
  loaded = model.load_model(path, checkpoint, with_centres=False)
  mesh = sharding.make_mesh()
  opened = suite.open_suite(
    config,
    loaded.backbone,
    mesh,
    image_size=loaded.image_size,
    scale=loaded.scale,
  )
  if not opened.benchmarks and not opened.absent:
    raise errors.UserError(
      'Nothing to evaluate on: give config.eval.root or config.eval.benchmarks.'
    )
  weights = jax.device_put(
    (loaded.params, loaded.stats), sharding.replicated(mesh)
  )
  if keeps_features and opened.images.num_rows:
    features = extraction.kept(
      functools.partial(opened.embedder, *weights),
      opened.images,
      out / 'features',
      loaded,
      opened.embedder.batch,
    )
  else:
    features = suite.embed_images(opened, *weights)
  found = {
    key: results.found(opened.benchmarks[key], analysis)
    for key, analysis in suite.analyse(opened, features).items()
  }
  about = _about(path, loaded, mesh)
  one = results.Evaluation(name, about, found, opened.absent)
  if jax.process_index() == 0:
    files_of = {
      key: getattr(x, 'pictures', x.files)
      for key, x in opened.benchmarks.items()
    }
    with diskerrors.writing_to(out):
      shown = modelreport.write(out, one, files_of)
    print('\n' + shown)
    _log.info('Wrote %s', out / 'results.html')
  return one


def _about(path, loaded: model.Model, mesh) -> dict[str, Any]:
  """What was evaluated, when, how and with what; what a run says of itself."""
  versions = {'Python': platform.python_version()}
  for name in _LIBRARIES:  # those that are installed under their usual names
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[name] = importlib.metadata.version(name)
  about = {
    'model': dict(loaded.description),
    'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
    'command': f'{sys.argv[0]} {shlex.join(sys.argv[1:])}',
    'devices': f'{mesh.devices.flat[0].device_kind} x {mesh.size}',
    'versions': versions,
  }
  if (path / 'config.json').exists():
    config = defaults.read_config(path / 'config.json').to_dict()
    flat = keys.flat(config)
    about[results.CONFIG] = {k: v for k, v in flat if not keys.is_group(v)}
  lines = metrics.read_metrics(path / 'metrics.jsonl')
  step = loaded.description['source'].get('step', 0)
  if words := collapse.in_words(collapse.verdicts(lines, step)):
    about[results.TRAINING] = words
  return about
