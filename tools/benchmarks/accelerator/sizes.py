"""What is measured: on a card at its real sizes, on the CPU at toy ones."""

import itertools
from typing import Any, NamedTuple

import jax

LEFT_OUT = 'left out: the eight minutes were over'
NO_MEMORY = 'does not fit into its memory'


class Case(NamedTuple):
  """A training step: which of the nets, rows and classes."""

  net: int
  batch: int
  classes: int


class Sizes(NamedTuple):
  """All sizes.

  Attributes:
    device: what JAX calls the device.
    is_card: whether it is one.
    nets: options of the net, of `backbones.build` and of the same in PyTorch.
    net_names: of them.
    image_size: pixels.
    dim: of embeddings.
    cases: the training steps, the most telling first.
    head_rows: of the head alone.
    head_classes: likewise.
    label_classes: among which labels are decided on both devices.
    matrix: rows of the square matrices that tell the peak.
    steps: that are timed together.
  """

  device: str
  is_card: bool
  nets: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
  net_names: tuple[str, ...]
  image_size: int
  dim: int
  cases: tuple[Case, ...]
  head_rows: int
  head_classes: tuple[int, ...]
  label_classes: int
  matrix: int
  steps: int


_DEPTHS = (50, 100)
_TOY = dict(widths=(8, 8, 16), blocks=(1, 1), stem_stride=2)
_MS1MV2 = 85_742


def of_this_machine() -> Sizes:
  """The real sizes where JAX has a card, else the toy ones."""
  device = jax.devices()[0]
  is_card = device.platform == 'gpu'
  common = dict(is_card=is_card, device=device.device_kind)
  if is_card:
    classes = _MS1MV2, 1_000_000
    cases = itertools.product(range(len(_DEPTHS)), (128, 512), classes)
    depths = tuple((dict(depth=n), dict(depth=n)) for n in _DEPTHS)
    return Sizes(
      **common,
      nets=depths,
      net_names=tuple(f'IR-{n}' for n in _DEPTHS),
      image_size=112,
      dim=512,
      cases=tuple(itertools.starmap(Case, cases)),
      head_rows=256,
      head_classes=(*classes, 5_000_000),
      label_classes=_MS1MV2,
      matrix=8192,
      steps=10,
    )
  toy = _TOY | dict(embedding_dim=8), _TOY | dict(feature_dim=8, image_size=16)
  return Sizes(
    **common,
    nets=(toy,),
    net_names=('a toy net',),
    image_size=16,
    dim=8,
    cases=(Case(0, 8, 101), Case(0, 16, 1009)),
    head_rows=16,
    head_classes=(101, 1009),
    label_classes=101,
    matrix=64,
    steps=1,
  )
