"""Decoding: formats, depths, sizes, and what is said of a broken image."""

import struct
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

from bfjax import errors
from bfjax.data import files, images, imagesizes


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


def _declaring(suffix, height, width, *options):
  """A real, small image whose header tells another size."""
  encoded = bytearray(_encode(suffix, BGR, *options))
  size = imagesizes.declared(bytes(encoded))
  assert size[1:3] == (48, 48)
  places = {
    'JPEG': (lambda: encoded.index(b'\0\x11\x08') + 3, '>HH', height, width),
    'PNG': (lambda: 16, '>II', width, height),
    'BMP': (lambda: 18, '<ii', width, -height),
    'WebP': (lambda: 26, '<HH', width, height),
  }
  at, form, *values = places[size[0]]
  struct.pack_into(form, encoded, at(), *values)
  return bytes(encoded)


@pytest.mark.parametrize(
  'suffix, options',
  [
    ('.jpg', ()),
    ('.jpg', (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    ('.png', ()),
    ('.bmp', ()),
    ('.webp', (cv2.IMWRITE_WEBP_QUALITY, 80)),
  ],
)
def test_a_huge_declared_size_is_refused_unopened(monkeypatch, suffix, options):
  size = (16_000, 15_000) if suffix == '.webp' else (30_000, 30_000)
  bomb = _declaring(suffix, *size, *options)
  monkeypatch.setattr(cv2, 'imdecode', None)
  assert _problem(bomb) == (
    f'it declares {size[1]} x {size[0]} pixels, and 100000000 are the most '
    'that are decoded'
  )


def test_a_lossless_webp_and_one_with_alpha_declare_their_size():
  alpha = np.dstack([BGR, GREY])[:40]
  quality = (cv2.IMWRITE_WEBP_QUALITY, 101)
  for pixels, options in ((BGR[:40], quality), (alpha, quality), (alpha, ())):
    encoded = _encode('.webp', pixels, *options)
    assert imagesizes.declared(encoded) == ('WebP', 40, 48, 1)


def test_the_size_of_a_jpeg_is_found_where_libjpeg_finds_it(monkeypatch):
  """Behind fill bytes, rubbish and a comment that looks like a header."""
  bomb = _declaring('.jpg', 30_000, 30_000)
  at = bomb.index(b'\xff\xdb')
  lure = b'\xff\xc0\0\x11\x08\0\x30\0\x30\x03' + bytes(8)
  comment = b'\xff\xfe' + struct.pack('>H', len(lure) + 2) + lure
  whole = _encode('.jpg', BGR)
  for between in (comment, b'\xff\xff\xff', b'rubbish\xff\0', b'\xff\xd0'):
    assert '30000 x 30000' in _problem(bomb[:at] + between + bomb[at:])
    cv2.imdecode(np.frombuffer(whole[:at] + between + whole[at:], np.uint8), 1)
    assert _decode(whole[:at] + between + whole[at:]).shape == (48, 48, 3)
  monkeypatch.setattr(cv2, 'imdecode', None)
  frame = whole.index(b'\xff\xc0')
  assert _problem(whole[:frame]) == f'truncated or corrupt JPEG ({frame} bytes)'


def test_a_jpeg_of_endless_scans_is_refused():
  encoded = _encode('.jpg', BGR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
  scan = encoded[encoded.rindex(b'\xff\xda') : -2]
  assert imagesizes.declared(encoded)[3] < 20
  many = encoded[:-2] + scan * 300 + encoded[-2:]
  assert 'scans, and 256 are the most' in _problem(many)


def test_other_formats_that_opencv_knows_are_not_opened(monkeypatch):
  others = [_encode(s, BGR) for s in ('.tiff', '.ppm', '.jp2', '.gif', '.avif')]
  monkeypatch.setattr(cv2, 'imdecode', None)
  for encoded in others:
    assert _problem(encoded).startswith('not a JPEG, PNG, BMP or WebP image')


def test_a_png_whose_chunks_lie_is_refused_unopened(monkeypatch):
  """OpenCV allocates what a chunk says, and looks for pixels past the end."""
  whole = _encode('.png', BGR)
  pixels = whole.index(b'IDAT') - 4
  end = whole[-12:]
  huge = b'\x49\x45\x4e\x44IDAT'
  assert _decode(whole + huge).shape == (48, 48, 3)
  monkeypatch.setattr(cv2, 'imdecode', None)
  for encoded in (
    whole[:pixels] + huge + whole[pixels:],
    whole[:pixels] + end + huge,
  ):
    assert _problem(encoded).startswith('truncated or corrupt PNG')


def test_no_bytes_crash_it_hang_it_or_make_it_take_memory():
  """Mutated images, in a process of its own; all its memory is measured."""
  code = """
    import resource, sys
    import cv2, numpy as np
    from bfjax import errors
    from bfjax.data import images
    random = np.random.default_rng(0)
    pixels = np.full([24, 24, 4], 99, np.uint8)
    pixels[6:18] = random.integers(0, 256, [12, 24, 4])
    seeds = [
      cv2.imencode(suffix, pixels[..., :channels], options)[1]
      for suffix, options in (
        ('.jpg', []), ('.jpg', [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        ('.png', []), ('.bmp', []), ('.webp', []),
        ('.webp', [cv2.IMWRITE_WEBP_QUALITY, 80]))
      for channels in ((3, 4) if suffix != '.jpg' else (3,))
    ]
    images.MAX_PIXELS = 1_000_000
    def one(i):
      encoded = seeds[i % len(seeds)].copy()
      for _ in range(random.integers(1, 5)):
        # Headers are where it counts.
        stop = len(encoded) if random.random() < 0.3 else min(len(encoded), 250)
        at = random.integers(stop)
        value = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)])
        encoded[at : at + random.integers(1, 5)] = value
      if random.random() < 0.2:
        encoded = encoded[: random.integers(len(encoded))]
      try:
        assert images.decode(encoded.tobytes(), 16).shape == (16, 16, 3)
        return 1
      except errors.UserError:
        return 0
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sum(map(one, range(500)))
    before = peak()
    good = sum(map(one, range(20_000)))
    print(good, peak() - before)
  """
  done = subprocess.run(
    [sys.executable, '-c', textwrap.dedent(code)],
    capture_output=True,
    timeout=50,
    text=True,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  good, growth_mib = map(int, done.stdout.split())
  assert 1000 < good < 19_000
  assert growth_mib < 64


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
