"""A Flax network as a `Backbone`, and the options that all of them have."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax import backbones, errors
from bfjax.backbones.parts import layers

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def backbone(
  net: nn.Module, image_size: int, embedding_dim: int
) -> backbones.Backbone:
  """The network's pure functions.

  Args:
    net: called as `net(images, train=...)`; its parameters are in the
      collection 'params', its running statistics in 'batch_stats', and what it
      draws in training comes from the stream 'dropout'.
    image_size: height and width in pixels.
    embedding_dim: the length of an embedding.
  """

  def init(key):
    # One image is enough to know the shapes, and inference needs no groups.
    images = jnp.zeros((1, image_size, image_size, 3), jnp.float32)
    variables = net.init(key, images, train=False)
    # In 64-bit mode Flax draws float64.
    variables = jax.tree.map(lambda x: x.astype(jnp.float32), variables)
    return variables['params'], variables['batch_stats']

  def apply(params, stats, images, *, train, dropout_key=None):
    variables = {'params': params, 'batch_stats': stats}
    if not train:
      return net.apply(variables, images, train=False), stats
    rngs = None if dropout_key is None else {'dropout': dropout_key}
    embedding, updated = net.apply(
      variables, images, train=True, rngs=rngs, mutable=['batch_stats']
    )
    return embedding, updated['batch_stats']

  return backbones.Backbone(init, apply, embedding_dim)


def choose_dtype(name: str, dtype: str) -> jax.typing.DTypeLike:
  """The dtype called 'float32' or 'bfloat16', for the backbone `name`."""
  return errors.choose(f'dtype of backbone {name}', dtype, DTYPES)


def check_image_size(name: str, image_size: int, stride: int) -> None:
  """Refuses sizes that are no multiple of a network's total stride.

  Args:
    name: of the backbone.
    image_size: height and width in pixels.
    stride: how many of them become one in the last map.

  Raises:
    UserError: names the nearest sizes that fit.
  """
  below = image_size // stride * stride
  if image_size == below > 0:
    return
  nearest = f'{below} and {below + stride}' if below > 0 else f'{stride}'
  raise errors.UserError(
    f'image_size = {image_size} of backbone {name} must be a multiple of its'
    f' total stride, {stride}. The nearest: {nearest}.'
  )


def check_rates(name: str, **rates: float):
  """Refuses rates (of dropout, ...) that are not in [0, 1)."""
  for option, rate in rates.items():
    if not 0 <= rate < 1:
      raise errors.UserError(
        f'{option} = {rate} of backbone {name} must be at least 0 and below 1.'
      )


def batch_norm(name: str, rows: int, momentum: float) -> Callable:
  """Makes batch norms; see `layers.BatchNorm`.

  Args:
    name: of the backbone, for messages.
    rows: whose statistics are taken together; 0 for the whole batch.
    momentum: the weight of a batch in the running statistics.

  Raises:
    UserError: if one of them is a number that it cannot be.
  """
  if rows < 0:
    raise errors.UserError(
      f'batch_norm_rows = {rows} of backbone {name} must be a number of rows, '
      'or 0 for the whole batch.'
    )
  if not 0 < momentum <= 1:
    raise errors.UserError(
      f'batch_norm_momentum = {momentum} of backbone {name} must be above 0 '
      'and at most 1.'
    )
  return functools.partial(layers.BatchNorm, group_rows=rows, momentum=momentum)
