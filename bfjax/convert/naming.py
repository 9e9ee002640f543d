"""What an architecture of another code base is: names, and signs in shapes.

The readers of shapes have an answer where a name is missing or an array is
transposed, so that the comparison with what there ought to be names exactly
that array.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bfjax import scalings

Shapes = Mapping[str, tuple[int, ...]]
Options = dict[str, Any]


class CodeBase(NamedTuple):
  """The habits of a code base."""

  colour_order: str = 'BGR'  # of the images that its nets take, or 'RGB'
  scaling: scalings.Scaling = scalings.STANDARD  # of their pixels
  # Of its files: the array's name, and whether it is [d, classes].
  centres: tuple[str, bool] = ('weight', False)


CODE_BASES = {
  'adaface': CodeBase(centres=('kernel', True)),
  'boundaryface': CodeBase(),
  'facexzoo': CodeBase('BGR', scalings.Scaling(127.5, 128.0), ('weight', True)),
  'insightface': CodeBase('RGB'),
}


class Names(NamedTuple):
  """What a net's modules and arrays are called there."""

  stem: str  # the convolution that takes the image
  modules: Mapping[str, str]  # path here, 'stage1_block1/norm1' -> name there
  # Path of a leaf here that is in no module -> name and number of dimensions
  # there, those before ours being 1.
  arrays: Mapping[str, tuple[str, int]] = {}
  pointwise: frozenset[str] = frozenset()  # 1x1 convolutions, dense layers here
  # A dense layer on a flattened map -> that map's channels.
  flattened: Mapping[str, int] = {}


class Architecture(NamedTuple):
  """One kind of net of one code base; names alone, `mapping` knows layouts."""

  code_base: str  # one of `CODE_BASES`
  # Is a backbone of ours, its name and options, one of these?
  has: Callable[[Mapping[str, Any]], bool]
  # Shapes of a state dict -> options of our backbone, image size too, or None.
  recognise: Callable[[Shapes], Options | None]
  # Leaves of our trees with their shapes, our backbone -> names there.
  names: Callable[[Shapes, Mapping[str, Any]], Names]


def inside(place: str, names: Mapping[str, str], ours: str) -> dict[str, str]:
  """The names of a module's parts: `names` after `ours` here, `place` there."""
  return {f'{ours}/{x}': f'{place}.{there}' for x, there in names.items()}


def starts(shapes: Shapes, prefix: str) -> bool:
  """Whether any name starts so."""
  return any(name.startswith(prefix) for name in shapes)


def count(shapes: Shapes, prefix: str) -> int:
  """How many there are, by the largest number after a prefix: 'body.' ..."""
  rests = (x.removeprefix(prefix) for x in shapes if x.startswith(prefix))
  numbers = (rest.partition('.')[0] for rest in rests)
  return max((int(x) for x in numbers if x.isdigit()), default=-1) + 1


def width(shapes: Shapes, *modules: str, default: int) -> int:
  """The length of the first vector of these modules that is there."""
  for module in modules:
    for array in ('weight', 'bias', 'running_mean'):
      shape = shapes.get(f'{module}.{array}', ())
      if len(shape) == 1:
        return shape[0]
  return default


def side(shape: tuple[int, ...] | None, size_at_1: int, default: int) -> int:
  """The side of the square map that a dense layer takes.

  `shape` is its weight's, in either order, None where it is missing, and
  `size_at_1` that weight's size if the side were 1.
  """
  size = math.prod(shape or ())
  found = math.isqrt(size // size_at_1)
  return found if shape and found**2 * size_at_1 == size else default
