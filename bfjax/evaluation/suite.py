"""The benchmarks of a config: opened before training, run on a model."""

import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bfjax import errors, sharding
from bfjax.evaluation import benchmarks as benchmarks_lib
from bfjax.evaluation import embed

_log = logging.getLogger(__name__)


class Suite(NamedTuple):
  """Some benchmarks and what it takes to run them.

  Attributes:
    benchmarks: name -> benchmark.
    embed_files: (params, stats, files, progress=...) -> features.
  """

  benchmarks: Mapping[str, Any]
  embed_files: Callable


def open_suite(config, backbone, mesh) -> Suite:
  """Opens the benchmarks of a config.

  These are the pair lists `config.eval.root/NAME/pairs.txt` of every NAME in
  `config.eval.field_sets`, if that root is given, and the entries of
  `config.benchmarks` that `config.eval.benchmarks` names. Their files are
  looked up now, so that a missing one stops a run before it starts.

  Raises:
    UserError: if a name is unknown, or a benchmark's files are not there.
  """
  opened = {}
  if config.eval.root:
    for name in config.eval.field_sets:
      root = os.path.join(config.eval.root, name)
      opened[name] = benchmarks_lib.build('pairs', root=root, pairs='pairs.txt')
  for name in config.eval.benchmarks:
    options = dict(errors.choose('benchmark', name, config.benchmarks))
    opened[name] = benchmarks_lib.build(options.pop('kind'), **options)
  if not opened:
    _log.warning(
      'Nothing will be evaluated: neither config.eval.root nor'
      ' config.eval.benchmarks is given.'
    )
  embed_files = functools.partial(
    embed.embed_files,
    embed.make_embed(backbone, mesh),
    batch=sharding.pad_to(config.eval.batch, mesh),
    image_size=config.data.image_size,
    mesh=mesh,
    threads=config.data.threads,
  )
  return Suite(opened, embed_files)


def run(suite: Suite, params, stats, progress: bool = True) -> dict[str, float]:
  """Embeds every benchmark's images and scores them.

  Args:
    suite: from `open_suite`.
    params: of the backbone.
    stats: its running statistics.
    progress: whether to show a progress bar.

  Returns:
    '<benchmark>/<score>' -> value, for every score of every benchmark.
  """
  scores = {}
  for name, benchmark in suite.benchmarks.items():
    features = suite.embed_files(
      params, stats, benchmark.files, progress=name if progress else ''
    )
    found = benchmark.evaluate(features)
    scores |= {f'{name}/{key}': float(value) for key, value in found.items()}
  return scores


def table(scores: Mapping[str, float]) -> str:
  """A Markdown table of scores, a line each; rates in per cent.

  Thresholds (of the cosine or the squared distance) are as they are.
  """
  lines = ['| score | value |', '|---|---|']
  for name, value in scores.items():
    is_rate = not name.endswith('/threshold')
    lines.append(
      f'| {name} | {100 * value:.2f} % |'
      if is_rate
      else f'| {name} | {value:.4f} |'
    )
  return '\n'.join(lines)
