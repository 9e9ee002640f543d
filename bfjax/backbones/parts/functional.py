"""A Flax network as a `Backbone`, and the options that all of them have."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax import backbones, errors
from bfjax.backbones.parts import layers
from bfjax.config import limits


class Options(NamedTuple):
  """The options that all backbones have."""

  image_size: int = 112  # height and width in pixels
  embedding_dim: int = 512  # the length of an embedding
  # 'float32' or 'bfloat16', what is computed in; parameters, statistics and
  # embeddings are float32 in either case.
  dtype: str = 'float32'
  # Rows whose batch-norm statistics are taken together; 0 for the whole batch.
  # A batch that it does not divide is a UserError.
  batch_norm_rows: int = 0
  batch_norm_momentum: float = 0.1  # a batch's weight in running statistics
  # Whether what a block computes is computed again on the way back, in place of
  # being kept: less memory, about a third more time.
  remat: bool = False

  def attributes(self) -> dict[str, Any]:
    """Those of a network: `embedding_dim`, `dtype`, `norm` and `wrap`.

    `norm` makes batch norms; `wrap` takes the class of a network's blocks,
    called as `(x, train)`, to the one to make them of.

    Raises:
      UserError: if an option has a value that it cannot have.
    """
    for option in ('dtype', 'batch_norm_rows', 'batch_norm_momentum'):
      limits.check(f'backbone.{option}', getattr(self, option))
    norm = functools.partial(
      layers.BatchNorm,
      group_rows=self.batch_norm_rows,
      momentum=self.batch_norm_momentum,
    )
    dtype = jnp.dtype(self.dtype)
    return {
      'embedding_dim': self.embedding_dim,
      'dtype': dtype,
      'norm': norm,
      'wrap': _rematerialised if self.remat else _as_it_is,
    }


def _as_it_is(block):
  return block


def _rematerialised(block):
  # `train`, which follows the module itself and x, is no array.
  return nn.remat(block, static_argnums=(2,))


def backbone(net: nn.Module, image_size: int) -> backbones.Backbone:
  """The pure functions of a network that is called `net(images, train=...)`.

  Its parameters are in the collection 'params', its running statistics in
  'batch_stats', and what it draws in training comes from the stream 'dropout'.
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

  return backbones.Backbone(init, apply, net.embedding_dim)


def check_image_size(image_size: int, stride: int) -> None:
  """Refuses sizes that are no multiple of a network's total stride.

  Raises:
    UserError: names the nearest sizes that fit.
  """
  below = image_size // stride * stride
  if image_size == below > 0:
    return
  nearest = f'{below} and {below + stride}' if below > 0 else f'{stride}'
  raise errors.UserError(
    f'image_size = {image_size} must be a multiple of the total stride of the'
    f' backbone, {stride}. The nearest: {nearest}.'
  )
