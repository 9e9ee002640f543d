"""Turns a flat painting into a photograph: light, focus, sensor, JPEG."""

import functools

import cv2
import numpy as np

from bfjax.faces import nuisances

# Light changes slowly over a face: it is computed on this many squares.
_LIGHT_SIZE = 14
# The blur at 112 pixels that every lens has, as a standard deviation.
_LEAST_BLUR = 0.55


def develop(
  painting: np.ndarray,
  head: np.ndarray,
  draws: nuisances.Draws,
  difficulty: nuisances.Difficulty,
) -> np.ndarray:
  """Photographs a painting, uint8 [size, size, 3] RGB before and after.

  `head` [k, 2] is the outline of the head in pixels.
  """
  light = _light(head, draws, difficulty, len(painting))
  black = 10 * difficulty.light * draws.black_level
  photo = _exposed(_focused(painting, draws), light, draws, black)
  return _compressed(photo, draws)


def _light(head, draws, difficulty, size) -> np.ndarray:
  """The factor of light on each pixel and channel, float32 [size, size, 3]."""
  low, high = head.min(0), head.max(0)
  center = (low + high) / size - 1
  radius = np.maximum((high - low) / size, 0.1)
  grid_x, grid_y = _grid()
  # In these coordinates the head is the unit circle.
  x, y = (grid_x - center[0]) / radius[0], (grid_y - center[1]) / radius[1]
  contrast = 0.20 * difficulty.light * (0.4 + draws.light_contrast)
  slope = x * draws.light_x + y * (0.5 * draws.light_y - 0.2)
  falloff = 0.22 * np.minimum(x * x + y * y, 1.6)
  blotches = cv2.resize(
    nuisances.noise_pattern(draws.light_pattern, (3, 3)),
    (_LIGHT_SIZE, _LIGHT_SIZE),
    interpolation=cv2.INTER_CUBIC,
  )
  amount = 1.10 + contrast * slope - falloff
  amount = amount + 0.05 * difficulty.light * blotches
  gain = np.exp(
    0.16 * difficulty.light * draws.exposure
    + 0.055 * difficulty.white_balance * np.array(draws.white_balance)
  )
  light = amount[..., None] * gain[None, None]
  return cv2.resize(
    light.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR
  )


@functools.cache
def _grid() -> tuple[np.ndarray, ...]:
  """x and y of the squares of light, each [14, 14], -1 .. 1."""
  middle = (np.arange(_LIGHT_SIZE) + 0.5) / _LIGHT_SIZE
  return np.meshgrid(2 * middle - 1, 2 * middle - 1)


def _focused(image, draws) -> np.ndarray:
  """Lens blur, or now and then a photograph of few pixels, enlarged."""
  if draws.low_resolution < 0.10:
    size = image.shape[:2]
    share = 0.3 + 0.3 * draws.resolution
    small = cv2.resize(
      image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
  blur = 1.5 * max(0.0, draws.blur - 0.5)
  if draws.defocus < 0.08:
    blur += 2.2 * draws.defocus_amount
  sigma = (_LEAST_BLUR + blur) * len(image) / 112
  # A narrower kernel is a single pixel.
  return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image


def _exposed(image, light, draws, black) -> np.ndarray:
  """The sensor's values: lit, with noise and a wrong black level."""
  lit = cv2.multiply(image, light, dtype=cv2.CV_32F)
  noise = nuisances.noise_pattern(draws.noise_pattern, lit.shape)
  values = cv2.addWeighted(lit, 1.0, noise, 1 + 9 * draws.noise**2, black)
  return cv2.convertScaleAbs(np.maximum(values, 0, out=values))


def _compressed(image, draws) -> np.ndarray:
  """Most images have been a JPEG file before."""
  if draws.compression >= 0.6:
    return image
  quality = int(35 + 60 * draws.compression_quality)
  # OpenCV takes the channels for blue, green, red both ways, which does not
  # matter here beyond the weights of its luminance.
  _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
  return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
