"""Augmentations: pure functions of (image, key), as published."""

import colorsys
import math

import cv2
import numpy as np
import pytest

import draw_augmentations
from bfjax import errors
from bfjax.data import augment, files

SIZE = 112
NAMES = list(augment.AUGMENTATIONS)


def _image(seed=0):
  random = np.random.default_rng(seed)
  coarse = random.uniform(20, 235, [7, 7, 3]).astype(np.float32)
  smooth = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
  return smooth.clip(1, 255).astype(np.uint8)


IMAGE = _image()


@pytest.mark.parametrize('name', NAMES)
def test_each_is_a_function_of_image_and_key(name):
  always = augment.Augment(**{name: 1.0})
  before = IMAGE.copy()
  results = [always(IMAGE, key) for key in (5, 5, 7)]
  np.testing.assert_array_equal(results[0], results[1])
  np.testing.assert_array_equal(IMAGE, before)
  for result in results:
    assert result.shape == IMAGE.shape and result.dtype == np.uint8
  assert any((always(IMAGE, key) != IMAGE).any() for key in range(5))
  if name != 'grey':
    assert (results[0] != results[2]).any()


def test_nothing_is_done_unless_asked_for():
  assert not augment.Augment()
  assert augment.Augment(blur=0.1)
  assert augment.Augment()(IMAGE, 3) is IMAGE


@pytest.mark.parametrize('name', NAMES)
def test_a_probability_is_the_share_of_images(name):
  sometimes = augment.Augment(**{name: 0.2})
  small = np.ascontiguousarray(IMAGE[::8, ::8])
  changed = [sometimes(small, key) is not small for key in range(2000)]
  # 2,000 coins: 4.5 standard deviations of 0.009.
  assert abs(np.mean(changed) - 0.2) < 0.04


def test_one_probability_moves_no_other_augmentation():
  grey = [augment.Augment(grey=0.3)(IMAGE, key) is IMAGE for key in range(50)]
  for key in range(50):
    both = augment.Augment(grey=0.3, cutout=0.0, crop=1.0)(IMAGE, key)
    is_grey = (both == both[..., :1]).all()
    assert is_grey != grey[key]


def test_the_draws_are_those_of_earlier_versions():
  """A run begun with another numpy goes on with the same images."""
  draw = augment.Draws(2**64 - 1)
  bits = np.random.Philox(key=2**64 - 1).random_raw(2)
  expected = [(int(b) >> 11) * 2.0**-53 for b in bits]
  found = [draw.uniform(), draw.uniform()]
  assert found == expected
  numbers = [augment.Draws(key).integer(5) for key in range(3000)]
  assert np.abs(np.bincount(numbers, minlength=5) - 600).max() < 110


def test_crop_keeps_a_box_in_its_place():
  shares, aspects = [], []
  for key in range(400):
    cropped = augment.crop(IMAGE, augment.Draws(key))
    inside = cropped.any(axis=2)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.testing.assert_array_equal(cropped[box], IMAGE[box])
    assert inside.sum() == inside[box].size
    shares.append(inside.mean())
    aspects.append(len(columns) / len(rows))
  # Half a pixel of each side is rounded away.
  assert 0.19 < min(shares) < 0.25 and 0.85 < max(shares) <= 1
  assert 0.73 < min(aspects) < 0.8 and 1.25 < max(aspects) < 1.37


def test_low_res_goes_down_and_up_as_opencv_does():
  draw = augment.Draws(11)
  side = int((0.2 + 0.8 * draw.uniform()) * SIZE)
  methods = [
    cv2.INTER_NEAREST,
    cv2.INTER_LINEAR,
    cv2.INTER_AREA,
    cv2.INTER_CUBIC,
    cv2.INTER_LANCZOS4,
  ]
  down, up = (methods[int(5 * draw.uniform())] for _ in range(2))
  expected = cv2.resize(
    cv2.resize(IMAGE, (side, side), interpolation=down),
    (SIZE, SIZE),
    interpolation=up,
  )
  found = augment.low_res(IMAGE, augment.Draws(11))
  np.testing.assert_array_equal(found, expected)


