"""The benchmarks of a config: opened before training, run on a model."""

import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bfjax import backbones, errors, sharding
from bfjax.evaluation import benchmarks as benchmarks_lib
from bfjax.evaluation import fieldsets
from bfjax.evaluation.features import distinct, embed
from bfjax.report import results

_log = logging.getLogger(__name__)

# An evaluated image takes two passes through the network, an image trained on
# at least three: one forward and two of its gradient. With so many images to
# embed for one trained on, evaluation takes at most 2/3 % of the computation
# and 1 % of the decoding; the rest of the 2 % is for scoring.
_IMAGES_PER_TRAINED = 0.01
# More features than so many bytes are kept in a file.
_IN_MEMORY = 2**30


class Suite(NamedTuple):
  """Some benchmarks and what it takes to run them.

  Attributes:
    benchmarks: name -> benchmark.
    absent: name -> why, of the optional benchmarks that are not there.
    images: those of all benchmarks, each once.
    embed_batches: (params, stats, files, first=0) -> as `embed.embed_batches`.
    batch: images that it embeds at a time.
  """

  benchmarks: Mapping[str, Any]
  absent: Mapping[str, str]
  images: distinct.Distinct
  embed_batches: Callable
  batch: int


def open_suite(
  config,
  backbone,
  mesh,
  *,
  image_size: int,
  scale: Callable = backbones.scale_pixels,
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
      opened[name] = _open(options)
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
  compiled = embed.make_embed(backbone, mesh, scale)

  batch = sharding.pad_to(config.eval.batch, mesh)

  def embed_batches(params, stats, files, first=0):
    return embed.embed_batches(
      compiled,
      params,
      stats,
      files,
      batch=batch,
      first=first,
      image_size=image_size,
      mesh=mesh,
      threads=config.data.threads,
    )

  images = distinct.Distinct(
    x.files for x in opened.values() if x.files is not None
  )
  return Suite(opened, absent, images, embed_batches, batch)


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


def _open(options):
  root = options.get('root')
  if root and not os.path.exists(root):
    raise benchmarks_lib.Absent(f'There is no folder {root}.')
  return benchmarks_lib.build(options.pop('kind'), **options)


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


def run(suite: Suite, params, stats, progress: bool = True) -> dict[str, float]:
  """Embeds the images of the benchmarks, each once, and scores them.

  Args:
    suite: from `open_suite`.
    params: of the backbone.
    stats: its running statistics.
    progress: whether to show a progress bar.

  Returns:
    '<benchmark>/<score>' -> value, for every score of every benchmark; and
    '<benchmark>/absent' -> 1 for those that are optional and not there.
  """
  features = embed_images(suite, params, stats, progress)
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


def embed_images(
  suite: Suite, params, stats, progress: bool = True
) -> np.ndarray | None:
  """The features of the images of a suite, each embedded once.

  Args:
    suite: from `open_suite`.
    params: of the backbone.
    stats: its running statistics.
    progress: whether to show a progress bar.

  Returns:
    float32 [n, 2, d]; None where no benchmark has images.
  """
  features = None
  num_images = suite.images.num_rows
  batches = ()
  if num_images:
    batches = suite.embed_batches(params, stats, suite.images)
  with embed.bar(num_images, 'Embedding' if progress else '') as bar:
    for row, found in batches:
      if features is None:
        features = _array((num_images, *found.shape[1:]))
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


def _array(shape) -> np.ndarray:
  """float32 of a shape; in a file that goes with it if it is large.

  Raises:
    UserError: if there is no room for the file.
  """
  size = 4 * math.prod(shape)
  if size <= _IN_MEMORY:
    return np.empty(shape, np.float32)
  with tempfile.TemporaryFile() as file:
    try:
      os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
      raise errors.UserError(
        f'No room for {size / 1e9:.1f} GB of features in '
        f'{tempfile.gettempdir()}: {error.strerror}. TMPDIR names another '
        'folder.'
      ) from error
    return np.memmap(file, np.float32, 'r+', shape=shape)
