"""Aligned crops: five landmarks of a face brought to where they should be.

The similarity transform x' = s R x + t (scale, rotation, translation) that
takes the landmarks nearest to the points below, in the least squares sense
(Umeyama, 1991), then a bilinear warp by OpenCV with black outside the image:
as InsightFace aligns the images of IJB and of its training sets.
"""

import functools
import hashlib
import os
from typing import Any

import cv2
import numpy as np

from bfjax import errors
from bfjax.data import images
from bfjax.text import printable

# Left eye, right eye, nose, corners of the mouth; (x, y) in 112 pixels.
POINTS = (
  (38.2946, 51.6963),
  (73.5318, 51.5014),
  (56.0252, 71.7366),
  (41.5493, 92.3655),
  (70.7299, 92.2041),
)


def transforms(landmarks: np.ndarray, image_size: int = 112) -> np.ndarray:
  """The similarity transforms that align faces.

  With points as complex numbers, landmarks z and targets w, both centred,

      s R = sum(conj(z) w) / sum(|z|^2),   t = mean(w) - s R mean(z)

  minimise sum |s R z + t - w|^2: in the plane, Umeyama's estimate in closed
  form.

  Args:
    landmarks: float [n, 5, 2], (x, y) in pixels of the images.
    image_size: of the crops; the targets, of 112 pixels, are scaled to it.

  Returns:
    float64 [n, 2, 3], for cv2.warpAffine. Not finite where a face's landmarks
    all are one point.
  """
  z = np.asarray(landmarks, np.float64) @ np.array([1, 1j])
  w = np.array(POINTS) @ np.array([1, 1j]) * (image_size / 112)
  z_mean, w_mean = z.mean(axis=1), w.mean()
  z_centred, w_centred = z - z_mean[:, None], w - w_mean
  with np.errstate(divide='ignore', invalid='ignore'):
    a = np.sum(z_centred.conj() * w_centred, axis=1)
    a /= np.sum(np.abs(z_centred) ** 2, axis=1)
    t = w_mean - a * z_mean
  rows = (a.real, -a.imag, t.real), (a.imag, a.real, t.imag)
  return np.moveaxis(np.array(rows), 2, 0)


def crop(
  image: np.ndarray,
  transform: np.ndarray,
  image_size: int = 112,
  suffix: str = '.bmp',
) -> bytes:
  """An aligned crop, encoded; black outside the image.

  Args:
    image: uint8 [h, w, 3], RGB.
    transform: [2, 3], of `transforms`.
    image_size: of the crop, as `transforms` has it.
    suffix: what it is encoded as; a JPEG's quality is 95.
  """
  size = image_size, image_size
  pixels = cv2.warpAffine(image, transform, size, borderValue=0)
  pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
  return cv2.imencode(suffix, pixels)[1].tobytes()


class AlignedFiles:
  """Aligned crops of image files, by row number; see `benchmarks.Files`.

  They are encoded as BMP, without loss, so that they go the way of any image.
  Methods may be called from several threads, and instances can be pickled. Two
  are equal if their crops are, by the paths of the images: benchmarks that
  share images have them embedded once.
  """

  def __init__(self, files: Any, landmarks: np.ndarray, image_size: int = 112):
    """Takes the images, five landmarks for each, and the size of the crops.

    Args:
      files: has num_rows, read, name and path, as `files.ImageFiles`.
      landmarks: float [num_rows, 5, 2], (x, y), not all of a row the same.
      image_size: of the crops.
    """
    if landmarks.shape != (files.num_rows, 5, 2):
      raise ValueError(f'{files.num_rows} images, landmarks {landmarks.shape}')
    self._files, self._image_size = files, image_size
    self._transforms = transforms(landmarks, image_size)
    self.num_rows, self.name, self.path = files.num_rows, files.name, files.path

  def __eq__(self, other) -> bool:
    return isinstance(other, AlignedFiles) and self._digest == other._digest

  def __hash__(self) -> int:
    return hash(self._digest)

  @functools.cached_property
  def _digest(self) -> bytes:
    digest = hashlib.sha256(self._transforms.tobytes())  # the size is in them
    for row in range(self.num_rows):
      digest.update(b'\0' + os.fsencode(self.path(row)))
    return digest.digest()

  def read(self, rows) -> list[bytes]:
    """The crops of `rows` (int [n]), encoded; black outside the images.

    Raises:
      UserError: if an image cannot be read or decoded; it is named.
    """
    contents = zip(rows, self._files.read(rows), strict=True)
    return [self._crop(int(row), content) for row, content in contents]

  def _crop(self, row: int, content: bytes) -> bytes:
    try:
      image = images.decode_whole(content)
    except errors.UserError as error:
      raise errors.UserError(
        f'Cannot decode the image {printable(self.path(row))}: '
        f'{error}. Restore it.'
      ) from error
    return crop(image, self._transforms[row], self._image_size)
