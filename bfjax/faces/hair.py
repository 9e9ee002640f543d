"""Hair, glasses, masks and hats as curves; units as in geometry.py."""

import numpy as np

from bfjax.faces import curves, features, identities, nuisances


def hair(
  identity: identities.Identity, draws: nuisances.Draws, strength: float
) -> dict[str, np.ndarray]:
  """The hair before and behind the head.

  Args:
    identity: the person.
    draws: the random draws of n images.
    strength: how much the hair differs from image to image.
  """
  shape = identity.shape
  volume = np.maximum(
    shape.hair_volume + 0.045 * draws.hair_volume * strength, 0.04
  )[:, None]
  length = identity.trait.hair_length + 0.4 * draws.hair_length * strength
  return {
    'hair': np.concatenate(
      [_outer_arc(shape, volume), _hairline(shape, draws, strength)], 1
    ),
    'hair_behind': _hair_behind(shape, volume, 0.3 + 0.55 * length[:, None]),
  }


def _outer_arc(shape, volume: np.ndarray) -> np.ndarray:
  """Over the skull from the left to the right, [n, 15, 3]."""
  angle = np.linspace(1.02 * np.pi, -0.02 * np.pi, 15)
  cos, sin = np.cos(angle)[None], np.sin(angle)[None]
  x = (shape.temple_width + 0.06 + 0.8 * volume) * cos
  y = 0.05 - (shape.skull_height + volume) * sin
  return curves.stack(x, y, -0.2 + 0.08 * np.abs(cos))


def _hairline(shape, draws: nuisances.Draws, strength: float) -> np.ndarray:
  """The edge of the hair on the forehead from right to left, [n, 13, 3]."""
  along = np.linspace(1, -1, 13)
  own = (
    shape.hairline
    + shape.fringe_1 * np.cos(2 * np.pi * (along - shape.hair_parting))
    + shape.fringe_2 * np.sin(3 * np.pi * along)
    + shape.fringe_3 * np.cos(5 * np.pi * along + 3 * shape.hair_parting)
  )
  today = (
    0.05 * draws.hairline_wave[:, None] * np.cos(3 * along)[None]
    + 0.04 * draws.hairline_ripple[:, None] * np.sin(5 * along)[None]
    + 0.05 * draws.hairline_shift[:, None]
    + 0.05 * draws.hairline_tilt[:, None] * along[None]
  )
  front = own[None] + strength * today
  # Towards the ears the line turns down into the sideburns.
  turn = np.clip((np.abs(along) - 0.72) / 0.28, 0, 1)[None] ** 1.5
  side = 0.05 + shape.hair_side + 0.09 * draws.hair_side * strength
  y = front * (1 - turn) + side[:, None] * turn
  x = shape.temple_width * np.sign(along) * np.abs(along) ** 0.8
  return curves.stack(x, y, 0.30 - 0.38 * along**2)


def _hair_behind(shape, volume: np.ndarray, length: np.ndarray) -> np.ndarray:
  """Long hair behind head and neck, [n, 6, 3]."""
  x = np.array([[-1.0, -1.12, -1.0, 1.0, 1.12, 1.0]])
  x = x * (shape.temple_width + 0.12 + volume)
  top = np.full_like(length, -0.6)
  middle, end = 0.6 * length, length + 0.6
  y = np.concatenate([top, middle, end, end, middle, top], 1)
  return curves.stack(x, y, np.full((1, 6), -0.4))


def glasses() -> dict[str, np.ndarray]:
  """Rims, bridge and temples."""
  parts = {
    'bridge': np.array(
      [[-0.17, -0.02, 0.42], [0, -0.05, 0.45], [0.17, -0.02, 0.42]]
    )
  }
  for side, sign in features.SIDES:
    parts[f'rim_{side}'] = curves.ring(
      (0.43 * sign, 0.04, 0.36), 0.27, 0.2, 0.6
    )
    parts[f'temple_{side}'] = np.array(
      [[0.70 * sign, -0.02, 0.3], [1.0 * sign, -0.05, -0.3]]
    )
  return parts


def covers() -> dict[str, np.ndarray]:
  """A medical mask and a hat."""
  return {
    'mask': np.array(
      [
        [-0.9, 0.35, 0.05],
        [-0.4, 0.33, 0.4],
        [0, 0.28, 0.55],
        [0.4, 0.33, 0.4],
        [0.9, 0.35, 0.05],
        [0.8, 0.95, 0.08],
        [0.5, 1.38, 0.2],
        [0, 1.52, 0.4],
        [-0.5, 1.38, 0.2],
        [-0.8, 0.95, 0.08],
      ]
    ),
    'hat': np.array(
      [
        [-1.12, -0.62, -0.1],
        [-0.6, -0.74, 0.25],
        [0, -0.78, 0.42],
        [0.6, -0.74, 0.25],
        [1.12, -0.62, -0.1],
        [1.1, -1.2, -0.2],
        [0.6, -1.75, -0.2],
        [-0.6, -1.75, -0.2],
        [-1.1, -1.2, -0.2],
      ]
    ),
  }
