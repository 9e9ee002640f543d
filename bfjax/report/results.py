"""What benchmarks find: numbers, and what explains them."""

import hashlib
import os
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# What `Evaluation.about` calls the config of a run, flat, and what its training
# did if it went wrong.
CONFIG, TRAINING = 'config', 'training'
# Names of more images than that are not compared one by one.
_MAX_DIGESTED = 200_000
_NOTHING: Mapping = types.MappingProxyType({})


class Curve(NamedTuple):
  """A line of a chart, such as an ROC curve, and how it is drawn."""

  x: np.ndarray  # float64 [n]
  y: np.ndarray  # float64 [n]
  x_label: str  # with its unit: 'false accept rate'
  y_label: str
  log_x: bool = False


class Histogram(NamedTuple):
  """How often scores fall into bins, for kinds of pairs."""

  edges: np.ndarray  # float64 [bins + 1], rising
  counts: Mapping[str, np.ndarray]  # 'same person', say -> int64 [bins]
  x_label: str  # what the edges are: 'cosine'


class Example(NamedTuple):
  """Images to look at side by side."""

  caption: str  # what is to be seen, and what the score is of
  images: tuple[tuple[int, str], ...]  # (row in `files`, text under the image)
  score: float


class Outcomes(NamedTuple):
  """The outcomes that a score is the mean of, for resampling.

      score = 1 / K sum over the strata k < K of (mean of `values` in k)

  A stratum without outcomes counts as 0. A fold is a stratum; a score that is
  a plain mean over all pairs or probes has one.
  """

  values: np.ndarray  # float [n], 1 for a pair or probe decided right, else 0
  strata: np.ndarray  # int [n], the stratum of each, from 0
  num_strata: int = 1  # K

  def score(self) -> float:
    """The score, a fraction."""
    sums = np.bincount(self.strata, self.values, minlength=self.num_strata)
    sizes = np.bincount(self.strata, minlength=self.num_strata)
    return float(np.mean(sums / np.maximum(sizes, 1)))


def outcomes(values: np.ndarray) -> Outcomes:
  """Outcomes whose plain mean is the score."""
  values = np.asarray(values)
  return Outcomes(values, np.zeros(len(values), np.int32))


class Analysis(NamedTuple):
  """The numbers of a benchmark and what explains them, by title or score.

  Curves of one title are compared in one chart, of several models.
  """

  scores: Mapping[str, float]  # what `Benchmark.evaluate` returns
  curves: Mapping[str, Curve] = _NOTHING
  histograms: Mapping[str, Histogram] = _NOTHING
  examples: tuple[Example, ...] = ()  # the worst cases first
  outcomes: Mapping[str, Outcomes] = _NOTHING  # of scores that are such means


class Found(NamedTuple):
  """What one benchmark says of a model."""

  protocol: str  # as `Benchmark.protocol`
  headline: tuple[str, ...]  # as `Benchmark.headline`
  num_images: int  # embedded for it
  images_sha256: str  # of their names; '' for very many or saved features
  analysis: Analysis


class Evaluation(NamedTuple):
  """What all benchmarks say of a model."""

  name: str  # for tables
  # JSON values: 'model' (what it is), 'date', 'command', 'versions', and, of a
  # run, CONFIG and, where it went wrong, TRAINING.
  about: Mapping[str, Any]
  found: Mapping[str, Found]  # by the benchmark's name
  absent: Mapping[str, str]  # name of an optional one that is not there -> why

  def scores(self) -> dict[str, float]:
    """'<benchmark>/<score>' -> value."""
    return {
      f'{name}/{score}': float(value)
      for name, found in self.found.items()
      for score, value in found.analysis.scores.items()
    }


def found(benchmark, analysis: Analysis) -> Found:
  """What a benchmark says, with what it says it of."""
  files, digest = benchmark.files, ''
  num_images = 0 if files is None else files.num_rows
  if 0 < num_images <= _MAX_DIGESTED:
    names = b''.join(
      os.fsencode(files.name(x)) + b'\n' for x in range(num_images)
    )
    digest = hashlib.sha256(names).hexdigest()
  return Found(
    benchmark.protocol,
    tuple(benchmark.headline),
    num_images,
    digest,
    analysis,
  )
