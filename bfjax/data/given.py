"""Images that a user gives in Python, paths or arrays, to batches of pixels."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bfjax import errors
from bfjax.data import checks, files, images
from bfjax.text import printable

# Images that a thread reads and decodes at a time.
_CHUNK = 16

Image = np.ndarray | str | os.PathLike
Images = Image | Sequence[Image]


def listed(given: Any) -> tuple[list[Image], bool]:
  """The images, each looked at, and whether one was given by itself.

  Raises:
    UserError: if an image is neither a path nor an array as it ought to be, or
      there are none.
  """
  is_pixels = isinstance(given, np.ndarray) and given.dtype.kind not in 'OU'
  is_one = (
    isinstance(given, str | os.PathLike)
    or (is_pixels and given.ndim < 4)
    or not hasattr(given, '__iter__')
  )
  several = [given] if is_one else list(given)
  if not several:
    raise errors.UserError('No images are given.')
  for number, image in enumerate(several):
    if not isinstance(image, str | os.PathLike):
      _check_pixels(image, number)
  return several, is_one


def _check_pixels(image, number):
  shape, dtype = getattr(image, 'shape', ()), getattr(image, 'dtype', None)
  is_colour = len(shape) == 3 and shape[2] == 3 and min(shape) > 0
  if not isinstance(image, np.ndarray) or dtype != np.uint8 or not is_colour:
    what = f'{dtype} {list(shape)}' if dtype else type(image).__name__
    raise errors.UserError(
      f'Image {number} is {what}: expected a path, or an array uint8 [h, w, 3],'
      ' RGB, 0 to 255 (numpy.asarray of a PIL image that is RGB is one).'
    )


def name(image: Image, number: int) -> str:
  """What messages call an image."""
  return f'number {number}' if isinstance(image, np.ndarray) else str(image)


def batches(
  given: Sequence[Image], image_size: int, batch: int
) -> Iterator[np.ndarray]:
  """Yields the pixels of some images at a time, decoded by threads ahead.

  Args:
    given: what `listed` gave.
    image_size: pixels of a side that images are resized to.
    batch: images at a time.

  Yields:
    uint8 [batch, image_size, image_size, 3]; the last one is filled up.

  Raises:
    UserError: if an image cannot be read or decoded; it is named.
  """
  pixels = checks.ahead(
    range(len(given)),
    lambda numbers: [_pixels(given[i], image_size) for i in numbers],
    chunk=_CHUNK,
    threads=len(os.sched_getaffinity(0)),
  )
  while some := list(itertools.islice(pixels, batch)):
    yield np.stack(some + some[-1:] * (batch - len(some)))


def _pixels(image: Image, image_size) -> np.ndarray:
  """uint8 [image_size, image_size, 3]."""
  if isinstance(image, np.ndarray):
    return images.resized(np.ascontiguousarray(image), image_size)
  [encoded] = files.ImageFiles([os.fspath(image)], '.').read([0])
  try:
    return images.decode(encoded, image_size)
  except errors.UserError as error:
    raise errors.UserError(
      f'Cannot decode the image {printable(str(image))}: {error}.'
    ) from error
