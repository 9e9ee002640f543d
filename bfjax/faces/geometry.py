"""A face as named curves in space.

Units are half head widths. The origin is in the middle between the eyes, x
to the right of the image, y down, z out of the face towards the camera. A
part is float64 [k, 3] where it is the same in all images of a person, or
[n, k, 3] for n images.
"""

from typing import NamedTuple

import numpy as np

from bfjax.faces import (
  curves,
  expressions,
  features,
  hair,
  identities,
  nuisances,
)

_SMOOTH = curves.smooth(10, 2)


class Points(NamedTuple):
  """All points of n images: float64 [n, k, 3], and which belong to what."""

  xyz: np.ndarray
  parts: dict[str, slice]


def make_points(
  identity: identities.Identity,
  draws: nuisances.Draws,
  expression: expressions.Expression,
  hair_strength: float,
) -> Points:
  """Places every curve of n images of one person.

  Args:
    identity: the person.
    draws: the random draws of the images.
    expression: the expressions of the images.
    hair_strength: how much the hair differs from image to image.
  """
  shape = identity.shape
  curves_of = {
    **_head(shape, expression),
    **features.eyes(shape, expression),
    **features.brows(shape, expression),
    **features.nose(shape),
    **features.mouth(shape, expression),
    **features.cheek_folds(shape, expression),
    **hair.hair(identity, draws, hair_strength),
    **hair.glasses(),
    **hair.covers(),
    'marks': identity.marks.points,
    'landmarks': features.landmarks(shape, expression),
  }
  n = len(expression.smile)
  parts, start = {}, 0
  for name, curve in curves_of.items():
    parts[name] = slice(start, start + curve.shape[-2])
    start = parts[name].stop
  xyz = np.empty((n, start, 3))
  for name, curve in curves_of.items():
    xyz[:, parts[name]] = curve
  return Points(xyz, parts)


def _head(shape, expression: expressions.Expression) -> dict[str, np.ndarray]:
  """Outline, ears, neck, shoulders, beard and moustache."""
  right, left = _cheek_lines(shape)
  outline = np.concatenate([right, left[-2:0:-1]])
  parts = {
    'head': _with_open_jaw(outline, expression, 0.6, 0.9, 0.9),
    'neck': np.array(
      [
        [-0.52, 1.0, -0.3],
        [0.52, 1.0, -0.3],
        [0.62, 2.3, -0.35],
        [-0.62, 2.3, -0.35],
      ]
    ),
    'shoulders': np.array(
      [
        [-0.55, 1.95, -0.3],
        [0, 2.05, -0.2],
        [0.55, 1.95, -0.3],
        [2.2, 2.5, -0.4],
        [2.2, 3.5, -0.4],
        [-2.2, 3.5, -0.4],
        [-2.2, 2.5, -0.4],
      ]
    ),
    'beard': _with_open_jaw(_beard(shape), expression, 0.8, 0.6, 1.0),
    'moustache': _moustache(shape),
  }
  for side, sign in features.SIDES:
    x = sign * (0.985 * shape.cheek_width + shape.ear_out)
    parts[f'ear_{side}'] = curves.ring(
      (x, shape.ear_height, -0.25), 0.09, shape.ear_size
    )
  return parts


def _cheek_controls(shape) -> np.ndarray:
  """Controls from the top of the skull over the cheek to the chin, [10, 3]."""
  skull, chin = shape.skull_height, shape.chin_height
  return np.array(
    [
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
  )


def _cheek_lines(shape) -> tuple[np.ndarray, np.ndarray]:
  """The two halves of the outline, each from top to chin, [19, 3]."""
  line = _SMOOTH @ _cheek_controls(shape)
  right = line * [1 + shape.asymmetry, 1, 1]
  left = line * [-1 + shape.asymmetry, 1, 1]
  return right, left


def _with_open_jaw(
  points: np.ndarray,
  expression: expressions.Expression,
  start: float,
  length: float,
  amount: float,
) -> np.ndarray:
  """Lowers what lies below `start` as the mouth opens: [n, k, 3]."""
  share = amount * np.clip((points[:, 1] - start) / length, 0, 1)
  drop = expression.mouth_open[:, None] * share[None]
  return curves.stack(points[:, 0], points[:, 1] + drop, points[:, 2])


def _beard(shape) -> np.ndarray:
  """The lower face without the mouth."""
  jaw = (_SMOOTH @ _cheek_controls(shape))[9:]
  jaw = jaw + np.array([0, 0, 0.02])
  mouth = shape.mouth_height
  inner = np.array(
    [
      [0.30, 0.72, 0.33],
      [0.40, mouth, 0.33],
      [0.22, mouth + 0.22, 0.34],
      [0, mouth + 0.20, 0.36],
    ]
  )
  left_inner = inner[:3] * [-1, 1, 1]
  return np.concatenate(
    [jaw, curves.mirrored(jaw)[1:], left_inner, inner[::-1]]
  )


def _moustache(shape) -> np.ndarray:
  mouth = shape.mouth_height
  return np.array(
    [
      [-0.36, mouth + 0.02, 0.32],
      [-0.2, mouth - 0.15, 0.38],
      [0, mouth - 0.17, 0.40],
      [0.2, mouth - 0.15, 0.38],
      [0.36, mouth + 0.02, 0.32],
      [0.18, mouth - 0.06, 0.38],
      [0, mouth - 0.075, 0.40],
      [-0.18, mouth - 0.06, 0.38],
    ]
  )
