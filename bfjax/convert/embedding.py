"""The function that ONNX and StableHLO files hold: pixels to embeddings."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bfjax import errors, model
from bfjax.convert import proof

INPUTS = {'uint8': np.uint8, 'float': np.float32}
LAYOUTS = ('nchw', 'nhwc')
SCALINGS = ('inside', 'outside')
OUTPUTS = ('normalised', 'raw')
_TINY = 1e-12  # a length that is not divided by, as in torch's normalize


class Signature(NamedTuple):
  """What goes in and comes out."""

  pixels: str = 'uint8'  # or 'float': RGB, 0 to 255 where scaled inside
  layout: str = 'nchw'  # or 'nhwc'
  scaling: str = 'inside'  # or 'outside', where pixels have been scaled
  output: str = 'normalised'  # embeddings to length 1; or 'raw'

  def check(self) -> None:
    """Raises UserError for what there is not."""
    choices = {'pixels': INPUTS, 'layout': LAYOUTS}
    choices |= {'scaling': SCALINGS, 'output': OUTPUTS}
    for kind, known in choices.items():
      errors.choose(kind, getattr(self, kind), dict.fromkeys(known))
    if self.pixels == 'uint8' and self.scaling == 'outside':
      raise errors.UserError(
        'Pixels that are scaled outside cannot be uint8: give --pixels float,'
        ' or --scaling inside.'
      )

  def shape(self, batch, size: int) -> tuple:
    """Of the input, for a batch that is a number or a symbol."""
    colours_first = self.layout == 'nchw'
    return (batch, 3, size, size) if colours_first else (batch, size, size, 3)

  def images(self, size: int) -> jax.ShapeDtypeStruct:
    """What a function for a batch of any size is traced with."""
    [batch] = jax.export.symbolic_shape('batch')
    shape = self.shape(batch, size)
    return jax.ShapeDtypeStruct(shape, INPUTS[self.pixels])


USUAL = Signature()


def make(given: model.Model, signature: Signature) -> Callable:
  """Returns `embed(images) -> float32 [n, d]` with the weights in it."""
  params, stats = jax.device_put((given.params, given.stats))

  def embed(images):
    if signature.layout == 'nchw':
      images = images.transpose(0, 2, 3, 1)
    x = given.scale(images) if signature.scaling == 'inside' else images
    embedding, _ = given.backbone.apply(params, stats, x, train=False)
    if signature.output == 'raw':
      return embedding
    square = jnp.sum(embedding * embedding, axis=-1, keepdims=True)
    return embedding / jnp.maximum(jnp.sqrt(square), _TINY)

  return embed


def _feed(given, signature, pixels) -> np.ndarray:
  """What the file's function is given for uint8 RGB images [n, h, w, 3]."""
  images = pixels
  if signature.scaling == 'outside':
    images = np.asarray(given.scale(pixels))
  images = images.astype(INPUTS[signature.pixels])
  if signature.layout == 'nchw':
    images = images.transpose(0, 3, 1, 2)
  return np.ascontiguousarray(images)


def prove(
  given: model.Model,
  signature: Signature,
  embed: Callable[[np.ndarray], np.ndarray],
  what: str,
) -> proof.Proof:
  """The proof of a file: `embed` is its function, for a batch of any size.

  Raises:
    UserError: if the two sides, `what` in the message, are not the same.
  """
  pixels = proof.images(given.image_size)
  parts = np.split(_feed(given, signature, pixels), [1, 6])  # 1, 5 and 26
  found = np.concatenate([np.asarray(embed(part)) for part in parts])
  wanted = proof.ours(given, pixels)
  if signature.output == 'normalised':
    lengths = np.linalg.norm(wanted, axis=1, keepdims=True)
    wanted = wanted / np.maximum(lengths, _TINY)
  return proof.check(found, wanted, what)


def describe(given: model.Model, signature: Signature) -> dict[str, str]:
  """The metadata of a file."""
  return {
    **proof.metadata(given),
    'colour_order': 'RGB',
    'input': f'{signature.pixels} {signature.layout}',
    'scaling': f'{given.scale.formula}, {signature.scaling} the graph',
    'output': signature.output,
    'num_classes': str(given.description['num_classes'] or 0),
  }
