"""Smooth curves through few points, and rings."""

import numpy as np


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
    weights = 0.5 * np.array(
      [
        -t + 2 * t**2 - t**3,
        2 - 5 * t**2 + 3 * t**3,
        t + 4 * t**2 - 3 * t**3,
        -(t**2) + t**3,
      ]
    )
    for control, weight in enumerate(weights, segment - 1):
      matrix[row, min(max(control, 0), num_controls - 1)] += weight
  return matrix


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
  return np.stack([x, y, np.full(12, center[2])], 1)


def mirrored(points: np.ndarray) -> np.ndarray:
  """The points on the other side of the face, in the opposite order."""
  return (points * [-1, 1, 1])[::-1]


def stack(*coordinates: np.ndarray) -> np.ndarray:
  """x, y and z, each broadcastable to [n, k], to points [n, k, 3]."""
  return np.stack(np.broadcast_arrays(*coordinates), -1)