def _recoloured(pixel, mean_luma, steps, factors, turn):
  """A literal ColorJitter of one pixel, in float64, without rounding."""
  pixel = np.array(pixel, np.float64)
  for step in steps:
    luma = pixel @ [0.299, 0.587, 0.114]
    if step == 0:
      pixel = pixel * factors[0]
    elif step == 1:
      pixel = mean_luma + factors[1] * (pixel - mean_luma)
    elif step == 2:
      pixel = luma + factors[2] * (pixel - luma)
    else:
      h, s, v = colorsys.rgb_to_hsv(*(pixel / 255))
      pixel = 255 * np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
    pixel = pixel.clip(0, 255)
    # A flat image: its mean luma is its own.
    mean_luma = pixel @ [0.299, 0.587, 0.114]
  return pixel


@pytest.mark.parametrize(
  'function, strength, hue',
  [(augment.photometric, 0.5, 0.0), (augment.jitter, 0.4, 0.1)],
)
@pytest.mark.parametrize('key', range(12))
def test_colours_are_those_of_color_jitter(function, strength, hue, key):
  pixel = [200, 120, 60]
  flat = np.full([8, 8, 3], pixel, np.uint8)
  draw = augment.Draws(key)
  order = np.argsort([draw.uniform() for _ in range(4 if hue else 3)])
  factors = [1 - strength + 2 * strength * draw.uniform() for _ in range(3)]
  turn = -hue + 2 * hue * draw.uniform()
  luma = float(np.array(pixel) @ [0.299, 0.587, 0.114])
  expected = _recoloured(pixel, luma, order, factors, turn)
  found = function(flat, augment.Draws(key))
  # Rounded after each step, and hue and saturation are bytes.
  tolerance = 2 if not hue else 6
  np.testing.assert_allclose(found[0, 0], expected, atol=tolerance)
  assert (found == found[0, 0]).all()


def test_grey_is_the_luma_of_opencv():
  expected = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2GRAY)[..., None]
  found = augment.grey(IMAGE, augment.Draws(0)).astype(int)
  assert np.abs(found - expected).max() <= 1
  assert (found == found[..., :1]).all()


def test_blur_keeps_the_mean_and_smooths():
  found = augment.blur(IMAGE, augment.Draws(2))
  assert abs(found.mean() - IMAGE.mean()) < 0.5
  assert np.diff(found, axis=0).std() <= np.diff(IMAGE, axis=0).std()


def test_cutout_blackens_one_box():
  shares = []
  for key in range(300):
    found = augment.cutout(IMAGE, augment.Draws(key))
    black = ~found.any(axis=2)
    np.testing.assert_array_equal(found[~black], IMAGE[~black])
    rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
    assert black.sum() == len(rows) * len(columns)
    assert len(rows) == rows[-1] - rows[0] + 1
    shares.append(black.mean())
  assert 0.015 < min(shares) < 0.05 and 0.35 < max(shares) < 0.41


def test_a_probability_must_be_one():
  for value in (-0.1, 1.5, math.nan):
    with pytest.raises(errors.UserError, match=r'data\.augment\.blur='):
      augment.Augment(blur=value)


def test_a_sheet_shows_every_augmentation(tmp_path):
  for i in range(2):
    cv2.imwrite(str(tmp_path / f'{i}.png'), _image(i))
  images = files.ImageFiles(['0.png', '1.png'], tmp_path)
  draw_augmentations.draw(tmp_path / 'sheet.png', images, image_size=32)
  found = cv2.imread(str(tmp_path / 'sheet.png'))
  # A line of two cells for each, and one for the images as they are.
  height, width = found.shape[:2]
  assert abs(height / width - 8 * 1.1 / (2 * 1.1 + 0.6)) < 0.1
  draw_augmentations.draw(tmp_path / 'sheet.jpg', images, columns=1)
  assert cv2.imread(str(tmp_path / 'sheet.jpg')) is not None
  with pytest.raises(errors.UserError, match='0 columns'):
    draw_augmentations.draw(tmp_path / 'sheet.png', images, columns=0)
  with pytest.raises(errors.UserError, match=r'Cannot write .*No such file'):
    draw_augmentations.draw(tmp_path / 'gone/sheet.png', images)


def test_the_tool_draws_the_images_of_a_folder(tmp_path):
  tool = draw_augmentations
  (tmp_path / 'a').mkdir()
  cv2.imwrite(str(tmp_path / 'a/0.png'), IMAGE)
  out = tmp_path / 'sheet.png'
  tool.main(tool.parse_arguments(['--out', str(out), '--root', str(tmp_path)]))
  assert out.stat().st_size > 10_000
