"""Decoding: formats, depths, sizes, and what is said of a broken image."""

import struct

import cv2
import numpy as np
import pytest

from bfjax import errors
from bfjax.data import files, images


def _smooth(height, width, channels=3, seed=0):
  random = np.random.default_rng(seed)
  coarse = random.uniform(20, 235, [6, 6, channels]).astype(np.float32)
  return cv2.resize(
    coarse, (width, height), interpolation=cv2.INTER_CUBIC
  ).clip(0, 255)


BGR = _smooth(48, 48).astype(np.uint8)
RGB = BGR[..., ::-1]
GREY = BGR[..., 0]


def _encode(suffix, pixels, *options):
  done, encoded = cv2.imencode(suffix, pixels, list(options))
  assert done
  return encoded.tobytes()


def _decode(encoded, size=48):
  return images.decode(encoded, size)


def _problem(encoded):
  with pytest.raises(errors.UserError) as caught:
    images.decode(encoded, 48)
  return str(caught.value)


def test_png_and_others_are_exact():
  alpha = np.dstack([BGR, GREY])
  deep = BGR.astype(np.uint16) * 256 + 77
  for encoded in (
    _encode('.png', BGR),
    _encode('.png', alpha),
    _encode('.png', deep),
    _encode('.bmp', BGR),
    _encode('.webp', BGR, cv2.IMWRITE_WEBP_QUALITY, 101),
  ):
    np.testing.assert_array_equal(_decode(encoded), RGB)


def test_grey_images_get_three_equal_channels():
  grey = np.repeat(GREY[..., None], 3, axis=2)
  deep = GREY.astype(np.uint16) * 256 + 77
  for encoded in (
    _encode('.png', GREY),
    _encode('.png', deep),
    _encode('.bmp', GREY),
  ):
    np.testing.assert_array_equal(_decode(encoded), grey)


def test_jpeg_equals_opencv():
  quality = (cv2.IMWRITE_JPEG_QUALITY, 95)
  progressive = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
  for encoded in (
    _encode('.jpg', BGR, *quality),
    _encode('.jpg', BGR, *quality, *progressive),
    _encode('.jpg', GREY, *quality),
  ):
    expected = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(_decode(encoded), expected[..., ::-1])


@pytest.mark.parametrize(
  'height, width', [(48, 48), (112, 96), (37, 61), (20, 20), (250, 250), (1, 1)]
)
def test_resizing_equals_opencv(height, width):
  pixels = _smooth(height, width, seed=1).astype(np.uint8)
  encoded = _encode('.png', pixels)
  expected = cv2.resize(pixels, (48, 48), interpolation=cv2.INTER_LINEAR)
  found = _decode(encoded)
  np.testing.assert_array_equal(found, expected[..., ::-1])


def test_cut_off_images_are_noticed():
  for suffix, kind in (('.jpg', 'JPEG'), ('.png', 'PNG')):
    encoded = _encode(suffix, BGR)
    for share in (0.02, 0.3, 0.6, 0.95):
      cut = encoded[: int(share * len(encoded))]
      message = f'truncated or corrupt {kind} ({len(cut)} bytes)'
      assert _problem(cut) == message


def test_what_is_no_image_is_described():
  assert _problem(b'') == 'the file is empty'
  assert _problem(bytes(100)) == '100 zero bytes'
  assert "it starts with b'<html>'" in _problem(b'<html>')


def test_an_image_that_declares_a_huge_size_is_refused_unopened():
  png = bytearray(_encode('.png', BGR))
  png[16:24] = struct.pack('>II', 30_000, 20_000)
  message = 'it declares 30000 x 20000 pixels'
  assert _problem(bytes(png)).startswith(message)
  jpeg = bytearray(_encode('.jpg', BGR))
  at = jpeg.index(b'\xff\xc0') + 5
  jpeg[at : at + 4] = struct.pack('>HH', 20_000, 30_000)
  jpeg += bytes(1 << 16)  # too short otherwise to hold so many pixels
  assert _problem(bytes(jpeg)).startswith(message)


def test_checking_all_images_counts_and_names_the_bad(tmp_path):
  names = [f'{i}.png' for i in range(600)]
  for name in names:
    (tmp_path / name).write_bytes(_encode('.png', BGR[:8, :8]))
  found = files.ImageFiles(names, tmp_path)
  images.check_images(found)
  (tmp_path / '3.png').write_bytes(_encode('.png', BGR)[:-20])
  (tmp_path / '300.png').write_text('not an image')
  (tmp_path / '599.png').unlink()
  with pytest.raises(errors.UserError) as caught:
    images.check_images(found)
  message = str(caught.value)
  assert message.startswith('3 of 600 images cannot be used')
  assert f'{tmp_path}/3.png: truncated or corrupt PNG' in message
  assert f'{tmp_path}/300.png: not a JPEG, PNG' in message
  assert f'{tmp_path}/599.png: No such file' in message
  assert images.problems(found, [2, 300])[0][0] == 300
