"""What other code bases call the modules of our backbones.

Each file of this package is one architecture of one code base, found by its
name, and has

    CODE_BASE     what `--as` calls the code base
    COLOUR_ORDER  of the images that its nets take: 'RGB' or 'BGR'
    SCALING       of their pixels
    CENTRES       of its files: the array's name, and whether it is [d, classes]
    has           backbone of ours -> is this what it is there?
    recognise     shapes of a state dict -> options of our backbone, or None
    names         leaves of our trees, our backbone -> `Names`

These are names alone; `mapping` knows how arrays are laid out here and there.
"""

import importlib
from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

from bfjax import errors, plugins
from bfjax.backbones import iresnet
from bfjax.convert import shapes as shapes_lib


class Names(NamedTuple):
  """What a net's modules and arrays are called there.

  Attributes:
    stem: of the convolution that takes the image.
    modules: path of a module here, 'stage1_block1/norm1' -> name there.
    arrays: path of a leaf here that is in no module -> name and number of
      dimensions there, those before ours being 1.
    pointwise: names there of 1x1 convolutions that are dense layers here.
    flattened: name there of a dense layer on a flattened map -> that map's
      channels.
  """

  stem: str
  modules: Mapping[str, str]
  arrays: Mapping[str, tuple[str, int]] = {}
  pointwise: frozenset[str] = frozenset()
  flattened: Mapping[str, int] = {}


def is_iresnet(
  backbone: Mapping[str, Any],
  variants: Container[str],
  modes: Container[str] = tuple(iresnet.ATTENTION),
) -> bool:
  """Whether a backbone of ours is an iresnet of these variants and modes."""
  return (
    backbone['name'] == 'iresnet'
    and backbone.get('variant', 'boundaryface') in variants
    and backbone.get('mode', 'ir') in modes
    and backbone.get('stem_stride', 1) == 1
  )


def of_blocks(
  leaves: shapes_lib.Shapes,
  ends: Mapping[str, str],
  block: Mapping[str, str],
  place: Callable[[int, int, int], str],
  pointwise: tuple[str, ...] = (),
) -> Names:
  """The names of an iresnet.

  Args:
    leaves: of our trees.
    ends: module outside the blocks -> name there.
    block: module in a block -> name in that block there.
    place: name there of a block by its number in the net, from 0, its stage
      and its number in the stage, from 1.
    pointwise: how names there of 1x1 convolutions end.
  """
  modules = dict(ends)
  for index, (stage, number) in enumerate(shapes_lib.blocks_of(leaves)):
    for ours, theirs in block.items():
      name = f'{place(index, stage, number)}.{theirs}'
      modules[f'stage{stage}_block{number}/{ours}'] = name
  return Names(
    stem=ends['stem_conv'],
    modules=modules,
    pointwise=frozenset(
      name for name in modules.values() if name.endswith(pointwise)
    ),
    flattened={ends['head_linear']: leaves['params/head_norm/bias'][0]},
  )


def all_names() -> list[str]:
  """The architectures that are known."""
  return plugins.names(__name__)


def load(name: str):
  """The module of the architecture `name`."""
  return importlib.import_module(f'{__name__}.{name}')


def code_bases() -> list[str]:
  """What `--as` can be."""
  return sorted({load(name).CODE_BASE for name in all_names()})


def homes(backbone: Mapping[str, Any]) -> dict[str, str]:
  """The code bases that have a backbone of ours -> its architecture there."""
  return {
    load(name).CODE_BASE: name
    for name in all_names()
    if load(name).has(backbone)
  }


def choose(backbone: Mapping[str, Any], code_base: str = '') -> str:
  """The architecture that a backbone of ours is in a code base.

  Args:
    backbone: its name and options.
    code_base: '' for its own, or the one that has it.

  Raises:
    UserError: if it is not of that code base, or of none.
  """
  found = homes(backbone)
  if code_base:
    errors.choose('code base', code_base, dict.fromkeys(code_bases()))
  elif found:
    variant = backbone.get('variant')
    code_base = variant if variant in found else min(found)
  if code_base in found:
    return found[code_base]
  shown = ', '.join(f'{name}={value!r}' for name, value in backbone.items())
  remedy = (
    f'Give --as {" or ".join(sorted(found))}.'
    if found
    else 'ONNX and StableHLO can be written of every backbone.'
  )
  raise errors.UserError(
    f'{code_base or "No code base"} has the backbone {shown}. {remedy}'
    if not code_base
    else f'{code_base} does not have the backbone {shown}. {remedy}'
  )
