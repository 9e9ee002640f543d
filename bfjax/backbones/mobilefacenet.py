"""MobileFaceNet, small and quick, as InsightFace's arcface_torch has it.

Stem: conv3x3 (stride 2) - BN - PReLU. Stage 1: one conv3x3 in groups of
channels - BN - PReLU, or units. Stages 2 to 4: a unit of stride 2, then units
with a shortcut around each. A unit: conv1x1 - BN - PReLU, depthwise conv3x3
(stride) - BN - PReLU, conv1x1 - BN. Head: conv1x1 - BN - PReLU, a depthwise
convolution of the whole map - BN, linear - BN.

Source: "mbf" and "mbf_large" of deepinsight/insightface, after MobileFaceNets
(Chen et al., CCBR 2018).
"""

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax import backbones, errors
from bfjax.backbones.parts import convolution, functional, layers

# Variant -> channels of the stem as a multiple of `width`, units of the stages.
VARIANTS = {'mbf': (2, (1, 4, 6, 2)), 'mbf_large': (4, (2, 8, 12, 4))}


class _Conv(nn.Module):
  """conv - BN, with `activate` followed by PReLU."""

  norm: Callable[..., layers.BatchNorm]
  features: int
  size: int = 1
  stride: int = 1
  groups: int = 1
  activate: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = convolution.Conv(
      self.features,
      self.size,
      self.stride,
      self.groups,
      kernel_init=convolution.kaiming_fan_out,
      name='conv',
    )(x)
    x = self.norm(name='norm')(x, train=train)
    return layers.PReLU(name='prelu')(x) if self.activate else x


class _Unit(nn.Module):
  """A depthwise convolution of `hidden` channels, between two dense ones."""

  norm: Callable[..., layers.BatchNorm]
  features: int
  hidden: int
  stride: int = 1
  shortcut: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = _Conv(self.norm, self.hidden, name='expand')(x, train=train)
    y = _Conv(
      self.norm, self.hidden, 3, self.stride, self.hidden, name='depthwise'
    )(y, train=train)
    project = _Conv(self.norm, self.features, activate=False, name='project')
    y = project(y, train=train)
    return x + y if self.shortcut else y


class _WholeMap(nn.Module):
  """A depthwise convolution of the size of the map: [n, h, w, c] -> [n, c]."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    _, height, width, channels = x.shape
    kernel = self.param(
      'kernel', convolution.kaiming_fan_out, (height, width, 1, channels)
    )
    return jnp.sum(x * kernel[None, :, :, 0], axis=(1, 2))


class MobileFaceNet(nn.Module):
  """The network; `build` has the attributes, docs/backbones.md the names."""

  width: int
  scale: int
  blocks: tuple[int, ...]
  embedding_dim: int
  dtype: jnp.dtype
  norm: Callable[..., layers.BatchNorm]
  wrap: Callable

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Images [n, h, w, c] to embeddings [n, d]."""
    norm, width = self.norm, self.width
    narrow, wide = self.scale * width, 2 * self.scale * width
    make_unit = self.wrap(_Unit)
    x = images.astype(self.dtype)
    x = _Conv(norm, narrow, 3, 2, name='stem')(x, train=train)
    # Channels of a stage, hidden ones of its units and of its first unit.
    stages = (
      (narrow, 2 * width, None),
      (narrow, 2 * width, 2 * width),
      (wide, 4 * width, 4 * width),
      (wide, 4 * width, 8 * width),
    )
    for i, (features, hidden, first) in enumerate(stages, start=1):
      units = self.blocks[i - 1]
      if i == 1 and units == 1:
        x = _Conv(norm, features, 3, 1, width, name='stage1')(x, train=train)
        continue
      if first is not None:
        down = make_unit(norm, features, first, 2, False, name=f'stage{i}_down')
        x = down(x, train)
      for j in range(1, units + 1):
        unit = make_unit(norm, features, hidden, name=f'stage{i}_unit{j}')
        x = unit(x, train)
    x = _Conv(norm, 8 * width, name='last')(x, train=train)
    x = _WholeMap(name='head_conv')(x)
    x = norm(name='head_norm')(x, train=train)
    x = nn.Dense(
      self.embedding_dim,
      use_bias=False,
      kernel_init=convolution.kaiming_fan_out,
      name='head_linear',
    )(x)
    return norm(name='embedding_norm')(x, train=train)


def build(
  *,
  variant: str = 'mbf',
  width: int = 64,
  blocks: tuple[int, ...] = (),
  **common: Unpack[functional.Options],  # type: ignore[misc]
) -> backbones.Backbone:
  """Builds a MobileFaceNet.

  Args:
    variant: 'mbf', or 'mbf_large' with twice the channels and units.
    width: what all channels are multiples of; 64 in the original.
    blocks: units in each of the four stages, for nets of other sizes; () for
      the variant's. 1 unit in stage 1 is a convolution in `width` groups.
    **common: see `functional.Options`; the image size is a multiple of 16, and
      the head is computed in float32.

  Raises:
    UserError: if an option has a value that it cannot have.
  """
  options = functional.Options(**common)
  scale, original = errors.choose(
    'variant of backbone mobilefacenet', variant, VARIANTS
  )
  blocks = tuple(blocks) or original
  if len(blocks) != len(original):
    raise errors.UserError(
      f'blocks = {blocks} of backbone mobilefacenet must be four numbers: the '
      'units of each stage.'
    )
  functional.check_image_size(options.image_size, 16)
  net = MobileFaceNet(
    width=width,
    scale=scale,
    blocks=blocks,
    **options.attributes(),
  )
  return functional.backbone(net, options.image_size)
