"""Eyes, brows, nose and mouth as curves; units as in geometry.py."""

import numpy as np

from bfjax.faces import curves, expressions

# As seen in the image.
SIDES = (('left', -1), ('right', 1))

_EYE_DEPTH = 0.27
_MOUTH = np.linspace(-1, 1, 9)


def eyes(shape, expression: expressions.Expression) -> dict[str, np.ndarray]:
  """Lids, lid creases, bags and the centres of the irises."""
  angle = np.linspace(0, np.pi, 7)
  along = -np.cos(angle)
  arch = np.maximum(np.sin(angle), 0) ** 0.8
  opening = expression.eye_open[:, None]
  # The lower lid follows the upper one by a quarter, and rises in a smile.
  lower_opening = (
    0.75 + 0.25 * opening - 0.18 * np.maximum(expression.smile, 0)[:, None]
  )
  parts = {}
  for side, sign in SIDES:
    center_x = sign * shape.eye_x * (1 + 0.3 * sign * shape.asymmetry)
    center_y = 0.5 * sign * shape.eye_unevenness
    x = center_x + shape.eye_width * along
    y = center_y - sign * shape.eye_tilt * along
    z = _EYE_DEPTH - 0.10 * (np.abs(x) - 0.2)
    upper = y[None] - 1.05 * shape.eye_opening * arch[None] * opening
    lower = y[None] + 0.75 * shape.eye_opening * arch[None] * lower_opening
    crease = upper - 0.035 - 0.03 * shape.lid_crease
    parts[f'upper_lid_{side}'] = curves.stack(x, upper, z)
    parts[f'lower_lid_{side}'] = curves.stack(x, lower, z)[:, ::-1]
    parts[f'lid_crease_{side}'] = curves.stack(x, crease, z + 0.01)
    parts[f'eye_bag_{side}'] = curves.stack(x, lower + 0.07, z + 0.01)
    parts[f'iris_{side}'] = curves.stack(
      center_x + expression.gaze_x[:, None],
      center_y - 0.012 + expression.gaze_y[:, None],
      np.full((1, 1), _EYE_DEPTH - 0.10 * (shape.eye_x - 0.2)),
    )
  return parts


def brows(shape, expression: expressions.Expression) -> dict[str, np.ndarray]:
  """The outlines of the brows: five points above, five below."""
  along = np.linspace(-1, 1, 5)
  parts = {}
  for side, sign in SIDES:
    outward = along * sign
    x = sign * (shape.eye_x + 0.02 + shape.brow_apart)
    x = x + shape.brow_length * along
    y = (
      shape.brow_height
      - shape.brow_arch * (1 - (outward - 0.25) ** 2)
      + shape.brow_tilt * outward
    )
    # A frown lowers the inner end.
    inner = np.maximum(-outward, 0)
    y = (
      y[None]
      - expression.brow_raise[:, None]
      + expression.frown[:, None] * inner[None]
    )
    thickness = shape.brow_thickness * (1.05 - 0.45 * outward)
    thickness[[0, -1]] *= 0.45
    z = 0.34 - 0.12 * (np.abs(x) - 0.2)
    above = curves.stack(x, y - thickness[None] / 2, z)
    below = curves.stack(x, y + thickness[None] / 2, z)
    parts[f'brow_{side}'] = np.concatenate([above, below[:, ::-1]], 1)
  return parts


def nose(shape) -> dict[str, np.ndarray]:
  """The sides, nostrils, tip and underside of the nose."""
  length, width, depth = shape.nose_length, shape.nose_width, shape.nose_depth
  bridge = shape.nose_bridge
  parts = {
    'nose_tip': curves.ring(
      (0, 0.92 * length, depth), shape.nose_tip, 0.8 * shape.nose_tip
    ),
    'nose_base': np.array(
      [
        [-0.7 * width, 1.12 * length, 0.64 * depth],
        [-0.3 * width, 1.15 * length, 0.80 * depth],
        [0, 1.17 * length, 0.84 * depth],
        [0.3 * width, 1.15 * length, 0.80 * depth],
        [0.7 * width, 1.12 * length, 0.64 * depth],
      ]
    ),
  }
  side_line = np.array(
    [
      [bridge + 0.05, -0.10, 0.30],
      [bridge, 0.08, 0.36],
      [bridge + 0.01, 0.62 * length, 0.85 * depth],
      [0.78 * width, 0.86 * length, 0.78 * depth],
      [width, 0.98 * length, 0.60 * depth],
      [0.85 * width, 1.10 * length, 0.60 * depth],
    ]
  )
  for side, sign in SIDES:
    parts[f'nose_{side}'] = side_line * [sign, 1, 1]
    parts[f'nostril_{side}'] = curves.ring(
      (sign * 0.48 * width, 1.075 * length, 0.72 * depth),
      1.25 * shape.nostril,
      0.62 * shape.nostril,
    )
  return parts


