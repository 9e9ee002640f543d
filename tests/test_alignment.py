"""Aligned crops: the same as Umeyama's estimate by singular values."""

import pickle

import cv2
import numpy as np
import pytest

from bfjax import errors
from bfjax.data import alignment, files, images

# As the InsightFace code writes them, for 96 x 112 pixels.
NARROW = np.array(
  [
    [30.2946, 51.6963],
    [65.5318, 51.5014],
    [48.0252, 71.7366],
    [33.5493, 92.3655],
    [62.7299, 92.2041],
  ]
)
POINTS = NARROW + np.array([8, 0])


def umeyama(source, target):
  """The estimate of the paper (equations 40 to 43), as scikit-image has it."""
  source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
  x, y = source - source_mean, target - target_mean
  covariance = y.T @ x / len(x)
  u, singular, vt = np.linalg.svd(covariance)
  sign = np.ones(2)
  if np.linalg.det(covariance) < 0:
    sign[1] = -1
  if np.linalg.matrix_rank(covariance) == 1:
    sign[1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
  rotation = u @ np.diag(sign) @ vt
  scale = np.sum(singular * sign) / np.sum(x.var(axis=0))
  translation = target_mean - scale * rotation @ source_mean
  return np.c_[scale * rotation, translation]


def make_landmarks(kind, rng):
  landmarks = POINTS + rng.normal(0, 3, (5, 2))
  if kind == 'turned':
    landmarks = landmarks @ [[0.2, -1.9], [1.9, 0.2]] + [400, -30]
  elif kind == 'mirrored':
    landmarks = landmarks * [-1, 1] + [112, 0]
  elif kind == 'on a line':
    landmarks[:, 1] = 0.5 * landmarks[:, 0] + 3
  return landmarks


@pytest.mark.parametrize('size', [112, 224, 64])
@pytest.mark.parametrize('kind', ['near', 'turned', 'mirrored', 'on a line'])
def test_transforms_equal_umeyama(kind, size):
  rng = np.random.default_rng(0)
  landmarks = np.stack([make_landmarks(kind, rng) for _ in range(20)])
  found = alignment.transforms(landmarks, size)
  expected = [umeyama(x, POINTS * size / 112) for x in landmarks]
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_similarity_is_undone():
  turn = np.array([[1.2, -0.5], [0.5, 1.2]])
  [found] = alignment.transforms((POINTS @ turn.T + [30, 40])[None])
  whole = np.r_[np.c_[turn, [30, 40]], [[0, 0, 1]]]
  np.testing.assert_allclose(found, np.linalg.inv(whole)[:2], atol=1e-12)


def test_one_point_five_times_has_no_transform():
  landmarks = np.stack([np.full((5, 2), 7.0), POINTS])
  found = alignment.transforms(landmarks)
  assert not np.isfinite(found[0]).any()
  assert np.isfinite(found[1]).all()


def make_files(root, **contents):
  for name, content in contents.items():
    (root / name).write_bytes(content)
  return files.ImageFiles(sorted(contents), root)


def encode(suffix, pixels):
  return cv2.imencode(suffix, pixels)[1].tobytes()


def test_crops_are_warped_and_lose_nothing(tmp_path):
  rng = np.random.default_rng(0)
  small = rng.integers(0, 256, (112, 112, 3), np.uint8)
  large = rng.integers(0, 256, (90, 300, 3), np.uint8)
  given = make_files(tmp_path, a=encode('.png', small), b=encode('.png', large))
  landmarks = np.stack([POINTS, 1.5 * POINTS + [60, -40]])
  crops = alignment.AlignedFiles(given, landmarks)
  crops = pickle.loads(pickle.dumps(crops))
  assert (crops.num_rows, crops.name(1)) == (2, 'b')
  assert crops.path(1) == str(tmp_path / 'b')
  second, first = (images.decode(x, 112) for x in crops.read([1, 0]))
  # Landmarks where they should be: nothing moves.
  np.testing.assert_array_equal(first, small[:, :, ::-1])
  expected = cv2.warpAffine(
    large, umeyama(landmarks[1], POINTS), (112, 112), borderValue=0.0
  )
  np.testing.assert_array_equal(second, expected[:, :, ::-1])
  # Row y of the crop is from row 1.5 y - 40: outside, it is black.
  assert not second[:25].any()
  assert second[30:80].any()


def test_grey_images_and_other_sizes(tmp_path):
  grey = np.arange(224, dtype=np.uint8)[:, None] * np.ones((1, 224), np.uint8)
  given = make_files(tmp_path, a=encode('.png', grey))
  crops = alignment.AlignedFiles(given, 2 * POINTS[None], image_size=224)
  pixels = images.decode(crops.read([0])[0], 224)
  np.testing.assert_array_equal(pixels, np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize('content', [b'', b'no image', b'\xff\xd8\xff\xe0'])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, content):
  given = make_files(tmp_path, a=content)
  crops = alignment.AlignedFiles(given, POINTS[None])
  with pytest.raises(errors.UserError, match=f'the image {tmp_path}/a: '):
    crops.read([0])


def test_as_many_landmarks_as_images(tmp_path):
  given = make_files(tmp_path, a=b'')
  with pytest.raises(ValueError, match='1 images'):
    alignment.AlignedFiles(given, np.stack([POINTS, POINTS]))
