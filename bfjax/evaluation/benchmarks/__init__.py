"""Benchmarks: images to embed, and numbers from their embeddings.

A benchmark is a module of this package with a function `build(**options)` that
returns a `Benchmark`; its file name is its name in a config. Adding one means
adding a file.
"""

from typing import Protocol

import numpy as np

from bfjax import errors, plugins
from bfjax.report import results


class Absent(errors.UserError):
  """The benchmark's files are not on this disk at all.

  What `build` raises where its folder or its lists are not there. An error,
  unless the benchmark is `optional` in the config: then it is reported as
  absent. A benchmark that is there but lacks a file of its own is a plain
  `UserError`, optional or not.
  """


class Files(Protocol):
  """Encoded images by row number, as `bfjax.data.files.ImageFiles`."""

  num_rows: int

  def read(self, rows) -> list[bytes]:
    """The encoded images of `rows` (int [n])."""

  def name(self, row: int) -> str:
    """What the user knows the image by, for messages."""

  def path(self, row: int) -> str:
    """Where the image is, for messages."""


class Benchmark(Protocol):
  """What `build` returns.

  Attributes:
    files: the images to embed, each once; None where the benchmark brings
      saved features of its own. Two benchmarks with one and the same object
      are embedded once.
    protocol: one text that names the protocol and every flag of it by its
      meaning; it is printed with every number.
    pictures: where the images of its examples are, numbered as they say; may
      be left out where that is `files`.
    headline: names of the scores that tables show, the first one first.
  """

  files: Files | None
  protocol: str
  headline: tuple[str, ...]

  def evaluate(self, features: np.ndarray | None) -> dict[str, float]:
    """The numbers of the benchmark, by metric name; used during training.

    Args:
      features: float32 [files.num_rows, 2, d], for each image x the embeddings
        f(x) and f(mirror image of x), not normalised; it may be memory-mapped
        and larger than memory. None where `files` is None.

    Returns:
      metric name -> value; rates as fractions of 1, not per cent.

    Raises:
      UserError: if features are not finite; the message names the image.
    """

  def analyse(self, features: np.ndarray | None) -> results.Analysis:
    """The numbers of `evaluate`, with what explains them; as `evaluate`."""


def build(name: str, /, **options) -> Benchmark:
  """Builds the benchmark called `name`, a module of this package.

  Raises:
    Absent: if its folder or its lists are not there.
    UserError: if there is no such benchmark, it has no such option, an option
      without a default is missing, or the benchmark finds its files wanting.
  """
  return plugins.build('benchmark', __name__, name, **options)
