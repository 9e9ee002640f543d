"""Formats that a source can be written in: the other way round of sources.

A writer is a file of this package with a function `build(**options)`; its name
is that of the source that reads what it has written.
"""

import pathlib
from typing import Protocol

import numpy as np

from bfjax import plugins
from bfjax.data import labelled


class Sink(Protocol):
  """A set while it is being written; a context manager."""

  def add(self, encoded: bytes) -> None:
    """Appends the image of the next row of the order.

    Raises:
      UserError or OSError: if it cannot be written.
    """

  def save(self) -> dict:
    """Brings what was added to the disk, as far as can be gone on from.

    Returns:
      what `Writer.open` needs to go on: JSON, with the number of images that
      are safe as 'rows'.
    """

  def finish(self) -> None:
    """Completes the set; all rows were added."""


class Writer(Protocol):
  """A format, with its options."""

  def order(self, source: labelled.Source) -> np.ndarray:
    """The rows of `source` in the order that the set has them: int64 [n].

    Raises:
      UserError: if the format cannot hold this source; why, and what to do.
    """

  def open(
    self,
    folder: pathlib.Path,
    source: labelled.Source,
    order: np.ndarray,
    state: dict,
  ) -> Sink:
    """Starts a set in `folder`, or goes on with it.

    Args:
      folder: there, and empty when starting.
      source: what is written.
      order: what `order(source)` is.
      state: {} to start, else what `Sink.save` last returned; whatever was
        written after that is written again.
    """

  def read(self, folder: pathlib.Path) -> labelled.Source:
    """The finished set, as others will read it."""


def build(name: str, **options) -> Writer:
  """Returns the writer called `name`, made by its `build(**options)`.

  Raises:
    UserError: if there is no such writer, or it has no such option.
  """
  return plugins.build('format to write', __name__, name, **options)
