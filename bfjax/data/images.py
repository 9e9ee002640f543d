"""One encoded image to pixels, and which images of a data set are broken.

OpenCV decodes and resizes, as in the published code, so the pixels are the
same; but they are RGB. JPEG, PNG, BMP and WebP are read, in colour and grey, of
8 and 16 bits, with or without an alpha channel. The other formats that OpenCV
knows are seldom met and little tested against hostile files, so it is not asked
to read them.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from bfjax import errors
from bfjax.config import limits
from bfjax.data import checks, imagesizes
from bfjax.text import printable

MAX_PIXELS = 100_000_000
# Each scan goes over the whole image, however few bytes it has.
_MAX_SCANS = 256
_CHECK_CHUNK = 256
# TensorFlow takes images over as they are if their place is a multiple of it.
_ALIGNMENT = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
  """How the images of a stream are read.

  Attributes:
    image_size: height and width that images are resized to.
    augment: (image, key) -> image; None for no change.
    on_error: what an image that cannot be read or decoded does: 'error' ends
      the stream, 'skip' leaves it out, as the order does with bad rows.
    max_skipped: with on_error='skip', what share of all images, or of those
      tried together, may be bad (and in any case a hundred): above it, the
      storage is taken to be out of order, and the stream ends with an error.
    threads: of reading and decoding; 0 for one per CPU, at most 16. More than
      CPUs help where a network drive makes reading wait.
  """

  image_size: int
  augment: Callable | None = None
  on_error: str = 'error'
  max_skipped: float = 0.1
  threads: int = 0

  def __post_init__(self):
    limits.check('data.on_error', self.on_error)
    limits.check('data.threads', self.threads)


def load(source, reading: Reading, row, flip, key) -> np.ndarray:
  """Reads, decodes, augments and mirrors the images of some rows.

  Args:
    source: has read(rows).
    reading: how.
    row: int64 [n]; -1 for a black image.
    flip: bool [n], which are mirrored.
    key: uint64 [n], what their augmentation is drawn from.

  Returns:
    uint8 [n, size, size, 3].
  """
  size, augment = reading.image_size, reading.augment
  pixels = _aligned([row.size, size, size, 3])
  pixels[row < 0] = 0
  places = np.flatnonzero(row >= 0)
  encoded = source.read(row[places])
  flips, keys = flip[places].tolist(), key[places].tolist()
  for place, one, flipped, k in zip(
    places.tolist(), encoded, flips, keys, strict=True
  ):
    image = decode(one, size)
    if augment:
      image = augment(image, k)
    if flipped:
      cv2.flip(image, 1, pixels[place])
    else:
      pixels[place] = image
  return pixels


def _aligned(shape) -> np.ndarray:
  """An array of bytes, not initialised, that TensorFlow need not copy."""
  size = math.prod(shape)
  block = np.empty(size + _ALIGNMENT, np.uint8)
  start = -block.ctypes.data % _ALIGNMENT
  return block[start : start + size].reshape(shape)


def use_one_thread() -> None:
  """Where several threads decode, OpenCV needs none of its own."""
  cv2.setNumThreads(0)


def decode(encoded: bytes, image_size: int) -> np.ndarray:
  """Decodes an image, and resizes it if it is not of the size asked for.

  Grey becomes RGB, an alpha channel is dropped, 16 bits become 8. Resizing is
  bilinear with half-pixel centres and without antialiasing (INTER_LINEAR).

  Args:
    encoded: the contents of an image file: JPEG, PNG, BMP or WebP.
    image_size: height and width of the result.

  Returns:
    uint8 [image_size, image_size, 3], RGB.

  Raises:
    UserError: as `decode_whole`.
  """
  return resized(decode_whole(encoded), image_size)


def resized(pixels: np.ndarray, image_size: int) -> np.ndarray:
  """Pixels, uint8 [h, w, 3], of another size; see `decode`."""
  if pixels.shape == (image_size, image_size, 3):
    return pixels
  return cv2.resize(
    pixels, (image_size, image_size), interpolation=cv2.INTER_LINEAR
  )


def decode_whole(encoded: bytes) -> np.ndarray:
  """Decodes an image in its own size: uint8 [height, width, 3], RGB.

  Raises:
    UserError: if it is no such image or cut off, or if it declares more than
      MAX_PIXELS, in which case it is not decoded at all; the message tells
      which but cannot name the image.
  """
  kind, height, width, scans = imagesizes.declared(encoded)
  pixels = None
  if 0 < height * width <= MAX_PIXELS and scans <= _MAX_SCANS:
    try:
      pixels = cv2.imdecode(
        np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB
      )
    except cv2.error:  # of some broken images; of others there are no pixels
      pixels = None
  if pixels is None:
    raise errors.UserError(_describe(encoded, kind, height, width, scans))
  return pixels


def problems(source, rows: Iterable[int]) -> list[tuple[int, str]]:
  """Reads and decodes the images of `rows` one at a time.

  Args:
    source: a `labelled.Source` or `files.ImageFiles`.
    rows: which.

  Returns:
    (row, what is wrong with it, naming the image) of those that are bad.
  """
  found = []
  for row in rows:
    row = int(row)
    try:
      [encoded] = source.read(np.array([row]))
    except errors.UserError as error:
      found.append((row, str(error)))
      continue
    try:
      decode(encoded, 1)
    except errors.UserError as error:
      path = printable(source.path(row))
      found.append((row, f'Cannot decode the image {path}: {error}.'))
  return found


def all_problems(source) -> Iterator[tuple[int, str]]:
  """Reads and decodes all images of a source; yields what `problems` finds."""
  use_one_thread()
  return checks.ahead(
    range(source.num_rows),
    lambda rows: problems(source, rows),
    chunk=_CHECK_CHUNK,
    threads=len(os.sched_getaffinity(0)),
    title='Decoding the images',
  )


def check_images(source) -> None:
  """Reads and decodes every image once.

  Args:
    source: a `labelled.Source` or `files.ImageFiles`.

  Raises:
    UserError: if some cannot be used; the message tells how many and names
      the first.
  """
  checks.refuse_any(
    (text for _, text in all_problems(source)),
    source.num_rows,
    'Restore them or take them off the list.',
  )


def _describe(encoded, kind, height, width, scans) -> str:
  if not encoded:
    return 'the file is empty'
  if height * width > MAX_PIXELS:
    return (
      f'it declares {width} x {height} pixels, and {MAX_PIXELS} are the most '
      'that are decoded'
    )
  if scans > _MAX_SCANS:
    return f'it has {scans} scans, and {_MAX_SCANS} are the most'
  if kind:
    return f'truncated or corrupt {kind} ({len(encoded)} bytes)'
  if not encoded.strip(b'\0'):
    return f'{len(encoded)} zero bytes'
  return f'not a JPEG, PNG, BMP or WebP image: it starts with {encoded[:12]!r}'
