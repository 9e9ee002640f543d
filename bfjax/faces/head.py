"""Head, hair, beard, and what is worn over them, as curves.

Units as in `points`.
"""

import numpy as np

from bfjax.faces import features, identities, nuisances
from bfjax.faces import points as lib


def make_head(
  identity: identities.Identity,
  draws: nuisances.Draws,
  expression: features.Expression,
  hair_strength: float,
) -> features.Parts:
  """All parts of n images, by name, but those in `features`."""
  return {
    **_head(identity.shape, expression),
    **_hair(identity, draws, hair_strength),
    **_worn(),
    'marks': identity.marks.points,
  }


def _head(shape, expression) -> features.Parts:
  """Outline, ears, neck, shoulders, beard and moustache."""
  line = _cheek_line(shape)
  right = line * [1 + shape.asymmetry, 1, 1]
  left = line * [-1 + shape.asymmetry, 1, 1]
  outline = np.concatenate([right, left[-2:0:-1]])
  mouth = shape.mouth_height
  parts = {
    'head': _with_open_jaw(outline, expression, 0.6, 0.9, 0.9),
    'neck': lib.stack(
      [-0.52, 0.52, 0.62, -0.62], [1, 1, 2.3, 2.3], [-0.3, -0.3, -0.35, -0.35]
    ),
    'shoulders': lib.stack(
      [-0.55, 0, 0.55, 2.2, 2.2, -2.2, -2.2],
      [1.95, 2.05, 1.95, 2.5, 3.5, 3.5, 2.5],
      [-0.3, -0.2, -0.3, -0.4, -0.4, -0.4, -0.4],
    ),
    'beard': _with_open_jaw(_beard(line, mouth), expression, 0.8, 0.6, 1.0),
    'moustache': lib.stack(
      [-0.36, -0.2, 0, 0.2, 0.36, 0.18, 0, -0.18],
      mouth + np.array([2, -15, -17, -15, 2, -6, -7.5, -6]) / 100,
      [0.32, 0.38, 0.40, 0.38, 0.32, 0.38, 0.40, 0.38],
    ),
  }
  for side, sign in lib.SIDES:
    x = sign * (0.985 * shape.cheek_width + shape.ear_out)
    center = (x, shape.ear_height, -0.25)
    parts[f'ear_{side}'] = lib.ring(center, 0.09, shape.ear_size)
  return parts


def _cheek_line(shape: features.Shape) -> np.ndarray:
  """From the top of the skull over the right cheek to the chin, [19, 3]."""
  skull, chin = shape.skull_height, shape.chin_height
  controls = [
    [0, -skull, -0.2],
    [0.42, -0.93 * skull, -0.15],
    [0.80, -0.72 * skull, -0.05],
    [shape.temple_width, -0.5, -0.12],
    [shape.cheek_width, 0, -0.15],
    [shape.lower_cheek_width, 0.45, -0.08],
    [shape.jaw_width, 0.85, -0.02],
    [shape.lower_jaw_width, 0.80 * chin, 0.10],
    [shape.chin_width, 0.95 * chin, 0.20],
    [0, chin, 0.24],
  ]
  return lib.smooth(np.array(controls))


def _with_open_jaw(points, expression, start, length, amount) -> np.ndarray:
  """Lowers what lies below `start` as the mouth opens: [n, k, 3]."""
  x, y, z = points.T
  share = amount * np.clip((y - start) / length, 0, 1)
  return lib.stack(x, y + expression.mouth_open * share, z)


def _beard(cheek_line: np.ndarray, mouth: float) -> np.ndarray:
  """The lower face without the mouth."""
  jaw = cheek_line[9:] + np.array([0, 0, 0.02])
  inner = lib.stack(
    [0.30, 0.40, 0.22, 0],
    [0.72, mouth, mouth + 0.22, mouth + 0.20],
    [0.33, 0.33, 0.34, 0.36],
  )
  mirror = np.array([-1, 1, 1])
  left = jaw[-2::-1] * mirror, inner[:3] * mirror
  return np.concatenate([jaw, *left, inner[::-1]])


