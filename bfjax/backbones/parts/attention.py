"""Attention on the residual branch: which channels, and which positions.

Each returns its input times weights in (0, 1); `kernel_init` is how its kernels
start.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax.backbones.parts import convolution

# A channel attention's hidden layer has channels / REDUCTION units, or one.
REDUCTION = 16


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def maximum(x: jax.Array, axis: int) -> jax.Array:
  """The largest value along an axis; its gradient goes to the first of them.

  The automatic derivative of `jnp.max` compares x with its maximum. A compiler
  may compute x anew for that, rounded differently, and then nothing is equal
  and the gradient is lost without a word; here the place is remembered.
  """
  return jnp.max(x, axis)


def _maximum_forward(x, axis):
  # The shape is kept in an empty array: residuals are arrays.
  return jnp.max(x, axis), (jnp.argmax(x, axis), jnp.zeros((0, *x.shape)))


def _maximum_backward(axis, residuals, dy):
  index, like = residuals
  shape = like.shape[1:]
  places = jax.lax.broadcasted_iota(index.dtype, shape, axis % len(shape))
  chosen = places == jnp.expand_dims(index, axis)
  return (jnp.where(chosen, jnp.expand_dims(dy, axis), 0),)


maximum.defvjp(_maximum_forward, _maximum_backward)


class _ChannelWeights(nn.Module):
  """Two dense layers without bias, ReLU in between: [n, c] -> [n, c]."""

  kernel_init: Callable

  @nn.compact
  def __call__(self, pooled: jax.Array) -> jax.Array:
    channels = pooled.shape[-1]
    dense = functools.partial(
      nn.Dense,
      use_bias=False,
      dtype=pooled.dtype,
      kernel_init=self.kernel_init,
    )
    hidden = dense(max(channels // REDUCTION, 1), name='squeeze')(pooled)
    return dense(channels, name='expand')(nn.relu(hidden))


class SqueezeExcite(nn.Module):
  """`x * sigmoid(mlp(mean over positions))` (Hu et al., CVPR 2018)."""

  kernel_init: Callable = convolution.xavier_uniform

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Features to features, of the same floating-point type."""
    mlp = _ChannelWeights(self.kernel_init, name='mlp')
    return x * nn.sigmoid(mlp(jnp.mean(x, axis=(1, 2))))[:, None, None]


class ChannelAttention(nn.Module):
  """`x * sigmoid(mlp(mean over positions) + mlp(maximum over positions))`.

  One MLP for both (Woo et al., ECCV 2018).
  """

  kernel_init: Callable = convolution.xavier_uniform

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Features to features, of the same floating-point type."""
    mlp = _ChannelWeights(self.kernel_init, name='mlp')
    positions = x.reshape(x.shape[0], -1, x.shape[-1])
    weights = mlp(jnp.mean(positions, axis=1)) + mlp(maximum(positions, 1))
    return x * nn.sigmoid(weights)[:, None, None]


class SpatialAttention(nn.Module):
  """`x * sigmoid(conv3x3([mean, maximum over channels]))` (Woo et al.)."""

  kernel_init: Callable = convolution.xavier_uniform

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Features to features, of the same floating-point type."""
    pooled = jnp.stack([jnp.mean(x, axis=-1), maximum(x, -1)], axis=-1)
    conv = convolution.Conv(1, 3, kernel_init=self.kernel_init, name='conv')
    return x * nn.sigmoid(conv(pooled))


class ChannelSpatialAttention(nn.Module):
  """Channel attention, then spatial attention: CBAM (Woo et al.)."""

  kernel_init: Callable = convolution.xavier_uniform

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Features to features, of the same floating-point type."""
    x = ChannelAttention(self.kernel_init, name='channel')(x)
    return SpatialAttention(self.kernel_init, name='spatial')(x)
