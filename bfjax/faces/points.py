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


def smooth(controls: np.ndarray) -> np.ndarray:
  """A Catmull-Rom curve through points [k, 3], with one more between two.

  The ends are doubled, so the curve starts and ends at a control point.
  """
  own = np.eye(len(controls))
  doubled = np.pad(own, ((1, 1), (0, 0)), 'edge')
  between = (9 * (own[:-1] + own[1:]) - doubled[:-3] - doubled[3:]) / 16
  return np.insert(own, range(1, len(own)), between, axis=0) @ controls