def _hair(identity, draws, strength) -> features.Parts:
  """The hair before and behind the head."""
  shape = identity.shape
  volume = shape.hair_volume + 0.045 * draws.hair_volume * strength
  volume = np.maximum(volume, 0.04)
  # Over the skull from the left to the right, 15 points.
  angle = np.linspace(1.02 * np.pi, -0.02 * np.pi, 15)
  cos, sin = np.cos(angle), np.sin(angle)
  x = (shape.temple_width + 0.06 + 0.8 * volume) * cos
  y = 0.05 - (shape.skull_height + volume) * sin
  arc = lib.stack(x, y, -0.2 + 0.08 * np.abs(cos))
  hairline = _hairline(shape, draws, strength)
  # What is long falls behind head and neck.
  length = identity.trait.hair_length + 0.4 * draws.hair_length * strength
  length = 0.3 + 0.55 * length
  x = np.array([-1.0, -1.12, -1.0, 1.0, 1.12, 1.0])
  x = x * (shape.temple_width + 0.12 + volume)
  top = np.full_like(length, -0.6)
  middle, end = 0.6 * length, length + 0.6
  y = np.hstack([top, middle, end, end, middle, top])
  return {
    'hair': np.concatenate([arc, hairline], 1),
    'hair_behind': lib.stack(x, y, -0.4),
  }


def _hairline(shape, draws, strength) -> np.ndarray:
  """The edge of the hair on the forehead from right to left, [n, 13, 3]."""
  along = np.linspace(1, -1, 13)
  own = (
    shape.hairline
    + shape.fringe_1 * np.cos(2 * np.pi * (along - shape.hair_parting))
    + shape.fringe_2 * np.sin(3 * np.pi * along)
    + shape.fringe_3 * np.cos(5 * np.pi * along + 3 * shape.hair_parting)
  )
  today = (
    0.05 * draws.hairline_wave * np.cos(3 * along)
    + 0.04 * draws.hairline_ripple * np.sin(5 * along)
    + 0.05 * draws.hairline_shift
    + 0.05 * draws.hairline_tilt * along
  )
  front = own + strength * today
  # Towards the ears the line turns down into the sideburns.
  turn = np.clip((np.abs(along) - 0.72) / 0.28, 0, 1) ** 1.5
  side = 0.05 + shape.hair_side + 0.09 * draws.hair_side * strength
  y = front * (1 - turn) + side * turn
  x = shape.temple_width * np.sign(along) * np.abs(along) ** 0.8
  return lib.stack(x, y, 0.30 - 0.38 * along**2)


def _worn() -> features.Parts:
  """Glasses, a medical mask and a hat."""
  parts = {
    'bridge': lib.stack(
      [-0.17, 0, 0.17], [-0.02, -0.05, -0.02], [0.42, 0.45, 0.42]
    ),
    'mask': lib.stack(
      [-0.9, -0.4, 0, 0.4, 0.9, 0.8, 0.5, 0, -0.5, -0.8],
      [0.35, 0.33, 0.28, 0.33, 0.35, 0.95, 1.38, 1.52, 1.38, 0.95],
      [0.05, 0.4, 0.55, 0.4, 0.05, 0.08, 0.2, 0.4, 0.2, 0.08],
    ),
    'hat': lib.stack(
      [-1.12, -0.6, 0, 0.6, 1.12, 1.1, 0.6, -0.6, -1.1],
      [-0.62, -0.74, -0.78, -0.74, -0.62, -1.2, -1.75, -1.75, -1.2],
      [-0.1, 0.25, 0.42, 0.25, -0.1, -0.2, -0.2, -0.2, -0.2],
    ),
  }
  for side, sign in lib.SIDES:
    center = (0.43 * sign, 0.04, 0.36)
    parts[f'rim_{side}'] = lib.ring(center, 0.27, 0.2, 0.6)
    x = [0.70 * sign, 1.0 * sign]
    parts[f'temple_{side}'] = lib.stack(x, [-0.02, -0.05], [0.3, -0.3])
  return parts
