"""From a person to the pixels of an aligned crop."""

from typing import NamedTuple

import numpy as np

from bfjax.faces import features, head, identities, nuisances

# Eyes, nose tip and mouth corners in an aligned 112x112 crop, in pixels: the
# template of ArcFace, https://arxiv.org/abs/1801.07698 and its code.
TEMPLATE = np.array(
  [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
  ]
)
TEMPLATE_SIZE = 112

_PITCH_DEGREES = 8.0  # deviation of the nod of the head

# Perspective: how fast things grow towards the camera.
_INVERSE_DISTANCE = 0.16


class Points(NamedTuple):
  """All points of n images: float64 [n, k, 3], and which belong to what."""

  xyz: np.ndarray
  parts: dict[str, slice]


class Pixels(NamedTuple):
  """Points of n images in pixels, pixel centres at whole numbers."""

  xy: np.ndarray  # float64 [n, k, 2]
  per_unit: np.ndarray  # float64 [n], pixels in half a head width


def make_points(
  identity: identities.Identity,
  draws: nuisances.Draws,
  expression: features.Expression,
  hair_strength: float,
) -> Points:
  """Places every curve of n images of one person."""
  curves = {
    **head.make_head(identity, draws, expression, hair_strength),
    **features.make_features(identity.shape, expression),
  }
  count, end, parts, of_all = len(expression.smile), 0, {}, []
  for name, curve in curves.items():
    parts[name] = slice(end, end := end + curve.shape[-2])
    of_all.append(np.broadcast_to(curve, (count, *curve.shape[-2:])))
  return Points(np.concatenate(of_all, 1), parts)


def project(
  points: Points,
  draws: nuisances.Draws,
  difficulty: nuisances.Difficulty,
  size: int,
) -> Pixels:
  """Turns the heads, and crops as a detector of five landmarks would.

  As for photographs, the crop is the similarity transform that brings the
  landmarks, found with some error, nearest to the template.
  """
  flat = _turned(
    points.xyz,
    np.deg2rad(difficulty.yaw_degrees * draws.yaw),
    np.deg2rad(_PITCH_DEGREES * draws.pitch),
  )
  target = TEMPLATE + 1.1 * draws.landmark_error.reshape(-1, 5, 2)
  aligned, scale = _aligned(flat, flat[:, points.parts['landmarks']], target)
  zoom = size / TEMPLATE_SIZE
  return Pixels((aligned + 0.5) * zoom - 0.5, scale * zoom)


def _turned(xyz: np.ndarray, yaw: np.ndarray, pitch: np.ndarray) -> np.ndarray:
  """Rotates [n, k, 3] by radians [n, 1] and projects to [n, k, 2]."""
  # About a point between eyes and mouth.
  x, y, z = xyz[..., 0], xyz[..., 1] - 0.5, xyz[..., 2]
  cos, sin = np.cos(yaw), np.sin(yaw)
  x, z = x * cos + z * sin, -x * sin + z * cos
  cos, sin = np.cos(pitch), np.sin(pitch)
  y, z = y * cos - z * sin, y * sin + z * cos
  nearness = 1 / (1 - _INVERSE_DISTANCE * z)
  return np.stack([x * nearness, y * nearness], -1)


def _aligned(
  points: np.ndarray, source: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Moves points by the similarity that takes source nearest to target.

  With centred landmarks s and t, the matrix [[a, -b], [b, a]] that minimises
  the squared distances has a = sum s.t / sum s.s, b = sum (s x t) / sum s.s.
  Returns the points [n, k, 2], and the scale [n].
  """
  source_mean = source.mean(1, keepdims=True)
  target_mean = target.mean(1, keepdims=True)
  s, t = source - source_mean, target - target_mean
  norm = (s**2).sum((1, 2))
  a = (s * t).sum((1, 2)) / norm
  b = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(1) / norm
  x, y = np.moveaxis(points - source_mean, -1, 0)
  a_, b_ = a[:, None], b[:, None]
  moved = np.stack([a_ * x - b_ * y, b_ * x + a_ * y], -1) + target_mean
  return moved, np.hypot(a, b)
