"""Detectors of faces with five landmarks: MTCNN, and YuNet of a file.

MTCNN (Zhang et al. 2016) comes with its weights in the Python package `mtcnn`
and runs on TensorFlow, which is here anyway. YuNet (Wu et al. 2023) is run by
OpenCV, many times as fast, from a file that the user names: OpenCV ships none.
"""

import functools
import importlib.util
import os
from collections.abc import Callable

import cv2
import numpy as np

from bfjax import errors
from bfjax.text import printable

# uint8 [h, w, 3] in RGB -> float64 [faces, 15]: score in [0, 1], then the box
# (left, top, width, height) and five landmarks (x, y) in pixels; the landmarks
# in the order of `data.alignment.POINTS`.
Detector = Callable[[np.ndarray], np.ndarray]

_POINTS = ('left_eye', 'right_eye', 'nose', 'mouth_left', 'mouth_right')
# Of the 15 numbers of YuNet: its right is the person's, our left the image's.
_FROM_YUNET = [14, *range(14)]
# Enough for a face of a hundredth of the photo to have twenty pixels.
_LONGEST_SIDE = 2000


def build(model: str = '', min_score: float = 0.9) -> Detector:
  """A detector.

  Args:
    model: '' for MTCNN, or the path of an ONNX file of YuNet.
    min_score: faces below it are none.

  Raises:
    UserError: if the package or the file is not there, or is another.
  """
  return _reduced(_open_yunet(model, min_score) if model else _mtcnn(min_score))


def _reduced(detect: Detector) -> Detector:
  """The same on photos made smaller, where they are very large."""

  def detect_reduced(image):
    share = min(1.0, _LONGEST_SIDE / max(image.shape[:2]))
    if share < 1:
      image = cv2.resize(
        image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA
      )
    faces = detect(image)
    faces[:, 1:] /= share
    return faces

  return detect_reduced


def _mtcnn(min_score) -> Detector:
  if importlib.util.find_spec('mtcnn') is None:
    raise errors.UserError(
      "The detector MTCNN is not installed: pip install 'bfjax[align]'. Or name"
      ' a file of YuNet, face_detection_yunet_2023mar.onnx of the OpenCV Zoo:'
      ' --detector FILE.'
    )
  net = _open_mtcnn()

  def detect(image):
    if min(image.shape[:2]) < 12:  # the least that it looks at
      return np.empty((0, 15))
    found = [
      [
        x['confidence'],
        *x['box'],
        *(value for name in _POINTS for value in x['keypoints'][name]),
      ]
      for x in net.detect_faces(image)
      if x['confidence'] >= min_score
    ]
    return np.array(found, np.float64).reshape(-1, 15)

  return detect


@functools.cache
def _open_mtcnn():
  import mtcnn

  return mtcnn.MTCNN(device='CPU:0')


def _open_yunet(path, min_score) -> Detector:
  if not os.path.isfile(path):
    raise errors.UserError(f'There is no detector {printable(path)}.')
  try:
    net = cv2.FaceDetectorYN.create(path, '', (320, 320), min_score)
  except cv2.error as error:
    raise errors.UserError(
      f'{printable(path)} is no file of YuNet that OpenCV {cv2.__version__}'
      f' reads: {error.err or error}. Expected is'
      ' face_detection_yunet_2023mar.onnx of the OpenCV Zoo.'
    ) from error

  def detect(image):
    height, width = image.shape[:2]
    net.setInputSize((width, height))
    _, found = net.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if found is None:
      return np.empty((0, 15))
    return found[:, _FROM_YUNET].astype(np.float64)

  return detect


def main_face(faces: np.ndarray, image_size: tuple[int, int]) -> int:
  """Which face a photo is of: large, and near its middle.

  The largest area of the box, less twice the squared distance of its middle
  from the photo's: as InsightFace's tools choose.

  Args:
    faces: float [n, 15], n >= 1, see `Detector`.
    image_size: (height, width) of the photo.
  """
  _, left, top, width, height = faces[:, :5].T
  off_x = left + width / 2 - image_size[1] / 2
  off_y = top + height / 2 - image_size[0] / 2
  return int(np.argmax(width * height - 2 * (off_x**2 + off_y**2)))
