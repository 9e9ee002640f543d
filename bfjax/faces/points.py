"""Points in space: smooth curves through few of them, and rings.

Units are half head widths. The origin is in the middle between the eyes, x
to the right of the image, y down, z out of the face towards the camera. A
part of a face is float64 [k, 3] where it is the same in all images of a
person, or [n, k, 3] for n images.
"""

import numpy as np

# As seen in the image; what is on the right has a positive x.
SIDES = (('left', -1), ('right', 1))


def stack(x, y, z) -> np.ndarray:
  """Coordinates, each broadcastable to [..., k], to points [..., k, 3]."""
  return np.stack(np.broadcast_arrays(x, y, z), -1)


def outline(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  """The polygon between two lines [n, k, 3] that run the same way."""
  return np.concatenate([above, below[:, ::-1]], 1)


def ring(
  center: tuple[float, float, float],
  radius_x: float,
  radius_y: float,
  squareness: float = 1.0,
) -> np.ndarray:
  """An ellipse of constant depth, float64 [12, 3].

  With `squareness` below 1 the ellipse bulges towards its bounding box.
  """
  angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
  cos, sin = np.cos(angle), np.sin(angle)
  x = center[0] + radius_x * np.sign(cos) * np.abs(cos) ** squareness
  y = center[1] + radius_y * np.sign(sin) * np.abs(sin) ** squareness
  return stack(x, y, center[2])


def smooth(num_controls: int, steps: int) -> np.ndarray:
  """The matrix from control points to a Catmull-Rom curve through them.

  The ends are doubled, so the curve starts and ends at a control point.

  Args:
    num_controls: how many control points there are.
    steps: steps of the curve between two of them.

  Returns:
    float64 [(num_controls - 1) * steps + 1, num_controls]; its product with
    control points [num_controls, d] is points on the curve.
  """
  matrix = np.zeros(((num_controls - 1) * steps + 1, num_controls))
  for row in range(len(matrix)):
    segment = min(row // steps, num_controls - 2)
    t = row / steps - segment
    weights = (
      0.5 * (-t + 2 * t**2 - t**3),
      0.5 * (2 - 5 * t**2 + 3 * t**3),
      0.5 * (t + 4 * t**2 - 3 * t**3),
      0.5 * (-(t**2) + t**3),
    )
    for control, weight in enumerate(weights, segment - 1):
      matrix[row, min(max(control, 0), num_controls - 1)] += weight
  return matrix
