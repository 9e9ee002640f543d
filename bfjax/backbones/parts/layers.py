"""Layers whose torch meaning Flax lacks: batch norm by groups and PReLU.

Maps are [rows, height, width, channels] and vectors [rows, channels].
Parameters and statistics are float32; a layer computes in its `dtype`.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax import errors

# What batch norm adds to a variance, in torch and here, unless told otherwise.
EPSILON = 1e-5


def _row_mean(x: jax.Array) -> jax.Array:
  """The mean over a row's positions: float32 [n, c]."""
  return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)), dtype=jnp.float32)


def _group_mean(row_values: jax.Array, group_rows: int) -> jax.Array:
  """The mean over each group of rows: [n, c] -> [n / group_rows, c]."""
  channels = row_values.shape[-1]
  return jnp.mean(row_values.reshape(-1, group_rows, channels), axis=1)


def _per_row(group_values: jax.Array, group_rows: int, ndim: int) -> jax.Array:
  """Gives each row its group's values: [g, c] -> [n, 1, ..., c]."""
  groups, channels = group_values.shape
  rows = jnp.broadcast_to(group_values[:, None], (groups, group_rows, channels))
  return rows.reshape(-1, *[1] * (ndim - 2), channels)


def _along_channels(values: jax.Array, x: jax.Array) -> jax.Array:
  """[c] -> [1, ..., 1, c], with the dimensions of x."""
  return values.reshape(*[1] * (x.ndim - 1), -1)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_groups(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  group_rows: int,
  epsilon: float = EPSILON,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Batch norm with the statistics of each group of rows of the batch.

  `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`, mean and (biased)
  variance over the rows and positions of a group, per channel. Every sum is
  taken over a row's positions first and over the rows of a group after that:
  rows stay whole, so a batch that is split over devices needs no collective
  but for [n, c] numbers, and none while groups divide a device's rows.

  The variance is the mean of squared deviations: `mean(x^2) - mean^2` would
  cancel where a channel's mean is large against its spread.

  The derivative is written out because the automatic one keeps several maps
  of the size of x for the backward pass, and reads them all again:
  `dx = factor * (dy - mean(dy) - xhat * mean(dy * xhat))`. The statistics
  have no derivative: they are for the running averages.

  Args:
    x: float [n, ..., c].
    scale: float32 [c].
    bias: float32 [c].
    group_rows: rows a group; a divisor of n.
    epsilon: added to the variance.

  Returns:
    y, of the shape and dtype of x; mean and variance, float32 [groups, c].
  """
  y, mean, variance, _ = _normalize(x, scale, bias, group_rows, epsilon)
  return y, mean, variance


def _normalize(x, scale, bias, group_rows, epsilon):
  per_row = partial(_per_row, group_rows=group_rows, ndim=x.ndim)
  mean = _group_mean(_row_mean(x), group_rows)
  deviation = x.astype(jnp.float32) - per_row(mean)
  variance = _group_mean(_row_mean(jnp.square(deviation)), group_rows)
  inverse = jax.lax.rsqrt(variance + epsilon)
  factor = inverse * scale[None]
  centre, factor = per_row(mean), per_row(factor)
  bias = _along_channels(bias, x)
  y = (x.astype(jnp.float32) - centre) * factor + bias
  return y.astype(x.dtype), mean, variance, inverse


def _normalize_forward(x, scale, bias, group_rows, epsilon):
  y, mean, variance, inverse = _normalize(x, scale, bias, group_rows, epsilon)
  return (y, mean, variance), (x, scale, mean, inverse)


def _normalize_backward(group_rows, _, residuals, cotangents):
  x, scale, mean, inverse = residuals
  dy = cotangents[0].astype(jnp.float32)
  per_row = partial(_per_row, group_rows=group_rows, ndim=x.ndim)
  xhat = (x.astype(jnp.float32) - per_row(mean)) * per_row(inverse)
  dy_mean = _group_mean(_row_mean(dy), group_rows)
  dy_xhat_mean = _group_mean(_row_mean(dy * xhat), group_rows)
  factor = inverse * scale[None]
  dx = per_row(factor) * (dy - per_row(dy_mean) - xhat * per_row(dy_xhat_mean))
  count = x.size // (x.shape[-1] * mean.shape[0])
  dscale = count * jnp.sum(dy_xhat_mean, axis=0)
  dbias = count * jnp.sum(dy_mean, axis=0)
  return dx.astype(x.dtype), dscale, dbias


normalize_groups.defvjp(_normalize_forward, _normalize_backward)


class BatchNorm(nn.Module):
  """Batch norm over groups of rows, with torch's running statistics.

  Training takes the statistics of each group of `group_rows` rows (of the
  whole batch if 0) and moves the running ones towards their mean over the
  groups: `running = (1 - momentum) * running + momentum * batch`, where the
  batch variance is the unbiased one (divided by count - 1). Inference uses
  the running statistics.
  """

  group_rows: int = 0
  momentum: float = 0.1  # the weight of the batch in the running statistics
  epsilon: float = EPSILON  # added to the variance
  # 'trained'; 'fixed', kept with the statistics, 1 at first; 'none', 1 for good
  scale_kind: str = 'trained'
  use_bias: bool = True  # whether there is a trained one; else it is 0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Features to features, of the same floating-point type."""
    channels = x.shape[-1]
    scale, bias = jnp.ones(channels), jnp.zeros(channels)
    if self.scale_kind == 'trained':
      scale = self.param('scale', nn.initializers.ones, (channels,))
    elif self.scale_kind == 'fixed':
      scale = self.variable('batch_stats', 'scale', jnp.ones, (channels,)).value
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, (channels,))
    mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
    variance = self.variable('batch_stats', 'variance', jnp.ones, (channels,))
    if not train:
      # All rows alike: nothing here depends on how many there are, so that an
      # exported net takes any number with nothing computed for it.
      inverse = jax.lax.rsqrt(variance.value + self.epsilon)
      deviation = x.astype(jnp.float32) - _along_channels(mean.value, x)
      y = deviation * _along_channels(inverse * scale, x)
      return (y + _along_channels(bias, x)).astype(x.dtype)
    rows = x.shape[0]
    group_rows = self.group_rows or rows
    if rows % group_rows:
      raise errors.UserError(
        f'A batch of {rows} images cannot be divided into groups of '
        f'batch_norm_rows = {group_rows} images. Choose a divisor of {rows}, '
        'or 0 for the whole batch.'
      )
    y, means, variances = normalize_groups(
      x, scale, bias, group_rows, self.epsilon
    )
    if not self.is_initializing():
      count = x.size // channels // rows * group_rows
      unbiased = count / max(count - 1, 1)
      keep, take = 1 - self.momentum, self.momentum
      mean.value = keep * mean.value + take * jnp.mean(means, axis=0)
      variance.value = keep * variance.value + take * unbiased * jnp.mean(
        variances, axis=0
      )
    return y


