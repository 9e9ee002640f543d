"""What a benchmark finds: numbers, and what explains them."""

import types
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


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


_NOTHING: Mapping = types.MappingProxyType({})


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
