"""What an image of a person depends on besides the person: random draws.

Every image has its own generator, keyed by (seed, identity, image), so that
an image is the same whatever else is rendered, in whatever order.
"""

import functools
import types

import numpy as np

from bfjax import errors

# Name -> how many numbers. Standard normals, clipped to +-2.4.
_NORMAL = {
  'smile': 1,
  'mouth_open': 1,
  'eye_open': 1,
  'brow_raise': 1,
  'frown': 1,
  'gaze_x': 1,
  'gaze_y': 1,
  'hair_volume': 1,
  'hair_side': 1,
  'hair_length': 1,
  'hairline_shift': 1,
  'hairline_tilt': 1,
  'hairline_wave': 1,
  'hairline_ripple': 1,
  'yaw': 1,
  'pitch': 1,
  'landmark_error': 10,
  'light_x': 1,
  'light_y': 1,
  'exposure': 1,
  'white_balance': 3,
  'black_level': 1,
}
# Uniform in [0, 1).
_UNIFORM = {
  'background_pattern': 1,
  'background_brightness': 1,
  'background_colour': 3,
  'clothes_brightness': 1,
  'clothes_colour': 3,
  'stubble': 1,
  'glasses': 1,
  'glasses_thickness': 1,
  'glasses_colour': 3,
  'sunglasses': 1,
  'occluder': 1,
  'occluder_brightness': 1,
  'occluder_colour': 3,
  'bar_centre': 2,
  'bar_angle': 1,
  'bar_width': 1,
  'light_contrast': 1,
  'light_pattern': 1,
  'blur': 1,
  'defocus': 1,
  'defocus_amount': 1,
  'low_resolution': 1,
  'resolution': 1,
  'noise': 1,
  'noise_pattern': 1,
  'compression': 1,
  'compression_quality': 1,
}
_NUM_NORMAL = sum(_NORMAL.values())
_NUM_UNIFORM = sum(_UNIFORM.values())
_WIDTHS = {**_NORMAL, **_UNIFORM}

# All keys have the same number of words, since SeedSequence pads with zeros;
# the first says what is drawn.
_IDENTITY_KEY = 0
_IMAGE_KEY = 1
_WORD = 2**32


class Draws:
  """The draws of n images, by name.

  `draws.smile` is float64 [n]; `draws.white_balance`, which has several
  numbers an image, is float64 [n, 3].
  """

  def __init__(self, values: np.ndarray):
    """Takes all draws, float64 [n, number of draws]."""
    self._values = values
    start = 0
    for name, width in _WIDTHS.items():
      part = (
        values[:, start] if width == 1 else values[:, start : start + width]
      )
      setattr(self, name, part)
      start += width

  def image(self, index: int) -> types.SimpleNamespace:
    """The draws of one image: Python floats, lists where there are several."""
    values = self._values[index].tolist()
    draws, start = {}, 0
    for name, width in _WIDTHS.items():
      draws[name] = (
        values[start] if width == 1 else values[start : start + width]
      )
      start += width
    return types.SimpleNamespace(**draws)


def identity_generator(seed: int, identity: int) -> np.random.Generator:
  """The generator of a person.

  Raises:
    UserError: if `seed` or `identity` is not in 0 .. 2^32 - 1.
  """
  return _generator(_IDENTITY_KEY, seed, identity, 0)


def draw(seed: int, identity: int, images) -> Draws:
  """The draws of some images, given by their numbers, of one person.

  Raises:
    UserError: if a number is not in 0 .. 2^32 - 1.
  """
  values = np.empty((len(images), _NUM_NORMAL + _NUM_UNIFORM))
  for row, image in zip(values, images, strict=True):
    generator = _generator(_IMAGE_KEY, seed, identity, image)
    normal = generator.standard_normal(_NUM_NORMAL)
    row[:_NUM_NORMAL] = np.clip(normal, -2.4, 2.4)
    row[_NUM_NORMAL:] = generator.random(_NUM_UNIFORM)
  return Draws(values)


def _generator(
  kind: int, seed: int, identity: int, image: int
) -> np.random.Generator:
  for name, value in (('seed', seed), ('identity', identity), ('image', image)):
    if not 0 <= value < _WORD:
      raise errors.UserError(
        f'The {name} of a synthetic face must be in 0 .. 2^32 - 1, not {value}.'
      )
  return np.random.default_rng([kind, int(seed), int(identity), int(image)])


@functools.cache
def noise_bank() -> np.ndarray:
  """2^20 fixed standard normals, float32, from which images cut patterns.

  Drawing fresh ones for each image would take as long as all the rest.
  """
  generator = np.random.default_rng(12345)
  bank = generator.standard_normal(1 << 20, dtype=np.float32)
  bank.setflags(write=False)
  return bank


def noise_pattern(place: float, shape: tuple[int, ...]) -> np.ndarray:
  """Standard normals float32 `shape`, cut out of the bank at `place` (0..1)."""
  bank = noise_bank()
  length = int(np.prod(shape))
  start = int(place * (len(bank) - length))
  return bank[start : start + length].reshape(shape)
