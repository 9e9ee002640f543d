"""Convolution as in torch, with a derivative that is quick at stride 2.

The automatic derivative with respect to the input of a convolution of stride
2 spreads the output's gradient out with zeros and convolves that: three
quarters of the products are with zeros, and on CPUs they are all computed.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from flax import linen as nn

# How kernels start. Uniform with variance 2 / (fan_in + fan_out), torch's
# xavier_uniform_:
xavier_uniform = nn.initializers.xavier_uniform()
# Uniform in +-1 / sqrt(fan_in), what torch's layers start from by themselves:
torch_uniform = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
# Normal with variance 2 / fan_out, torch's kaiming_normal_ in mode 'fan_out':
kaiming_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


def _convolve(x, kernel, stride, padding, groups=1):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def _same(x, kernel, stride):
  padding = kernel.shape[0] // 2
  return _convolve(x, kernel, stride, [(padding, padding)] * 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """`y[i, j] = sum_ab x[stride i + a - p, stride j + b - p] @ kernel[a, b]`.

  Padded with p = size // 2 zeros on each side.

  Args:
    x: float [n, h, w, in].
    kernel: [size, size, in, out], of the dtype of x; size is odd.
    stride: 1 or 2.

  Returns:
    [n, ceil(h / stride), ceil(w / stride), out], of the dtype of x.
  """
  return _same(x, kernel, stride)


def _forward(x, kernel, stride):
  return _same(x, kernel, stride), (x, kernel)


def _backward(stride, residuals, dy):
  x, kernel = residuals
  even = x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0
  if stride == 2 and even and kernel.shape[0] == 1:
    # Only the even positions take part.
    _, pullback = jax.vjp(
      lambda x, kernel: _same(x[:, ::2, ::2], kernel, 1), x, kernel
    )
    return pullback(dy)
  _, pullback = jax.vjp(lambda x, kernel: _same(x, kernel, stride), x, kernel)
  dx, dkernel = pullback(dy)
  if stride == 2 and even and kernel.shape[0] == 3:
    dx = _input_gradient(kernel, dy)
  return dx, dkernel


def _input_gradient(kernel, dy):
  """dx of a 3x3 convolution of stride 2, one parity of positions at a time.

  Along one axis, x[2 m] has met tap 1 alone, for y[m]; x[2 m + 1] has met tap
  2, for y[m], and tap 0, for y[m + 1]. So each parity is a convolution of dy
  with one or two of the taps, and none of them multiplies by zeros.
  """
  kernel = kernel.swapaxes(2, 3)
  taps = (slice(1, 2), slice(2, None, -2))
  rows = [
    jnp.stack(
      [
        _convolve(dy, kernel[taps[a], taps[b]], 1, [(0, a), (0, b)])
        for b in (0, 1)
      ],
      axis=3,
    )
    for a in (0, 1)
  ]
  n, height, width, _ = dy.shape
  return jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, -1)


convolve.defvjp(_forward, _backward)


_AS_ONE = contextvars.ContextVar('as_one', default=False)


@contextlib.contextmanager
def grouped_as_one() -> Iterator[None]:
  """What is traced within has grouped convolutions as one operation each.

  For exporters, whose runtimes have a quick one.
  """
  token = _AS_ONE.set(True)
  try:
    yield
  finally:
    _AS_ONE.reset(token)


def convolve_groups(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """A convolution whose outputs see the channels of their own group alone.

  A sum of shifted products, taken in float32. XLA's grouped convolution takes
  up to fifty times as long on CPUs, and gains nothing elsewhere: with a handful
  of products for each number that is read, the reading is what takes time.

  Args:
    x: float [n, h, w, in].
    kernel: [size, size, in / groups, out]; size is odd.
    stride: 1 or 2.

  Returns:
    [n, ceil(h / stride), ceil(w / stride), out], of the dtype of x.
  """
  size, _, inputs, outputs = kernel.shape
  _, height, width, channels = x.shape
  padding = size // 2
  if _AS_ONE.get():
    return _convolve(
      x,
      kernel.astype(x.dtype),
      stride,
      [(padding, padding)] * 2,
      groups=channels // inputs,
    )
  padded = jnp.pad(
    x.astype(jnp.float32),
    ((0, 0), (padding, padding), (padding, padding), (0, 0)),
  )
  # The last row and column that a tap of the first position reaches, and on.
  end = [stride * ((side - 1) // stride) + 1 for side in (height, width)]
  y = jnp.float32(0)
  for i in range(inputs):  # the i-th input of each group, for all its outputs
    of_outputs = jnp.repeat(
      padded[..., i::inputs], outputs * inputs // channels, -1
    )
    for a in range(size):
      for b in range(size):
        tap = of_outputs[:, a : a + end[0] : stride, b : b + end[1] : stride]
        y += tap * kernel[a, b, i].astype(jnp.float32)[None, None, None]
  return y.astype(x.dtype)


class Conv(nn.Module):
  """A square convolution without bias, padded as torch's with size // 2."""

  features: int  # channels of the result
  size: int  # height and width of the kernel, odd
  stride: int = 1  # or 2
  groups: int = 1  # of channels that are convolved by themselves
  kernel_init: Callable = xavier_uniform

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Features to features, of the same floating-point type."""
    inputs = x.shape[-1] // self.groups
    shape = (self.size, self.size, inputs, self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    if self.groups > 1:
      return convolve_groups(x, kernel, self.stride)
    return convolve(x, kernel.astype(x.dtype), self.stride)