@jax.custom_vjp
def prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
  """`x if x > 0 else slope * x`; at 0 the derivative is `slope`, as torch's.

  The derivative is written out so that the slope's is summed in float32, and
  over a row's positions first, whatever the dtype of x.

  Args:
    x: float [n, ..., c].
    slope: float32 [c].

  Returns:
    of the shape and dtype of x.
  """
  return jnp.where(x > 0, x, _along_channels(slope.astype(x.dtype), x) * x)


def _prelu_forward(x, slope):
  return prelu(x, slope), (x, slope)


def _prelu_backward(residuals, dy):
  x, slope = residuals
  dx = jnp.where(x > 0, dy, _along_channels(slope.astype(x.dtype), x) * dy)
  below = jnp.where(x > 0, 0, x).astype(jnp.float32)
  positions = x[0, ..., 0].size
  dslope = positions * jnp.sum(_row_mean(below * dy), axis=0)
  return dx, dslope


prelu.defvjp(_prelu_forward, _prelu_backward)


class PReLU(nn.Module):
  """PReLU with a slope for each channel, 0.25 at first.

  Flax's own has one slope in all.
  """

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Features to features, of the same floating-point type."""
    init = nn.initializers.constant(0.25)
    return prelu(x, self.param('slope', init, (x.shape[-1],)))
