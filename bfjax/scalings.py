"""Scalings of pixels."""

from typing import NamedTuple

import jax
import numpy as np

from bfjax import backbones


class Scaling(NamedTuple):
  """From pixels to what a backbone takes: `(x - mean) / std`.

  Attributes:
    mean: in units of pixels, 0 to 255.
    std: likewise.
  """

  mean: float = 127.5
  std: float = 127.5

  @property
  def formula(self) -> str:
    """In words, as files of converted models say it."""
    if self == Scaling():
      return '(x / 255 - 0.5) / 0.5'
    return f'(x - {self.mean:g}) / {self.std:g}'

  def __call__(self, images: jax.Array) -> jax.Array:
    """uint8 [...] -> float32 [...]; by default exactly `scale_pixels`."""
    if self == Scaling():
      return backbones.scale_pixels(images)
    return (images.astype(np.float32) - self.mean) / self.std


STANDARD = Scaling()
