"""What the shapes in a state dict tell of a net: depths, widths, image size.

All of them have an answer where a name is missing or an array is transposed,
so that the comparison with what there ought to be names exactly that array.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bfjax.backbones import iresnet

Shapes = Mapping[str, tuple[int, ...]]


def starts(shapes: Shapes, prefix: str) -> bool:
  """Whether any name starts so."""
  return any(name.startswith(prefix) for name in shapes)


def count(shapes: Shapes, prefix: str) -> int:
  """How many there are, by the largest number after a prefix: 'body.' ..."""
  rests = (x.removeprefix(prefix) for x in shapes if x.startswith(prefix))
  numbers = (rest.partition('.')[0] for rest in rests)
  return max((int(x) for x in numbers if x.isdigit()), default=-1) + 1


def length(shapes: Shapes, *names: str, default: int) -> int:
  """The length of the first of these vectors that is there."""
  for name in names:
    if len(shapes.get(name, ())) == 1:
      return shapes[name][0]
  return default


def side(shape: tuple[int, ...] | None, size_at_1: int, default: int) -> int:
  """The side of the square map that a dense layer takes.

  Args:
    shape: of its weight, in either order; None where it is missing.
    size_at_1: of the weight if the side were 1.
    default: where it fits no side.
  """
  size = math.prod(shape or ())
  found = math.isqrt(size // size_at_1)
  return found if shape and found**2 * size_at_1 == size else default


def blocks_of(leaves: Iterable[str]) -> list[tuple[int, int]]:
  """The blocks (stage, number), from 1, in the paths of our iresnet."""
  parts = {name.split('/')[1] for name in leaves}
  blocks = (x.removeprefix('stage').split('_block') for x in parts)
  return sorted((int(x[0]), int(x[1])) for x in blocks if len(x) == 2)


def iresnet_options(
  variant: str,
  *,
  mode: str,
  widths: list[int],
  blocks: list[int],
  linear: tuple[int, ...] | None,
  embedding_dim: int,
  bottleneck: bool = False,
) -> dict[str, Any]:
  """The options of our iresnet, those that are usual left out.

  Args:
    variant: see `iresnet.VARIANTS`.
    mode: 'ir', 'ir_se', ...
    widths: channels of the stem and of the stages.
    blocks: of the stages.
    linear: shape of the dense layer's weight: it tells the image size.
    embedding_dim: length of an embedding.
    bottleneck: whether the blocks are bottlenecks.
  """
  known = iresnet.VARIANTS[variant]
  widths, blocks = tuple(widths), tuple(blocks)
  depths = [
    depth
    for depth, usual in known.blocks.items()
    if usual == blocks and (depth in known.bottlenecks) == bottleneck
  ]
  options = {'name': 'iresnet', 'variant': variant, 'mode': mode}
  if depths:
    options['depth'] = depths[0]
  else:
    options['blocks'] = blocks
    if bottleneck:
      options['depth'] = known.bottlenecks[0]
  if widths != iresnet.WIDTHS[bottleneck]:
    options['widths'] = widths
  options['embedding_dim'] = embedding_dim
  last = side(linear, widths[-1] * embedding_dim, default=7)
  options['image_size'] = last * 2 ** len(blocks)
  return options
