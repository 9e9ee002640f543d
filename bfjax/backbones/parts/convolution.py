"""Convolution as in torch, with a derivative that is quick at stride 2.

The automatic derivative with respect to the input of a convolution of stride
2 spreads the output's gradient out with zeros and convolves that: three
quarters of the products are with zeros, and on CPUs they are all computed.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

# Uniform with variance 2 / (fan_in + fan_out), torch's xavier_uniform_.
xavier_uniform = nn.initializers.xavier_uniform()


def _convolve(x, kernel, stride, padding):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
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


class Conv(nn.Module):
  """A square convolution without bias, padded as torch's with size // 2.

  Attributes:
    features: channels of the result.
    size: height and width of the kernel, odd.
    stride: 1 or 2.
  """

  features: int
  size: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param('kernel', xavier_uniform, shape)
    return convolve(x, kernel.astype(x.dtype), self.stride)
