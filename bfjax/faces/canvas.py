"""An image on which the parts of a face are painted."""

from typing import Any

import cv2
import numpy as np

# OpenCV takes coordinates as integers with this many bits of fraction.
_FRACTION_BITS = 4
_ONE = 1 << _FRACTION_BITS
_SMOOTH = (cv2.LINE_AA, _FRACTION_BITS)


class Canvas:
  """Paints named parts with smooth edges; lengths are in half head widths."""

  def __init__(
    self,
    image: np.ndarray,
    points: np.ndarray,
    parts: dict[str, slice],
    pixels_per_unit: float,
  ):
    """Takes over the background `image`, uint8 [size, size, 3] RGB.

    `points` [k, 2] are in pixels, `pixels_per_unit` of half a head width.
    """
    self.image = image
    self.size = len(image)  # height and width in pixels
    fixed = np.round(points * _ONE).astype(np.int32)
    self._parts = {name: fixed[part] for name, part in parts.items()}
    self._pixels_per_unit = pixels_per_unit

  def fill(self, part: str, colour: Any) -> None:
    """Fills the polygon of a part."""
    self._fill(self.image, part, colour)

  def line(
    self,
    part: str,
    colour: Any,
    width: float,
    closed: bool = False,
  ) -> None:
    """Draws the line of a part, at least a pixel wide."""
    line = self._parts[part]
    thickness = max(1, round(width * self._pixels_per_unit))
    cv2.polylines(self.image, [line], closed, colour, thickness, *_SMOOTH)

  def disc(
    self,
    part: str,
    index: int,
    colour: Any,
    radius: float,
    offset: tuple[float, float] = (0, 0),
  ) -> None:
    """Fills a circle around one point of a part, moved by `offset`."""
    scale = self._pixels_per_unit * _ONE
    x, y = self._parts[part][index].tolist()
    center = (x + int(offset[0] * scale), y + int(offset[1] * scale))
    length = max(int(radius * scale), _ONE // 4)
    cv2.circle(self.image, center, length, colour, cv2.FILLED, *_SMOOTH)

  def depth_inside(self, part: str, index: int, outline: str) -> float:
    """How far a point of a part lies inside an outline; negative outside."""
    x, y = self._parts[part][index].tolist()
    distance = cv2.pointPolygonTest(self._parts[outline], (x, y), True)
    return distance / (self._pixels_per_unit * _ONE)

  def blend(
    self,
    opacity: dict[str, float],
    colour: Any,
    softness: float,
  ) -> None:
    """Covers parts with a colour that fades out at their edges.

    `opacity` is part -> how much of the colour is seen, 0 .. 1, and `softness`
    the standard deviation of the blur of the edges.
    """
    mask = np.zeros((self.size, self.size), np.uint8)
    for part, amount in opacity.items():
      self._fill(mask, part, 255 * amount)
    mask = cv2.GaussianBlur(mask, (0, 0), softness * self._pixels_per_unit)
    share = mask[..., None] * np.float32(1 / 255)
    paint = share * np.asarray(colour, np.float32)
    self.image = cv2.convertScaleAbs(self.image * (1 - share) + paint)

  def bar(
    self,
    center: tuple[float, float],
    angle: float,
    width: float,
    colour: Any,
  ) -> None:
    """Draws a bar right across the image, at an angle in radians.

    `center`, a point on it, and `width` are shares of the image's size.
    """
    middle = np.array(center) * self.size
    reach = np.array([np.cos(angle), np.sin(angle)]) * self.size * 0.8
    start, end = np.stack([middle - reach, middle + reach]).astype(int).tolist()
    thickness = max(1, int(width * self.size))
    cv2.line(self.image, start, end, colour, thickness, cv2.LINE_AA)

  def _fill(self, image, part, colour) -> None:
    cv2.fillPoly(image, [self._parts[part]], colour, *_SMOOTH)