def _mouth_width(shape, expression: expressions.Expression) -> np.ndarray:
  """Half the width of the mouth, [n]: smiles widen, opening narrows it."""
  return shape.mouth_width * (
    1 + 0.16 * expression.smile - 0.5 * expression.mouth_open
  )


def _mouth_depth(x: np.ndarray) -> np.ndarray:
  return 0.40 - 0.22 * np.abs(x) ** 1.5


def mouth(shape, expression: expressions.Expression) -> dict[str, np.ndarray]:
  """Lips, the opening between them, and the upper teeth in it."""
  x = _mouth_width(shape, expression)[:, None] * _MOUTH[None]
  z = _mouth_depth(x)
  curve = (shape.mouth_curve - 0.045 * expression.smile)[:, None]
  middle = shape.mouth_height + curve * _MOUTH[None] ** 2
  bulge = np.sqrt(np.maximum(0, 1 - _MOUTH**2))[None]
  bow = shape.cupids_bow * np.exp(-((_MOUTH / 0.22) ** 2))[None]
  opening = expression.mouth_open[:, None] * bulge
  upper_edge = middle - 0.35 * opening
  lower_edge = middle + opening
  top = upper_edge - shape.upper_lip * bulge**0.8 + bow
  bottom = lower_edge + shape.lower_lip * bulge**0.9
  teeth = upper_edge + np.minimum(0.045, 0.6 * (lower_edge - upper_edge))

  def between(above, below, part=slice(None)):
    lines = [curves.stack(x, y, z)[:, part] for y in (above, below)]
    return np.concatenate([lines[0], lines[1][:, ::-1]], 1)

  return {
    'upper_lip': between(top, upper_edge),
    'lower_lip': between(lower_edge, bottom),
    'lip_line': curves.stack(x, upper_edge, z),
    'mouth': between(upper_edge, lower_edge),
    'teeth': between(upper_edge, teeth, slice(1, -1)),
  }


def cheek_folds(
  shape, expression: expressions.Expression
) -> dict[str, np.ndarray]:
  """The folds from the nose to the corners of the mouth."""
  widened = 0.04 * expression.smile[:, None] * np.array([[0, 0, 1, 1]])
  x = np.array(
    [
      shape.nose_width + 0.03,
      shape.nose_width + 0.12,
      shape.mouth_width + 0.08,
      shape.mouth_width + 0.10,
    ]
  )
  y = np.array(
    [
      shape.nose_length,
      shape.nose_length + 0.14,
      shape.mouth_height - 0.08,
      shape.mouth_height + 0.06,
    ]
  )
  z = np.array([0.36, 0.34, 0.28, 0.26])
  return {
    f'cheek_fold_{side}': curves.stack(sign * (x + widened), y, z)
    for side, sign in SIDES
  }


def landmarks(shape, expression: expressions.Expression) -> np.ndarray:
  """Eyes, nose tip and mouth corners, by which crops are aligned: [n, 5, 3]."""
  corner_x = _mouth_width(shape, expression)
  corner_y = shape.mouth_height + shape.mouth_curve - 0.045 * expression.smile
  corner_z = _mouth_depth(corner_x)
  points = np.empty((len(corner_x), 5, 3))
  points[:, 0] = [-shape.eye_x, 0, 0.26]
  points[:, 1] = [shape.eye_x, 0, 0.26]
  points[:, 2] = [0, 0.95 * shape.nose_length, shape.nose_depth]
  points[:, 3] = np.stack([-corner_x, corner_y, corner_z], 1)
  points[:, 4] = np.stack([corner_x, corner_y, corner_z], 1)
  return points
