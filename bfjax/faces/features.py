"""Expressions, and eyes, brows, nose and mouth as they are under them.

Units as in `points`.
"""

import types

import numpy as np

from bfjax.faces import nuisances
from bfjax.faces import points as lib

Shape = types.SimpleNamespace  # `identities.Identity.shape`
Expression = types.SimpleNamespace  # from `make_expression`
Parts = dict[str, np.ndarray]

_EYE_DEPTH = 0.27
_MOUTH = np.linspace(-1, 1, 9)


def make_expression(draws: nuisances.Draws) -> Expression:
  """Expressions of n images, each float64 [n, 1], from their draws.

  Lengths are in half head widths; `smile` has no unit (0 none, 1 broad), and
  `eye_open` is a factor on the opening of the person's eyes.
  """
  smile = 0.5 * draws.smile + 0.15
  # A smile narrows the eyes.
  eye_open = 1 + 0.22 * draws.eye_open - 0.12 * np.maximum(smile, 0)
  return Expression(
    smile=smile,
    mouth_open=0.075 * np.maximum(0, draws.mouth_open - 0.35),
    eye_open=np.clip(eye_open, 0.12, 1.45),
    brow_raise=0.03 * draws.brow_raise,
    frown=0.03 * draws.frown,
    gaze_x=0.045 * draws.gaze_x,
    gaze_y=0.02 * draws.gaze_y,
  )


def make_features(shape: Shape, expression: Expression) -> Parts:
  """All of them, by name, with the landmarks that crops are aligned by."""
  return {
    **_eyes(shape, expression),
    **_brows(shape, expression),
    **_nose(shape),
    **_mouth(shape, expression),
    **_cheek_folds(shape, expression),
    'landmarks': _landmarks(shape, expression),
  }


def _eyes(shape: Shape, expression: Expression) -> Parts:
  """Lids, what is between them, creases, bags and centres of the irises."""
  angle = np.linspace(0, np.pi, 7)
  along = -np.cos(angle)
  arch = np.maximum(np.sin(angle), 0) ** 0.8
  opening = expression.eye_open
  # The lower lid follows the upper one by a quarter, and rises in a smile.
  lower_opening = 0.75 + 0.25 * opening - 0.18 * np.maximum(expression.smile, 0)
  parts = {}
  for side, sign in lib.SIDES:
    center_x = sign * shape.eye_x * (1 + 0.3 * sign * shape.asymmetry)
    center_y = 0.5 * sign * shape.eye_unevenness
    x = center_x + shape.eye_width * along
    y = center_y - sign * shape.eye_tilt * along
    z = _EYE_DEPTH - 0.10 * (np.abs(x) - 0.2)
    upper = y - 1.05 * shape.eye_opening * arch * opening
    lower = y + 0.75 * shape.eye_opening * arch * lower_opening
    crease = upper - 0.035 - 0.03 * shape.lid_crease
    upper_lid, lower_lid = lib.stack(x, upper, z), lib.stack(x, lower, z)
    parts[f'eye_{side}'] = lib.outline(upper_lid, lower_lid)
    parts[f'upper_lid_{side}'] = upper_lid
    parts[f'lower_lid_{side}'] = lower_lid[:, ::-1]
    parts[f'lid_crease_{side}'] = lib.stack(x, crease, z + 0.01)
    parts[f'eye_bag_{side}'] = lib.stack(x, lower + 0.07, z + 0.01)
    parts[f'iris_{side}'] = lib.stack(
      center_x + expression.gaze_x,
      center_y - 0.012 + expression.gaze_y,
      _EYE_DEPTH - 0.10 * (shape.eye_x - 0.2),
    )
  return parts


def _brows(shape: Shape, expression: Expression) -> Parts:
  """The outlines of the brows: five points above, five below."""
  along = np.linspace(-1, 1, 5)
  parts = {}
  for side, sign in lib.SIDES:
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
    y = y - expression.brow_raise + expression.frown * inner
    thickness = shape.brow_thickness * (1.05 - 0.45 * outward)
    thickness[[0, -1]] *= 0.45
    z = 0.34 - 0.12 * (np.abs(x) - 0.2)
    above = lib.stack(x, y - thickness / 2, z)
    below = lib.stack(x, y + thickness / 2, z)
    parts[f'brow_{side}'] = lib.outline(above, below)
  return parts


