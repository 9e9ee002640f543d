"""What an image depends on besides the person: draws, and how strong they act.

Every image has its own generator, keyed by (seed, identity, image), so that
an image is the same whatever else is rendered, in whatever order.
"""

import collections
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bfjax import errors


class Difficulty(NamedTuple):
  """What differs between difficulties; 1 is the usual strength."""

  yaw_degrees: float = 17.0  # deviation of the turn of the head to the sides
  light: float = 1.0  # exposure, shading from the sides, blotches of light
  white_balance: float = 1.0  # colour casts
  hair: float = 1.0  # how much the hair differs from image to image
  identity_spread: float = 1.0  # how different people are from each other


DIFFICULTIES = {
  'normal': Difficulty(),
  'hard': Difficulty(
    yaw_degrees=24.0,
    hair=1.6,
    identity_spread=0.75,
    white_balance=1.6,
    light=1.3,
  ),
}

# Names of the draws. Standard normals, clipped to +-2.4:
_NORMAL = (
  'smile mouth_open eye_open brow_raise frown gaze_x gaze_y hair_volume '
  'hair_side hair_length hairline_shift hairline_tilt hairline_wave '
  'hairline_ripple yaw pitch landmark_error light_x light_y exposure '
  'white_balance black_level'
)
# Uniform in [0, 1):
_UNIFORM = (
  'background_pattern background_brightness background_colour '
  'clothes_brightness clothes_colour stubble glasses glasses_thickness '
  'glasses_colour sunglasses occluder occluder_brightness occluder_colour '
  'bar_centre bar_angle bar_width light_contrast light_pattern blur defocus '
  'defocus_amount low_resolution resolution noise noise_pattern compression '
  'compression_quality'
)
# How many numbers, where there is more than one.
_WIDTHS = {
  'landmark_error': 10,
  'white_balance': 3,
  'background_colour': 3,
  'clothes_colour': 3,
  'glasses_colour': 3,
  'occluder_colour': 3,
  'bar_centre': 2,
}
# All keys have the same number of words, since SeedSequence pads with zeros;
# the first says what is drawn.
IDENTITY_KEY, _IMAGE_KEY = 0, 1
_WORD = 2**32


_Draws = collections.namedtuple('_Draws', f'{_NORMAL} {_UNIFORM}')  # type: ignore[misc]


class Draws(_Draws):
  """The draws of n images, by name.

  Each is float64 [n, 1], or [n, k] where an image has k of them, such as
  `draws.white_balance`, [n, 3].
  """

  if TYPE_CHECKING:

    def __getattr__(self, name: str) -> Any: ...

  def each(self) -> Iterator['Draws']:
    """Those of one image after another: floats, lists where an image has k."""
    columns = (x if x.shape[1] > 1 else x[:, 0] for x in self)
    return itertools.starmap(
      Draws, zip(*(x.tolist() for x in columns), strict=True)
    )


def draw(seed: int, identity: int, images: Sequence[int]) -> Draws:
  """The draws of some images, given by their numbers, of one person.

  Raises:
    UserError: if a number is not in 0 .. 2^32 - 1.
  """
  widths = [_WIDTHS.get(name, 1) for name in Draws._fields]
  num_normal = sum(widths[: len(_NORMAL.split())])
  values = np.empty((len(images), sum(widths)))
  for row, image in zip(values, images, strict=True):
    generator = make_generator(_IMAGE_KEY, seed, identity, image)
    normal = generator.standard_normal(num_normal)
    row[:num_normal] = np.clip(normal, -2.4, 2.4)
    row[num_normal:] = generator.random(len(row) - num_normal)
  return Draws(*np.split(values, np.cumsum(widths)[:-1], axis=1))


def make_generator(
  kind: int, seed: int, identity: int, image: int = 0
) -> np.random.Generator:
  """The generator of an image, or of a person with `IDENTITY_KEY`.

  Raises:
    UserError: if a number is not in 0 .. 2^32 - 1.
  """
  for name, value in (('seed', seed), ('identity', identity), ('image', image)):
    if not 0 <= value < _WORD:
      raise errors.UserError(
        f'The {name} of a synthetic face must be in 0 .. 2^32 - 1, not {value}.'
      )
  return np.random.default_rng([kind, int(seed), int(identity), int(image)])


@functools.cache
def _noise_bank() -> np.ndarray:
  """2^20 fixed standard normals, float32, from which images cut patterns.

  Drawing fresh ones for each image would take as long as all the rest.
  """
  generator = np.random.default_rng(12345)
  bank = generator.standard_normal(1 << 20, dtype=np.float32)
  bank.setflags(write=False)
  return bank


def noise_pattern(place: float, shape: tuple[int, ...]) -> np.ndarray:
  """Standard normals float32 `shape`, cut out of the bank at `place` (0..1)."""
  bank = _noise_bank()
  length = int(np.prod(shape))
  start = int(place * (len(bank) - length))
  return bank[start : start + length].reshape(shape)
