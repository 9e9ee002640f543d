"""One encoded image to pixels, and what is wrong with one that fails.

TensorFlow decodes JPEG and PNG. Any other format that OpenCV knows (BMP, TIFF,
...) is turned into PNG first. Greyscale becomes RGB, an alpha channel is
dropped, 16 bits become 8, and an EXIF orientation is not applied: the images
of face-recognition sets are crops.
"""

import struct

import cv2
import numpy as np
import tensorflow as tf

from bfjax import errors

# The accelerators are JAX's: TensorFlow would otherwise take all their memory.
tf.config.set_visible_devices([], 'GPU')

# A few kilobytes can declare gigabytes of pixels.
MAX_PIXELS = 100_000_000
# No JPEG of fewer bytes than this decodes to more than MAX_PIXELS.
_SMALL_JPEG_BYTES = 1 << 16
_JPEG = b'\xff\xd8'
_PNG = b'\x89PNG\r\n\x1a\n'


def prepare(encoded: bytes) -> bytes:
  """Returns `encoded` as what `decode` can read, without decoding if it can.

  Raises:
    UserError: if the header declares more than MAX_PIXELS pixels.
  """
  if encoded.startswith(_JPEG):
    if len(encoded) > _SMALL_JPEG_BYTES:
      _check_size(*_jpeg_size(encoded))
    return encoded
  if encoded.startswith(_PNG):
    if len(encoded) >= 24:
      _check_size(*struct.unpack('>II', encoded[16:24]))
    return encoded
  if not encoded:
    return encoded  # `decode` says what is wrong
  try:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
  except cv2.error:  # OpenCV's own limit on the number of pixels
    image = None
  return encoded if image is None else _to_png(image)


def blank(image_size: int) -> bytes:
  """A black PNG of `image_size` x `image_size` pixels."""
  return _to_png(np.zeros([image_size, image_size, 3], np.uint8))


def decode(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
  """Decodes `encoded` and resizes what is not `image_size` x `image_size`.

  Resizing is bilinear with half-pixel centres and without antialiasing, as
  OpenCV's INTER_LINEAR.

  Args:
    encoded: string [n], n static; images that `prepare` has let pass.
    image_size: height and width of the result.

  Returns:
    uint8 [n, image_size, image_size, 3], RGB.

  Raises:
    tf.errors.InvalidArgumentError: when run on what is not an image.
  """
  shape = [image_size, image_size, 3]
  images = [_decode_one(x) for x in tf.unstack(encoded)]

  def stack():
    return tf.stack([tf.ensure_shape(image, shape) for image in images])

  def resize_and_stack():
    return tf.stack([_resize(image, image_size) for image in images])

  # One branch for all: a tf.cond per image costs a tenth of the decoding.
  is_right = [tf.reduce_all(tf.equal(tf.shape(x), shape)) for x in images]
  return tf.cond(tf.reduce_all(is_right), stack, resize_and_stack)


def problem(encoded: bytes) -> str:
  """'' if `encoded` is an image that can be decoded, else what is wrong."""
  try:
    _decode_one(tf.constant(prepare(encoded)))
  except errors.UserError as error:
    return str(error)
  except tf.errors.InvalidArgumentError:
    return _describe(encoded)
  return ''


def _decode_one(encoded):
  # Reads PNG too. The accurate transform gives OpenCV's pixels exactly; the
  # fast one is up to 11 grey levels off at quality 95 and saves only 2 %.
  return tf.io.decode_jpeg(encoded, channels=3, dct_method='INTEGER_ACCURATE')


def _resize(image, image_size):
  resized = tf.image.resize(image, [image_size, image_size], 'bilinear')
  return tf.cast(tf.round(resized), tf.uint8)


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


def _check_size(height: int, width: int) -> None:
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


def _to_png(image: np.ndarray) -> bytes:
  _, encoded = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 0])
  return encoded.tobytes()
