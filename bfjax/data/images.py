"""One encoded image to pixels, and which images of a data set are broken.

OpenCV decodes and resizes, as in the published code, so the pixels are the
same; but they are RGB. It reads JPEG, PNG, BMP and more, in colour and grey, of
8 and 16 bits, with or without an alpha channel.
"""

import concurrent.futures
import os
import struct
from collections.abc import Iterable

import cv2
import numpy as np
import tqdm

from bfjax import errors
from bfjax.data import files as image_files

# A few kilobytes can declare gigabytes of pixels.
MAX_PIXELS = 100_000_000
# No JPEG of fewer bytes than this decodes to more than MAX_PIXELS.
_SMALL_JPEG_BYTES = 1 << 16
_JPEG = b'\xff\xd8'
_PNG = b'\x89PNG\r\n\x1a\n'
_CHECK_CHUNK = 256


def decode(encoded: bytes, image_size: int) -> np.ndarray:
  """Decodes an image, and resizes it if it is not of the size asked for.

  Grey becomes RGB, an alpha channel is dropped, 16 bits become 8. Resizing is
  bilinear with half-pixel centres and without antialiasing (INTER_LINEAR).

  Args:
    encoded: the contents of an image file.
    image_size: height and width of the result.

  Returns:
    uint8 [image_size, image_size, 3], RGB.

  Raises:
    UserError: if it is no image, cut off, or larger than MAX_PIXELS; the
      message tells which but cannot name the image.
  """
  _check_declared_size(encoded)
  pixels = None
  if encoded:
    try:
      pixels = cv2.imdecode(
        np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB
      )
    except cv2.error:  # of formats that are seldom met; None otherwise
      pixels = None
  if pixels is None:
    raise errors.UserError(_describe(encoded))
  if pixels.shape[:2] != (image_size, image_size):
    pixels = cv2.resize(
      pixels, (image_size, image_size), interpolation=cv2.INTER_LINEAR
    )
  return pixels


def problems(source, rows: Iterable[int]) -> list[tuple[int, str]]:
  """Reads and decodes the images of `rows` one at a time.

  Args:
    source: a `sources.Source` or `files.ImageFiles`.
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
      path = image_files.printable(source.path(row))
      found.append((row, f'Cannot decode the image {path}: {error}.'))
  return found


def check_images(files: image_files.ImageFiles, progress: bool = True) -> None:
  """Reads and decodes every image once.

  Args:
    files: the images.
    progress: whether to show a progress bar, with the time left.

  Raises:
    UserError: if some cannot be used; the message tells how many and names
      the first.
  """
  starts = range(0, files.num_rows, _CHECK_CHUNK)

  def check(start):
    stop = min(start + _CHECK_CHUNK, files.num_rows)
    return problems(files, range(start, stop))

  bad = []
  with (
    concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    tqdm.tqdm(
      total=files.num_rows,
      desc='Decoding the images',
      unit='image',
      unit_scale=True,
      disable=not progress,
    ) as bar,
  ):
    for start, found in zip(starts, pool.map(check, starts), strict=True):
      bad += found
      bar.update(min(_CHECK_CHUNK, files.num_rows - start))
  if bad:
    raise errors.UserError(
      f'{len(bad)} of {files.num_rows} images cannot be used:\n'
      + image_files.first_lines(text for _, text in bad)
      + '\nRestore them or take them off the list.'
    )


def _describe(encoded: bytes) -> str:
  if not encoded:
    return 'the file is empty'
  if encoded.startswith(_JPEG):
    return f'truncated or corrupt JPEG ({len(encoded)} bytes)'
  if encoded.startswith(_PNG):
    return f'truncated or corrupt PNG ({len(encoded)} bytes)'
  if not encoded.strip(b'\0'):
    return f'{len(encoded)} zero bytes'
  return f'not a JPEG or PNG image: it starts with {encoded[:12]!r}'


def _check_declared_size(encoded: bytes) -> None:
  height, width = 0, 0
  if encoded.startswith(_JPEG):
    if len(encoded) > _SMALL_JPEG_BYTES:
      height, width = _jpeg_size(encoded)
  elif encoded.startswith(_PNG) and len(encoded) >= 24:
    width, height = struct.unpack_from('>II', encoded, 16)
  if height * width > MAX_PIXELS:
    raise errors.UserError(
      f'it declares {width} x {height} pixels, and {MAX_PIXELS} are the most '
      'that are decoded'
    )


def _jpeg_size(encoded: bytes) -> tuple[int, int]:
  """(height, width) from the frame header, (0, 0) where there is none."""
  at = 2
  while at + 9 <= len(encoded) and encoded[at] == 0xFF:
    marker, length = struct.unpack_from('>BH', encoded, at + 1)
    # C0 .. CF are frame headers but for Huffman (C4), JPG (C8) and
    # arithmetic-coding (CC) tables.
    if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
      return struct.unpack_from('>HH', encoded, at + 5)
    at += 2 + length
  return 0, 0
