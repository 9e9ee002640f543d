"""The benchmarks of a config: opened before training, run on a model."""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from bfjax import errors, scalings
from bfjax.evaluation import benchmarks as benchmarks_lib
from bfjax.evaluation import fieldsets
from bfjax.evaluation.features import distinct, embed, store
from bfjax.report import results

_log = logging.getLogger(__name__)

# An evaluated image takes two passes through the network, an image trained on
# at least three: one forward and two of its gradient. With so many images to
# embed for one trained on, evaluation takes at most 2/3 % of the computation
# and 1 % of the decoding; the rest of the 2 % is for scoring.
_IMAGES_PER_TRAINED = 0.01


class Suite(NamedTuple):
  """Some benchmarks and what it takes to run them."""

  benchmarks: Mapping[str, Any]  # by name
  absent: Mapping[str, str]  # name of an optional one that is not there -> why
  images: distinct.Distinct  # those of all benchmarks, each once
  embedder: embed.Embedder


def open_suite(
  config,
  backbone,
  mesh,
  *,
  image_size: int,
  scale: scalings.Scaling = scalings.STANDARD,
) -> Suite:
  """Opens the benchmarks of a config.

  These are the pairs of every NAME in `config.eval.field_sets` in the folder
  `config.eval.root`, if that is given (see `fieldsets.find`), and the entries
  of `config.benchmarks` that `config.eval.benchmarks` names. Their files are
  looked up now, so that a missing one stops a run before it starts, unless
  the benchmark has `optional=True` and is not there at all.

  Args:
    config: see `bfjax.defaults`.
    backbone: the network.
    mesh: the devices.
    image_size: pixels of a side, of the images that the network takes.
    scale: uint8 images -> what the network takes.

  Raises:
    UserError: if a name is unknown, or a benchmark's files are not there.
  """
  opened, absent = {}, {}
  for name, options in _wanted(config):
    optional = options.pop('optional', False)
    try:
      kind = options.pop('kind')
      opened[name] = benchmarks_lib.build(kind, **options)
    except benchmarks_lib.Absent as error:
      if not optional:
        raise benchmarks_lib.Absent(
          f'The benchmark {name!r} is not there: {error} Give its place, leave '
          'it out, or say that it is optional to have it reported as absent.'
        ) from error
      absent[name] = str(error)
      _log.warning('%s is absent: %s', name, error)
  if not opened and not absent:
    _log.warning(
      'Nothing will be evaluated: neither config.eval.root nor'
      ' config.eval.benchmarks is given.'
    )
  embedder = embed.Embedder(
    backbone,
    mesh,
    batch=config.eval.batch,
    image_size=image_size,
    scale=scale,
    threads=config.data.threads,
  )
  images = distinct.Distinct(
    x.files for x in opened.values() if x.files is not None
  )
  return Suite(opened, absent, images, embedder)


def _wanted(config) -> Iterator[tuple[str, dict[str, Any]]]:
  """The names and the options of a config's benchmarks."""
  if config.eval.root:
    for name in config.eval.field_sets:
      found = fieldsets.find(config.eval.root, name)
      yield (
        name,
        {'kind': 'pairs', 'optional': config.eval.get('optional'), **found},
      )
  for name in config.eval.benchmarks:
    yield name, dict(errors.choose('benchmark', name, config.benchmarks))


def period(every_epochs: int, num_images: int, rows: int) -> int:
  """After how many epochs each to evaluate.

  Args:
    every_epochs: as configured; 0 for as often as it costs less than 2 % of
      the time, which is once for every `100 num_images` rows trained on.
    num_images: distinct images of the benchmarks.
    rows: of an epoch of training.
  """
  return every_epochs or max(
    1, math.ceil(num_images / (_IMAGES_PER_TRAINED * rows))
  )


def run(suite: Suite, params, stats) -> dict[str, float]:
  """Embeds the images of the benchmarks, each once, and scores them.

  Args:
    suite: from `open_suite`.
    params: of the backbone.
    stats: its running statistics.

  Returns:
    '<benchmark>/<score>' -> value, for every score of every benchmark; and
    '<benchmark>/absent' -> 1 for those that are optional and not there.
  """
  features = embed_images(suite, params, stats)
  scores = {
    f'{name}/{key}': float(value)
    for name, benchmark, own in _shares(suite, features)
    for key, value in benchmark.evaluate(own).items()
  }
  return scores | {f'{name}/absent': 1.0 for name in suite.absent}


def analyse(
  suite: Suite, features: np.ndarray | None
) -> dict[str, results.Analysis]:
  """The scores of all benchmarks, and what explains them.

  Args:
    suite: from `open_suite`.
    features: float32 [n, 2, d] of `suite.images`; None if there are none.

  Returns:
    name of benchmark -> analysis.
  """
  return {
    name: benchmark.analyse(own)
    for name, benchmark, own in _shares(suite, features)
  }


def embed_images(suite: Suite, params, stats) -> np.ndarray | None:
  """The features of the images of a suite, each embedded once.

  Args:
    suite: from `open_suite`.
    params: of the backbone.
    stats: its running statistics.

  Returns:
    float32 [n, 2, d]; None where no benchmark has images.
  """
  num_images = suite.images.num_rows
  if not num_images:
    return None
  shape = num_images, 2, suite.embedder.embedding_dim
  features = store.scratch(shape, np.float32)
  title = 'Embedding' if jax.process_index() == 0 else ''
  with embed.bar(num_images, title) as bar:
    for row, found in suite.embedder(params, stats, suite.images):
      features[row : row + len(found)] = found
      bar.update(len(found))
  return features


def _shares(suite, features):
  """Yields (name, benchmark, its features)."""
  for name, benchmark in suite.benchmarks.items():
    if benchmark.files is None:
      yield name, benchmark, None
    else:
      yield name, benchmark, features[suite.images.rows_of(benchmark.files)]
