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
  """A line of a chart, such as an ROC curve.

  Attributes:
    x: float64 [n].
    y: float64 [n].
    x_label: what x is, with its unit; 'false accept rate'.
    y_label: what y is.
    log_x: whether x is drawn on a logarithmic axis.
  """

  x: np.ndarray
  y: np.ndarray
  x_label: str
  y_label: str
  log_x: bool = False


class Histogram(NamedTuple):
  """How often scores fall into bins, for kinds of pairs.

  Attributes:
    edges: float64 [bins + 1], rising.
    counts: what is counted ('same person') -> int64 [bins].
    x_label: what the edges are, 'cosine'.
  """

  edges: np.ndarray
  counts: Mapping[str, np.ndarray]
  x_label: str


class Example(NamedTuple):
  """Images to look at side by side.

  Attributes:
    caption: what is to be seen, 'same person, taken for two'.
    images: pairs (row in the benchmark's `files`, text under the image).
    score: of the images; the caption says of what.
  """

  caption: str
  images: tuple[tuple[int, str], ...]
  score: float


class Outcomes(NamedTuple):
  """The outcomes that a score is the mean of, for resampling.

      score = 1 / K sum over the strata k < K of (mean of `values` in k)

  A stratum without outcomes counts as 0. A fold is a stratum; a score that is
  a plain mean over all pairs or probes has one.

  Attributes:
    values: float [n], of each pair or probe: 1 if it is decided right, else 0.
    strata: int [n], the stratum of each, 0 <= stratum < num_strata.
    num_strata: K.
  """

  values: np.ndarray
  strata: np.ndarray
  num_strata: int = 1

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
  """The numbers of a benchmark and what explains them; all but scores optional.

  Attributes:
    scores: what `Benchmark.evaluate` returns.
    curves: title -> curve; titles that several benchmarks or models share are
      compared in one chart.
    histograms: title -> histogram.
    examples: the worst cases first.
    outcomes: name of a score -> what it is the mean of, where it is one.
  """

  scores: Mapping[str, float]
  curves: Mapping[str, Curve] = _NOTHING
  histograms: Mapping[str, Histogram] = _NOTHING
  examples: tuple[Example, ...] = ()
  outcomes: Mapping[str, Outcomes] = _NOTHING


class Found(NamedTuple):
  """What one benchmark says of a model.

  Attributes:
    protocol: as `Benchmark.protocol`.
    headline: as `Benchmark.headline`.
    num_images: how many were embedded for it.
    images_sha256: of their names, '' for very many or saved features.
    analysis: the numbers and what explains them.
  """

  protocol: str
  headline: tuple[str, ...]
  num_images: int
  images_sha256: str
  analysis: Analysis


class Evaluation(NamedTuple):
  """What all benchmarks say of a model.

  Attributes:
    name: of the model, for tables.
    about: JSON values: 'model' (what it is), 'date', 'command', 'versions',
      and, of a run, CONFIG and, where it went wrong, TRAINING.
    found: name of a benchmark -> what it says.
    absent: name of an optional benchmark that is not there -> why.
  """

  name: str
  about: Mapping[str, Any]
  found: Mapping[str, Found]
  absent: Mapping[str, str]

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
