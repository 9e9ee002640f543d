"""What was written, and its proof: both sides on the same images."""

import pathlib
from typing import NamedTuple

import jax
import numpy as np

from bfjax import errors, faces, model

IMAGES = 32
TOLERANCE = 1e-4
_FACES_OF_ONE = 4


class Proof(NamedTuple):
  """How far two functions are apart, over images of a and b."""

  difference: float  # the largest max|a - b| / max|b|
  cosine: float  # the smallest

  def __str__(self):
    return (
      f'{IMAGES} images through both: largest relative difference'
      f' {self.difference:.2e}, smallest cosine {self.cosine:.8f}'
    )


class Written(NamedTuple):
  """What was written."""

  paths: list[pathlib.Path]
  proof: Proof  # that they are the model's function
  notes: list[str]  # lines for the user


def images(size: int) -> np.ndarray:
  """The images: half noise, half built-in faces; uint8 [32, h, w, 3], RGB.

  All of them noise where the generator has no faces of that size.
  """
  generator = np.random.default_rng(0)
  shape = (IMAGES, size, size, 3)
  pixels = generator.integers(0, 256, shape, dtype=np.uint8)
  if faces.MIN_SIZE <= size <= faces.MAX_SIZE:
    people = range(IMAGES // 2 // _FACES_OF_ONE)
    numbers = range(_FACES_OF_ONE)
    rendered = [faces.render(0, x, numbers, size=size) for x in people]
    pixels[: IMAGES // 2] = np.concatenate(rendered)
  return pixels


def ours(given: model.Model, pixels: np.ndarray) -> np.ndarray:
  """The model's own embeddings, float32 [n, d]; full float32 precision."""

  @jax.jit
  def embed(params, stats, pixels):
    scaled = given.scale(pixels)
    return given.backbone.apply(params, stats, scaled, train=False)[0]

  with jax.default_matmul_precision('highest'):
    return np.asarray(embed(given.params, given.stats, pixels))


def check(found: np.ndarray, wanted: np.ndarray, what: str) -> Proof:
  """Compares embeddings [n, d] of two sides, `what` in the message.

  Raises:
    UserError: if they differ by more than 1e-4 of an embedding's largest
      number, or one of them is not finite.
  """
  found, wanted = found.astype(np.float64), wanted.astype(np.float64)
  scale = np.abs(wanted).max(1)
  difference = np.abs(found - wanted).max(1) / np.where(scale > 0, scale, 1)
  lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
  dots = (found * wanted).sum(1)
  cosine = np.where(lengths > 0, dots / np.where(lengths > 0, lengths, 1), 1)
  proof = Proof(float(difference.max()), float(cosine.min()))
  if not proof.difference <= TOLERANCE:
    raise errors.UserError(
      f'{what} are not the same function: {proof}. Allowed are'
      f' {TOLERANCE:.0e}. Nothing is written.'
    )
  return proof


def check_free(path: pathlib.Path) -> None:
  """Raises UserError if there is something at `path` already."""
  if path.exists():
    raise errors.UserError(f'{path} is there already. Give another name.')
  if not path.parent.is_dir():
    raise errors.UserError(f'There is no folder {path.parent} to write to.')


def metadata(given: model.Model) -> dict[str, str]:
  """What a file says of any model."""
  backbone = given.description['backbone']
  return {
    'architecture': ' '.join(f'{k}={v}' for k, v in backbone.items()),
    'image_size': str(given.image_size),
    'scaling_mean': repr(given.scale.mean),
    'scaling_std': repr(given.scale.std),
    'embedding_dim': str(given.description['embedding_dim']),
  }
