"""Backbones: from an image to an embedding; each a file found by its name.

A file of this package whose name is `name` has `build(**options)` and is used
by `backbones.build('name', **options)`: adding a backbone is adding a file.
What several are made of is in `parts`.
All of them return a `Backbone`, two pure functions of arrays, so that nothing
outside this package knows which library the network is written in.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import plugins


class Backbone(NamedTuple):
  """A network as pure functions.

  Attributes:
    init: `init(key) -> (params, stats)`: two nested dicts of float32 arrays,
      the trained parameters and the running statistics.
    apply: `apply(params, stats, images, *, train, dropout_key=None) ->
      (embedding, stats)`: from scaled images (float [n, h, w, 3], see
      `scale_pixels`) to embeddings (float32 [n, embedding_dim], not
      normalised). With `train` it uses the statistics of the batch, drops
      out by `dropout_key`, and returns new running statistics; without, it
      uses the running statistics and returns them as they were given.
    embedding_dim: the length of an embedding.
  """

  init: Callable
  apply: Callable
  embedding_dim: int


def build(name: str, **options) -> Backbone:
  """Builds the backbone of the file `bfjax/backbones/<name>.py`.

  Raises:
    UserError: if there is no such backbone or it has no such option (the
      message lists those there are), or if it refuses an option's value.
  """
  return plugins.build('backbone', __name__, name, **options)


def scale_pixels(images: jax.Array) -> jax.Array:
  """Scales pixels to [-1, 1]: `(x / 255 - 0.5) / 0.5`.

  Args:
    images: uint8 [...], 0 to 255.

  Returns:
    float32 of the same shape.
  """
  return (images.astype(jnp.float32) / 255 - 0.5) / 0.5
