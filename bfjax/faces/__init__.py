"""Procedural faces: aligned crops of people who do not exist.

A person fixes the shape of the face as curves in space, its colours and its
marks; an image adds pose, expression, light, hair, glasses, occlusion, blur,
sensor noise and the errors of a landmark detector. The five landmarks are
aligned to the usual template, as in crops of photographs, and the curves are
painted with smooth edges.

The reading order is `nuisances`, `identities`, `geometry` (with `points`,
`features` and `head`), `drawing` (with `canvas`), `photo`; then `sets`, and
`cache` (with `workers`), which puts them on disk. No data is needed, and
nothing but numpy and OpenCV is imported here.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from bfjax import errors
from bfjax.faces import (
  drawing,
  features,
  geometry,
  identities,
  nuisances,
  photo,
)

# To be raised with every change that alters images: stored ones are kept
# apart by it.
VERSION = 2
MIN_SIZE, MAX_SIZE = 16, 512


def render(
  seed: int,
  identity: int,
  images: Sequence[int],
  *,
  size: int = 112,
  difficulty: str = 'normal',
) -> np.ndarray:
  """Renders images of one person.

  Each image is a function of (seed, identity, image, size, difficulty) alone:
  it does not matter which others are rendered with it, or where.

  Args:
    seed: names a population, 0 .. 2^32 - 1.
    identity: number of the person in it, 0 .. 2^32 - 1.
    images: numbers of the images, each 0 .. 2^32 - 1.
    size: height and width in pixels.
    difficulty: 'normal' or 'hard', see `nuisances.DIFFICULTIES`.

  Returns:
    uint8 [len(images), size, size, 3], RGB.

  Raises:
    UserError: if an argument is out of range or a name unknown.
  """
  check_size(size)
  level = errors.choose('difficulty', difficulty, nuisances.DIFFICULTIES)
  person = identities.make_identity(seed, identity, level.identity_spread)
  draws = nuisances.draw(seed, identity, images)
  expression = features.make_expression(draws)
  points = geometry.make_points(person, draws, expression, level.hair)
  pixels = geometry.project(points, draws, level, size)
  rendered = np.empty((len(images), size, size, 3), np.uint8)
  of_each = zip(draws.each(), pixels.xy, strict=True)
  for index, (of_image, xy) in enumerate(of_each):
    scene = drawing.Scene(
      identity=person,
      draws=of_image,
      difficulty=level,
      mouth_open=expression.mouth_open[index].item(),
      eye_open=expression.eye_open[index].item(),
    )
    per_unit = pixels.per_unit[index].item()
    painting = drawing.paint(scene, xy, points.parts, per_unit, size)
    head = xy[points.parts['head']]
    rendered[index] = photo.develop(painting, head, of_image, level)
  return rendered


def encode(image: np.ndarray) -> bytes:
  """The JPEG file, of quality 95, of an image uint8 [h, w, 3] RGB."""
  quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
  return cv2.imencode('.jpg', image[..., ::-1], quality)[1].tobytes()


def check_size(size: int) -> None:
  """Raises UserError if images of this size cannot be rendered."""
  if not MIN_SIZE <= size <= MAX_SIZE:
    raise errors.UserError(
      f'Synthetic faces have {MIN_SIZE} to {MAX_SIZE} pixels a side, '
      f'not {size}. The usual sizes are 48 and 112.'
    )
