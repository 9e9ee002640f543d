"""Raw photos to aligned crops: the landmarks, the choice, the lists, a kill."""

import pathlib
import shutil

import cv2
import matplotlib
import numpy as np
import pytest

from bfjax import errors
from bfjax.data import alignment, folders, images
from bfjax.datasets.alignment import aligning, detectors

PHOTO = pathlib.Path(matplotlib.get_data_path(), 'sample_data/grace_hopper.jpg')


def face(middle, size):
  """What a detector says of a face, upright, `size` pixels wide."""
  left, top = np.array(middle) - size / 2
  points = np.array(alignment.POINTS) / 112 * size + [left, top]
  return [0.99, left, top, size, size, *points.ravel()]


def write(path, *, height=80, width=100, level=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  cv2.imwrite(str(path), np.full([height, width, 3], level, np.uint8))


def detect_bright(image):
  """A detector that finds one face in photos that are not black."""
  if image.max() == 0:
    return np.empty([0, 15])
  return np.array([face((50, 40), 56)])


@pytest.fixture
def photos(tmp_path):
  root = tmp_path / 'photos'
  for name in ('anna/1.jpg', 'anna/deep/2.png', 'ben/1.bmp'):
    write(root / name, level=200)
  write(root / 'ben/black.jpg')
  (root / 'ben/broken.jpg').write_bytes(b'no image')
  return root


def test_a_real_face_lies_where_it_is_meant_to(tmp_path):
  root = tmp_path / 'photos'
  (root / 'hopper').mkdir(parents=True)
  shutil.copy(PHOTO, root / 'hopper')
  detect = detectors.build()
  aligning.align(str(root), tmp_path / 'out', detect)
  crop = images.decode_whole(
    (tmp_path / 'out/crops/hopper/grace_hopper.jpg').read_bytes()
  )
  assert crop.shape == (112, 112, 3)
  # Its landmarks, found once more, in the crop.
  [[_, *box_and_points]] = detect(cv2.copyMakeBorder(crop, *[56] * 4, 0))
  points = np.array(box_and_points[4:]).reshape(5, 2) - 56
  assert np.abs(points - alignment.POINTS).max() < 6


def test_very_large_photos_are_looked_at_smaller():
  seen = []

  def detect(image):
    seen.append(image.shape)
    return np.array([face((100, 100), 50)])

  found = detectors._reduced(detect)(np.zeros([1000, 4000, 3], np.uint8))
  assert seen == [(500, 2000, 3)]
  np.testing.assert_allclose(
    found, [[0.99, *np.array(face((200, 200), 100))[1:]]]
  )


def test_the_main_face_is_large_and_near_the_middle():
  faces = np.array([face((90, 50), 30), face((55, 45), 28), face((50, 50), 5)])
  assert detectors.main_face(faces, (100, 100)) == 1


def test_crops_and_lists(photos, tmp_path):
  out = tmp_path / 'out'
  found = aligning.align(str(photos), out, detect_bright)
  assert found == aligning.Aligned(3, 2, 0, 2)
  source, labels, _ = folders.read(str(out / 'crops'))
  assert [source.name(i) for i in range(3)] == [
    *('anna/1.jpg', 'anna/deep/2.png', 'ben/1.bmp'),
  ]
  assert labels.tolist() == [0, 0, 1]
  assert (out / 'train.txt').read_text() == (
    'crops/anna/1.jpg 0\ncrops/anna/deep/2.png 0\ncrops/ben/1.bmp 1\n'
  )
  assert list(aligning.reasons(out)) == [
    'ben/black.jpg: no face found',
    "ben/broken.jpg: not a JPEG, PNG, BMP or WebP image: it starts with b'no"
    " image'",
  ]
  header, *lines = (out / 'faces.tsv').read_text().splitlines()
  assert {len(line.split('\t')) for line in (header, *lines)} == {17}


def test_photos_in_no_class_folders_have_no_labels(tmp_path):
  write(tmp_path / 'photos/1.jpg', level=200)
  found = aligning.align(
    str(tmp_path / 'photos'), tmp_path / 'out', detect_bright
  )
  assert found.num_classes == 0
  assert not (tmp_path / 'out/train.txt').exists()


def test_a_killed_command_goes_on(photos, tmp_path):
  out, seen = tmp_path / 'out', []

  def detect(image):
    if len(seen) == 2:
      raise KeyboardInterrupt
    seen.append(image)
    return detect_bright(image)

  with pytest.raises(KeyboardInterrupt):
    aligning.align(str(photos), out, detect)
  with (out / 'faces.tsv').open('a') as file:
    file.write('ben/1.b')  # a line that the kill cut short
  seen.pop()
  assert (
    aligning.align(str(photos), out, lambda x: detect_bright(x)).num_found == 3
  )
  whole = tmp_path / 'whole'
  aligning.align(str(photos), whole, detect_bright)
  for name in ('faces.tsv', 'not_found.tsv', 'train.txt'):
    assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_file_of_yunet_is_asked_for_by_its_columns(monkeypatch, tmp_path):
  """OpenCV's order: box, right eye of the person, ..., score."""
  given = np.arange(15, dtype=np.float32)[None]

  class Net:
    def setInputSize(self, size):
      assert size == (100, 80)

    def detect(self, image):
      return 1, given

  monkeypatch.setattr(
    cv2.FaceDetectorYN, 'create', lambda *arguments: Net(), raising=False
  )
  path = tmp_path / 'yunet.onnx'
  path.touch()
  found = detectors.build(str(path))(np.zeros([80, 100, 3], np.uint8))
  assert found.tolist() == [[14, *range(14)]]


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda path: None, 'There is no detector'),
    (lambda path: path.write_bytes(b'no net'), 'is no file of YuNet'),
  ],
)
def test_a_detector_that_is_none_is_refused(make, message, tmp_path):
  make(tmp_path / 'net.onnx')
  with pytest.raises(errors.UserError, match=message):
    detectors.build(str(tmp_path / 'net.onnx'))


@pytest.mark.parametrize(
  ('name', 'message'), [('nowhere', 'There is no folder'), ('', 'no images')]
)
def test_a_folder_without_photos_is_refused(name, message, tmp_path):
  with pytest.raises(errors.UserError, match=message):
    aligning.align(str(tmp_path / name), tmp_path / 'out', detect_bright)
