"""How data sets lie on disk: each file of this package is a format.

It has a function `build(*, out, **options)`, which returns the `Writer` of a
set; its options, with what its docstring says of them, are those of
`tools/pack.py`. A format that sets for training are read in also has

    SOURCE            the file of bfjax/data/sources that reads it
    trace(root)       why a file or folder can be such a set, in words, or ''
    locate(root, *, list, dataset)
                      what that source needs to know, by its options; these
                      three are what the user has said

Adding a format is adding a file.
"""

import dataclasses
import importlib
import inspect
import pathlib
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from bfjax import plugins
from bfjax.data import labelled

# Beside a set: the names of its classes, its wrong labels with the true ones.
CLASSES, FLIPS = 'classes.tsv', 'flips.txt'


@dataclasses.dataclass(frozen=True)
class Writer:
  """A set that is to be written in some format.

  Attributes:
    out: the path of the set.
    file: the one file that it is, below the folder that is written; '' if it
      is that folder.
  """

  out: pathlib.Path
  file: ClassVar[str] = ''

  @property
  def format(self) -> str:
    """The name of the format, which is that of its file."""
    return type(self).__module__.rpartition('.')[2]

  def order(self, source: labelled.Source) -> np.ndarray:
    """The rows of `source` in the order that the set has them: int64 [n].

    Raises:
      UserError: if the format cannot hold this source; why, and what to do.
    """
    return np.arange(source.num_rows)

  def write(
    self,
    folder: pathlib.Path,
    source: labelled.Source,
    order: np.ndarray,
    images: Iterator[bytes],
    state: Mapping[str, Any],
  ) -> Iterator[Callable[[], dict]]:
    """Writes a set, or goes on with it; when it is through, the set is whole.

    Args:
      folder: there, and empty when starting.
      source: what is written.
      order: what `order(source)` is.
      images: those of `order`, encoded, from number `state['rows']` on.
      state: {} to start, else what was last saved; whatever was written after
        that is written again.

    Yields:
      after each image a function that brings all so far to the disk and
      returns the state to go on from: JSON, with the number of images that are
      safe as 'rows'.

    Raises:
      UserError or OSError: if it cannot be written.
    """
    raise NotImplementedError

  def read(self, folder: pathlib.Path) -> labelled.Source | None:
    """The finished set, where no source of `bfjax.data` reads it; else None."""
    return None


def readable() -> tuple[str, ...]:
  """The formats that sets for training are read in."""
  found = plugins.names(__name__)
  return tuple(name for name in found if hasattr(load(name), 'SOURCE'))


def load(name: str) -> types.ModuleType:
  """The module of a format that there is."""
  return importlib.import_module(f'{__name__}.{name}')


def build(name: str, /, *, out: pathlib.Path, **options) -> Writer:
  """Returns the writer of the format `name`, made by its `build`.

  Raises:
    UserError: if there is no such format, or it has no such option.
  """
  return plugins.build('format to write', __name__, name, out=out, **options)


def options(name: str) -> dict[str, tuple[Any, str]]:
  """What may be said of a set in the format `name`: default and meaning."""
  parameters = plugins.options('format to write', __name__, name)
  text = (inspect.getdoc(load(name).build) or '').partition('Args:\n')[2]
  meanings = dict(
    re.findall(r'^  (\w+): (.*(?:\n    .*)*)', text, re.MULTILINE)
  )
  return {
    option: (parameter.default, ' '.join(meanings[option].split()).rstrip('.'))
    for option, parameter in parameters.items()
  }
