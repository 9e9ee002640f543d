"""Benchmarks: images to embed, and numbers from their embeddings.

A benchmark is a module of this package with a function `build(**options)` that
returns a `Benchmark`; its file name is its name in a config. Adding one means
adding a file.
"""

from typing import Protocol

import numpy as np

from bfjax import plugins


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
    files: the images to embed, each once.
  """

  files: Files

  def evaluate(self, features: np.ndarray) -> dict[str, float]:
    """The numbers of the benchmark, by metric name.

    Args:
      features: float32 [files.num_rows, 2, d], for each image x the embeddings
        f(x) and f(mirror image of x), not normalised.

    Returns:
      metric name -> value; rates as fractions of 1, not per cent.

    Raises:
      UserError: if features are not finite; the message names the image.
    """


def build(name: str, **options) -> Benchmark:
  """Builds the benchmark called `name`, a module of this package.

  Raises:
    UserError: if there is no such benchmark, it has no such option, an option
      without a default is missing, or the benchmark finds its files wanting.
  """
  return plugins.build('benchmark', __name__, name, **options)
