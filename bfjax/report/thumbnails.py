"""Images made small enough for a page."""

from collections.abc import Sequence

import cv2
import numpy as np

from bfjax import errors
from bfjax.data import images as images_lib
from bfjax.data import labelled
from bfjax.report import page

SIDE = 112  # pixels, at most


def read(
  images: labelled.Images, rows: Sequence[int] | np.ndarray, side: int = SIDE
) -> list[bytes]:
  """The images of `rows` as JPEG files, of at most `side` pixels a side.

  Grey where one cannot be read or decoded: the numbers of a page are right
  without it.
  """
  try:
    contents = images.read(np.array(rows, np.int64))
  except errors.UserError:
    if len(rows) == 1:
      return [small(b'', side)]
    return [read(images, [row], side)[0] for row in rows]
  return [small(content, side) for content in contents]


def pictures(
  images: labelled.Images, rows: Sequence[int] | np.ndarray, side: int = SIDE
) -> list[page.Picture]:
  """The images of `rows`, as `read` gives them, with their names."""
  contents = read(images, rows, side) if len(rows) else []
  return [
    page.Picture(content, images.name(int(row)), 'jpeg')
    for content, row in zip(contents, rows, strict=True)
  ]


def small(content: bytes, side: int = SIDE) -> bytes:
  """An encoded image as a JPEG; grey where it cannot be decoded."""
  try:
    image = images_lib.decode_whole(content)
  except errors.UserError:
    image = np.full((side, side, 3), 128, np.uint8)
  scale = side / max(image.shape[:2])
  if scale < 1:
    size = [max(1, round(scale * x)) for x in image.shape[1::-1]]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
  quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
  image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
  return cv2.imencode('.jpg', image, quality)[1].tobytes()