def _nose(shape: Shape) -> Parts:
  """The sides, nostrils, tip and underside of the nose."""
  length, width, depth = shape.nose_length, shape.nose_width, shape.nose_depth
  bridge, nostril, tip = shape.nose_bridge, shape.nostril, shape.nose_tip
  parts = {
    'nose_tip': lib.ring((0, 0.92 * length, depth), tip, 0.8 * tip),
    'nose_base': lib.stack(
      width * np.array([-0.7, -0.3, 0, 0.3, 0.7]),
      length * np.array([1.12, 1.15, 1.17, 1.15, 1.12]),
      depth * np.array([0.64, 0.80, 0.84, 0.80, 0.64]),
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
  for side, sign in lib.SIDES:
    parts[f'nose_{side}'] = side_line * [sign, 1, 1]
    center = (sign * 0.48 * width, 1.075 * length, 0.72 * depth)
    parts[f'nostril_{side}'] = lib.ring(center, 1.25 * nostril, 0.62 * nostril)
  return parts


def _mouth_width(shape: Shape, expression: Expression) -> np.ndarray:
  """Half the width of the mouth, [n, 1]: smiles widen, opening narrows it."""
  return shape.mouth_width * (
    1 + 0.16 * expression.smile - 0.5 * expression.mouth_open
  )


def _mouth_depth(x: np.ndarray) -> np.ndarray:
  return 0.40 - 0.22 * np.abs(x) ** 1.5


def _mouth(shape: Shape, expression: Expression) -> Parts:
  """Lips, the opening between them, and the upper teeth in it."""
  x = _mouth_width(shape, expression) * _MOUTH
  z = _mouth_depth(x)
  curve = shape.mouth_curve - 0.045 * expression.smile
  middle = shape.mouth_height + curve * _MOUTH**2
  bulge = np.sqrt(np.maximum(0, 1 - _MOUTH**2))
  bow = shape.cupids_bow * np.exp(-((_MOUTH / 0.22) ** 2))
  opening = expression.mouth_open * bulge
  upper_edge = middle - 0.35 * opening
  lower_edge = middle + opening
  top = upper_edge - shape.upper_lip * bulge**0.8 + bow
  bottom = lower_edge + shape.lower_lip * bulge**0.9
  teeth = upper_edge + np.minimum(0.045, 0.6 * (lower_edge - upper_edge))

  def between(above, below, part=slice(None)):
    lines = (lib.stack(x, y, z)[:, part] for y in (above, below))
    return lib.outline(*lines)

  return {
    'upper_lip': between(top, upper_edge),
    'lower_lip': between(lower_edge, bottom),
    'lip_line': lib.stack(x, upper_edge, z),
    'mouth': between(upper_edge, lower_edge),
    'teeth': between(upper_edge, teeth, slice(1, -1)),
  }


def _cheek_folds(shape: Shape, expression: Expression) -> Parts:
  """The folds from the nose to the corners of the mouth."""
  x = np.repeat([shape.nose_width, shape.mouth_width], 2)
  x = x + np.array([0.03, 0.12, 0.08, 0.10])
  x = x + 0.04 * expression.smile * np.array([0, 0, 1, 1])
  y = np.repeat([shape.nose_length, shape.mouth_height], 2)
  y = y + np.array([0, 0.14, -0.08, 0.06])
  z = [0.36, 0.34, 0.28, 0.26]
  return {
    f'cheek_fold_{side}': lib.stack(sign * x, y, z) for side, sign in lib.SIDES
  }


def _landmarks(shape: Shape, expression: Expression) -> np.ndarray:
  """Eyes, nose tip and mouth corners: [n, 5, 3]."""
  x = _mouth_width(shape, expression)
  y = shape.mouth_height + shape.mouth_curve - 0.045 * expression.smile
  z = _mouth_depth(x)

  def side_by_side(*columns):
    return np.hstack(np.broadcast_arrays(*columns))

  return lib.stack(
    side_by_side(-shape.eye_x, shape.eye_x, 0, -x, x),
    side_by_side(0, 0, 0.95 * shape.nose_length, y, y),
    side_by_side(0.26, 0.26, shape.nose_depth, z, z),
  )
