"""IR-ResNets and their blocks: batch norm first, nothing after the sum."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax.backbones.parts import convolution, layers


class Variant(NamedTuple):
  """One code base's IR-ResNets."""

  blocks: Mapping[int, tuple[int, ...]]  # depth -> blocks in each stage
  kernel_init: Callable  # how the convolutions' kernels start
  # How the linear layer's does. Its bias starts at 0: batch norm follows, and
  # where it starts makes no difference.
  linear_init: Callable
  dropout: float = 0.4  # the rate that it trains with
  # Where a stage's channels are those before it, its first shortcut is every
  # second pixel (a max pool of size 1) and not conv - BN.
  pooled_shortcut: bool = False
  middle_norm: bool = True  # is there one between a convolution and PReLU?
  embedding_scale: str = 'trained'  # `scale_kind` of the last batch norm
  embedding_bias: bool = True  # whether that norm's bias is trained; else 0
  bottlenecks: tuple[int, ...] = ()  # depths with these, four times as wide


class _Residual(nn.Module):
  """What both blocks have; a block's `branch` is what is its own."""

  features: int  # channels of the result
  stride: int  # of the block, 1 or 2
  # Whether the shortcut is conv1x1 (stride) - BN; else it is every stride-th
  # pixel of the input, whose channels have to fit.
  shortcut_conv: bool
  middle_norm: bool  # is there one between a convolution and PReLU?
  attention: Callable[..., nn.Module] | None  # makes what ends the branch
  norm: Callable[..., layers.BatchNorm]
  kernel_init: Callable

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    def norm(y, name):
      return self.norm(name=name)(y, train=train)

    def conv(y, features, size, stride, name):
      return convolution.Conv(
        features, size, stride, kernel_init=self.kernel_init, name=name
      )(y)

    def activate(y, norm_name, prelu_name):
      y = norm(y, norm_name) if self.middle_norm else y
      return layers.PReLU(name=prelu_name)(y)

    branch = self.branch(norm(x, 'norm1'), norm, conv, activate)
    if self.attention is not None:
      attend = self.attention(kernel_init=self.kernel_init, name='attention')
      branch = attend(branch)
    if self.shortcut_conv:
      x = conv(x, self.features, 1, self.stride, 'shortcut_conv')
      return branch + norm(x, 'shortcut_norm')
    return branch + x[:, :: self.stride, :: self.stride]


class Block(_Residual):
  """BN - conv3x3 - BN - PReLU - conv3x3 (stride) - BN, plus the shortcut."""

  def branch(self, y, norm, conv, activate):
    """What is added to the input."""
    y = conv(y, self.features, 3, 1, 'conv1')
    y = activate(y, 'norm2', 'prelu')
    return norm(conv(y, self.features, 3, self.stride, 'conv2'), 'norm3')


class Bottleneck(_Residual):
  """The same with conv1x1 - conv3x3 - conv1x1 (stride), a quarter as wide.

  The stride is the last convolution's.
  """

  def branch(self, y, norm, conv, activate):
    """What is added to the input."""
    narrow = self.features // 4
    y = activate(conv(y, narrow, 1, 1, 'conv1'), 'norm2', 'prelu1')
    y = activate(conv(y, narrow, 3, 1, 'conv2'), 'norm3', 'prelu2')
    return norm(conv(y, self.features, 1, self.stride, 'conv3'), 'norm4')


class IResNet(nn.Module):
  """The network; see `iresnet.build` for the attributes.

  What its modules and arrays are called in files is in docs/backbones.md. The
  map is flattened in (height, width, channel) order, as torch's is not.
  """

  variant: Variant
  block: Callable[..., nn.Module]
  attention: Callable[..., nn.Module] | None
  embedding_dim: int
  widths: tuple[int, ...]
  blocks: tuple[int, ...]
  stem_stride: int
  dropout: float
  dtype: jnp.dtype
  norm: Callable[..., layers.BatchNorm]
  wrap: Callable

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Features to features, of the same floating-point type."""
    variant = self.variant
    kernel_init, width = variant.kernel_init, self.widths[0]
    x = images.astype(self.dtype)
    x = convolution.Conv(
      width, 3, self.stem_stride, kernel_init=kernel_init, name='stem_conv'
    )(x)
    x = self.norm(name='stem_norm')(x, train=train)
    x = layers.PReLU(name='stem_prelu')(x)
    for i, (features, blocks) in enumerate(
      zip(self.widths[1:], self.blocks, strict=True), start=1
    ):
      fits = features == x.shape[-1] and variant.pooled_shortcut
      for j in range(1, blocks + 1):
        x = self.wrap(self.block)(
          features,
          stride=2 if j == 1 else 1,
          shortcut_conv=j == 1 and not fits,
          middle_norm=variant.middle_norm,
          attention=self.attention,
          norm=self.norm,
          kernel_init=kernel_init,
          name=f'stage{i}_block{j}',
        )(x, train)
    return self._head(x, train)

  def _head(self, x, train):
    variant = self.variant
    x = self.norm(name='head_norm')(x, train=train)
    x = nn.Dropout(self.dropout, name='head_dropout')(
      x, deterministic=not train
    )
    x = nn.Dense(
      self.embedding_dim,
      dtype=self.dtype,
      kernel_init=variant.linear_init,
      name='head_linear',
    )(x.reshape(x.shape[0], -1))
    return self.norm(
      scale_kind=variant.embedding_scale,
      use_bias=variant.embedding_bias,
      name='embedding_norm',
    )(x.astype(jnp.float32), train=train)
