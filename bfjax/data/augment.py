"""Changes to training images, each a function of (image, a key) alone.

An image is uint8 [size, size, 3], RGB, before and after. Three of them are
AdaFace's (Kim, Jain, Liu, CVPR 2022, https://arxiv.org/abs/2204.00964), with
the parameters of its published code, which gives each a probability of 0.2; the
others are those of the field at large.
"""

import math

import cv2
import numpy as np

from bfjax import errors
from bfjax.config import limits

_INTERPOLATIONS = (
  cv2.INTER_NEAREST,
  cv2.INTER_LINEAR,
  cv2.INTER_AREA,
  cv2.INTER_CUBIC,
  cv2.INTER_LANCZOS4,
)
# What TorchVision tries before it gives up to cut out such a box.
_TRIES = 10
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class Draws:
  """Random numbers named by a key: the same everywhere, for good.

  Only whole random bits are taken from numpy, which keeps those the same in
  all its versions.
  """

  def __init__(self, key: int):
    self._bits = np.random.Philox(key=int(key))

  def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
    """A number of [low, high)."""
    return low + (high - low) * (int(self._bits.random_raw()) >> 11) / 2**53

  def integer(self, stop: int) -> int:
    """A whole number of 0 .. stop - 1."""
    return int(self.uniform(0, stop))

  def permutation(self, n: int) -> list[int]:
    """The numbers 0 .. n - 1 in random order."""
    return sorted(range(n), key=[self.uniform() for _ in range(n)].__getitem__)


def crop(image: np.ndarray, draw: Draws) -> np.ndarray:
  """A random box of the image in its place, all around it black. AdaFace's.

  The box has 0.2 to 1 of the area and an aspect ratio of 3/4 to 4/3, drawn as
  in TorchVision's RandomResizedCrop.
  """
  box = _box(image, draw, (0.2, 1.0), (3 / 4, 4 / 3))
  padded = np.zeros_like(image)
  padded[box] = image[box]
  return padded


def low_res(image: np.ndarray, draw: Draws) -> np.ndarray:
  """Made 0.2 to 1 times as large and as it was again. AdaFace's.

  Each way by an interpolation of its own: nearest, linear, area, cubic or
  Lanczos.
  """
  height, width = image.shape[:2]
  side = max(int(draw.uniform(0.2, 1.0) * height), 1)
  down, up = (
    _INTERPOLATIONS[draw.integer(len(_INTERPOLATIONS))] for _ in range(2)
  )
  small = cv2.resize(image, (side, side), interpolation=down)
  return cv2.resize(small, (width, height), interpolation=up)


def photometric(image: np.ndarray, draw: Draws) -> np.ndarray:
  """Brightness, contrast and saturation times 0.5 to 1.5. AdaFace's."""
  return _recolour(image, draw, 0.5, 0.0)


def jitter(image: np.ndarray, draw: Draws) -> np.ndarray:
  """Brightness, contrast and saturation times 0.6 to 1.4, hue +-36 degrees.

  As in SimCLR (Chen et al. 2020) at its strength 1/2.
  """
  return _recolour(image, draw, 0.4, 0.1)


def grey(image: np.ndarray, draw: Draws) -> np.ndarray:
  """Its luma (ITU-R BT.601) in all three channels."""
  del draw
  return np.repeat(_luma(image)[..., None], 3, axis=2)


def blur(image: np.ndarray, draw: Draws) -> np.ndarray:
  """A Gaussian blur of deviation 0.1 to 2 pixels at a side of 112."""
  deviation = draw.uniform(0.1, 2.0) * image.shape[0] / 112
  return cv2.GaussianBlur(image, (0, 0), deviation)


def cutout(image: np.ndarray, draw: Draws) -> np.ndarray:
  """A black box of 0.02 to 0.4 of the area, aspect ratio 0.3 to 1 / 0.3.

  The sizes of Random Erasing (Zhong et al. 2017), filled with zeros as in
  Cutout (DeVries and Taylor 2017).
  """
  cut = image.copy()
  if box := _box(image, draw, (0.02, 0.4), (0.3, 1 / 0.3)):
    cut[box] = 0
  return cut


# In the order in which they are applied; AdaFace's come first, in its order.
AUGMENTATIONS = {
  'crop': crop,
  'low_res': low_res,
  'photometric': photometric,
  'jitter': jitter,
  'grey': grey,
  'blur': blur,
  'cutout': cutout,
}


class Augment:
  """Applies each augmentation with its probability, 0 for never."""

  def __init__(self, **probabilities: float):
    """Takes those of some of `AUGMENTATIONS`; the others are never applied.

    Raises:
      UserError: if there is no such augmentation, or one is no share.
    """
    for name, probability in probabilities.items():
      errors.choose('augmentation', name, AUGMENTATIONS)
      limits.check(f'data.augment.{name}', probability)
    self._probabilities = dict.fromkeys(AUGMENTATIONS, 0.0) | probabilities

  def __bool__(self) -> bool:
    """Whether there is anything to apply."""
    return any(self._probabilities.values())

  def __call__(self, image: np.ndarray, key: int) -> np.ndarray:
    """Returns the image after those that the key selects.

    Args:
      image: uint8 [size, size, 3], RGB; it stays as it is.
      key: uint64; all that is random follows from it.
    """
    draw = Draws(key)
    # Drawn first, so that one probability moves no other augmentation.
    chosen = [
      AUGMENTATIONS[name]
      for name, probability in self._probabilities.items()
      if draw.uniform() < probability
    ]
    for augmentation in chosen:
      image = augmentation(image, draw)
    return image


def _box(image, draw, areas, aspects):
  """The slices of a random box; () if all that were tried are too long.

  Its share of the area is uniform, its width / height log-uniform.
  """
  height, width = image.shape[:2]
  for _ in range(_TRIES):
    area = draw.uniform(*areas) * height * width
    aspect = math.exp(draw.uniform(*map(math.log, aspects)))
    w = round(math.sqrt(area * aspect))
    h = round(math.sqrt(area / aspect))
    if 0 < h <= height and 0 < w <= width:
      top, left = draw.integer(height - h + 1), draw.integer(width - w + 1)
      return slice(top, top + h), slice(left, left + w)
  return ()


def _recolour(image, draw, strength, hue):
  """Brightness, contrast, saturation and hue, in random order.

  As TorchVision's ColorJitter does it: factors of 1 +- strength that blend
  with black, with the mean luma and with the luma of each pixel.
  """
  steps = draw.permutation(4 if hue else 3)
  factors = [draw.uniform(1 - strength, 1 + strength) for _ in range(3)]
  turn = draw.uniform(-hue, hue)
  for step in steps:
    if step == 3:
      image = _turn_hue(image, turn)
      continue
    other = 0.0
    if step == 1:
      other = np.round(_luma(image).mean())
    elif step == 2:
      other = _luma(image)[..., None].astype(np.float32)
    blended = other + np.float32(factors[step]) * (image - np.float32(other))
    image = np.rint(blended).clip(0, 255).astype(np.uint8)
  return image


def _turn_hue(image, turn):
  """Turns the hue by a share of the circle."""
  hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)  # hue is 0 .. 255
  hsv[..., 0] += np.uint8(round(turn * 256) % 256)
  return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _luma(image):
  """uint8 [height, width]."""
  return np.rint(image @ _LUMA).astype(np.uint8)
