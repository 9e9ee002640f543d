"""The procedural faces: images as pure functions, and what they look like."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from bfjax import errors, faces
from bfjax.faces import (
  drawing,
  features,
  geometry,
  identities,
  nuisances,
)
from bfjax.faces import points as points_lib

SIZE = 48


def test_an_image_does_not_depend_on_the_others_rendered_with_it():
  together = faces.render(3, 5, range(12), size=SIZE)
  order = [7, 0, 11, 3]
  np.testing.assert_array_equal(
    faces.render(3, 5, order, size=SIZE), together[order]
  )
  for image in range(12):
    np.testing.assert_array_equal(
      faces.render(3, 5, [image], size=SIZE)[0], together[image]
    )


def test_seed_identity_and_image_each_matter():
  base = faces.render(1, 2, [3], size=SIZE)
  for *person, image in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3), (1, 3, 2)):
    assert (faces.render(*person, [image], size=SIZE) != base).any()


def test_another_process_renders_the_same_without_jax_or_tensorflow():
  program = (
    'import sys, json, zlib\n'
    'from bfjax import faces\n'
    'from bfjax.faces import workers\n'
    'image = faces.render(3, 4, [5], size=48)[0]\n'
    'heavy = [m for m in ("jax", "tensorflow") if m in sys.modules]\n'
    'print(json.dumps([image.tolist(), heavy]))'
  )
  result = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  image, heavy = json.loads(result.stdout)
  np.testing.assert_array_equal(faces.render(3, 4, [5], size=48)[0], image)
  assert not heavy


@pytest.mark.parametrize('size', [16, 48, 112, 160])
@pytest.mark.parametrize('difficulty', sorted(nuisances.DIFFICULTIES))
def test_sizes_and_difficulties(size, difficulty):
  images = faces.render(0, 1, range(3), size=size, difficulty=difficulty)
  assert images.shape == (3, size, size, 3)
  assert images.dtype == np.uint8
  assert images.std() > 10


def test_a_smaller_image_shows_the_same_scene():
  large, small = (
    np.stack(
      [
        cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA)
        for image in faces.render(0, 2, range(6), size=size)
      ]
    ).astype(int)
    for size in (112, SIZE)
  )
  of_the_same = abs(large - small).mean()
  of_others = abs(large - np.roll(small, 1, axis=0)).mean()
  assert of_the_same < of_others / 4


def _descriptors(images):
  """Small grey images without mean and contrast, [n, 256]."""
  grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
  small = [cv2.resize(x, (16, 16), interpolation=cv2.INTER_AREA) for x in grey]
  flat = np.stack(small).reshape(len(images), -1).astype(float)
  flat = flat - flat.mean(1, keepdims=True)
  return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_images_of_a_person_are_alike_but_not_trivially():
  people, count = 20, 10
  images = np.concatenate(
    [
      faces.render(0, person, range(count), size=SIZE)
      for person in range(people)
    ]
  )
  label = np.repeat(np.arange(people), count)
  similarity = _descriptors(images) @ _descriptors(images).T
  same = label[:, None] == label[None]
  np.fill_diagonal(similarity, -1)
  off_diagonal = ~np.eye(len(label), dtype=bool)
  assert similarity[same & off_diagonal].mean() > similarity[~same].mean() + 0.1
  # The nearest image by pixels is the same person far more often than by
  # chance (0.05), and still wrong often enough that there is work to do.
  nearest = label[similarity.argmax(1)] == label
  assert 0.3 < nearest.mean() < 0.95


def test_harder_images_are_harder():
  def spread(difficulty):
    people = [
      _descriptors(
        faces.render(0, i, range(8), size=SIZE, difficulty=difficulty)
      )
      for i in range(20)
    ]
    within = np.mean([person.var(0).sum() for person in people])
    between = np.stack([person.mean(0) for person in people]).var(0).sum()
    return within / between

  assert spread('hard') > 1.1 * spread('normal')


def _points(identity_number, without=(), count=50):
  level = nuisances.DIFFICULTIES['normal']
  person = identities.make_identity(0, identity_number)
  draws = nuisances.draw(0, identity_number, range(count))
  draws = draws._replace(**{x: 0 * getattr(draws, x) for x in without})
  expression = features.make_expression(draws)
  points = geometry.make_points(person, draws, expression, level.hair)
  return points, geometry.project(points, draws, level, 112)


def test_landmarks_are_aligned_to_the_template():
  # Without turns and errors only the shape of the face is left.
  still = ('yaw', 'pitch', 'landmark_error')
  for person in range(5):
    points, pixels = _points(person, still)
    found = pixels.xy[:, points.parts['landmarks']]
    assert abs(found - geometry.TEMPLATE).max() < 6
    np.testing.assert_allclose(
      found.mean(1), np.broadcast_to(geometry.TEMPLATE.mean(0), (50, 2))
    )


def test_pose_moves_the_nose_across_the_face():
  points, pixels = _points(0, ['landmark_error'])
  tip = pixels.xy[:, points.parts['nose_tip']].mean(1)[:, 0]
  eyes = pixels.xy[:, points.parts['landmarks']][:, :2].mean(1)[:, 0]
  yaw = nuisances.draw(0, 0, range(50)).yaw[:, 0]
  assert abs(np.corrcoef(tip - eyes, yaw)[0, 1]) > 0.95


def _painted(person, **draws_changes):
  """A painting in flat light, with some draws set."""
  identity = identities.make_identity(0, person)
  points, pixels = _points(person, count=1)
  changes = {'glasses': 0.99, 'occluder': 0.99, **draws_changes}
  draws = next(nuisances.draw(0, person, [0]).each())._replace(**changes)
  scene = drawing.Scene(
    identity, draws, nuisances.DIFFICULTIES['normal'], 0.0, 1.0
  )
  per_unit = float(pixels.per_unit[0])
  return drawing.paint(scene, pixels.xy[0], points.parts, per_unit, 112)


@pytest.mark.parametrize(
  'change, rows',
  [
    ({'glasses': 0.0}, slice(40, 65)),
    ({'occluder': 0.01}, slice(70, 112)),
    ({'occluder': 0.03}, slice(0, 30)),
    ({'occluder': 0.07}, slice(0, 112)),
  ],
  ids=['glasses', 'mask', 'hat', 'bar'],
)
def test_what_is_worn_covers_its_part_of_the_face(change, rows):
  changed = (_painted(1) != _painted(1, **change)).any(2)
  assert changed[rows].mean() > 0.05
  if rows != slice(0, 112):
    assert changed[rows].sum() > 0.8 * changed.sum()


def test_occluders_are_as_frequent_as_they_should_be():
  draws = nuisances.draw(0, 0, range(3000))
  assert abs((draws.occluder < 0.08).mean() - 0.08) < 0.02
  assert abs(draws.yaw.std() - 1) < 0.05
  assert abs(np.corrcoef(draws.yaw.T, draws.pitch.T)[0, 1]) < 0.06


def test_smooth_curves_pass_through_their_controls():
  controls = np.random.default_rng(0).standard_normal((6, 3))
  curve = points_lib.smooth(controls)
  np.testing.assert_allclose(curve[::2], controls, atol=1e-12)
  # As many points between; equal controls stay where they are.
  assert curve.shape == (11, 3)
  np.testing.assert_allclose(points_lib.smooth(np.ones((6, 3))), 1)


def test_files_hold_red_green_blue():
  image = np.zeros((32, 32, 3), np.uint8)
  image[..., 0] = 200
  decoded = cv2.imdecode(
    np.frombuffer(faces.encode(image), np.uint8), cv2.IMREAD_COLOR
  )
  blue, green, red = decoded.reshape(-1, 3).mean(0)
  assert red > 190
  assert max(blue, green) < 10


@pytest.mark.parametrize(
  'call, message',
  [
    (lambda: faces.render(0, 0, [0], size=8), '16 to 512 pixels'),
    (lambda: faces.render(0, 0, [0], size=4096), 'not 4096'),
    (lambda: faces.render(-1, 0, [0]), 'seed .* not -1'),
    (lambda: faces.render(0, 2**32, [0]), 'identity .* not 4294967296'),
    (lambda: faces.render(0, 0, [-1]), 'image .* not -1'),
    (lambda: faces.render(0, 0, [0], difficulty='x'), 'hard, normal'),
  ],
)
def test_bad_values_are_named(call, message):
  with pytest.raises(errors.UserError, match=message):
    call()
