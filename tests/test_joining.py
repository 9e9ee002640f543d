"""One set of two: rows, classes and names, as writers take them."""

import numpy as np
import pytest

from bfjax.cleaning import joining, overlap
from bfjax.data import files, labelled
from bfjax.datasets import layouts, packing


def made(root, paths, labels, class_names, true_labels=None):
  for path in paths:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(f'{root.name}:{path}'.encode())
  true = None if true_labels is None else np.array(true_labels, np.int32)
  labels = np.array(labels, np.int32)
  images = files.ImageFiles(paths, root)
  return labelled.Source(images, labels, true, class_names)


@pytest.fixture
def two(tmp_path):
  """Two sets whose images and classes have some names in common."""
  ours = made(
    tmp_path / 'a', ['x/1.jpg', 'x/2.jpg', 'y/1.jpg'], [0, 0, 1], ['x', 'y']
  )
  other = made(
    tmp_path / 'b',
    ['x/1.jpg', 'p/1.jpg', 'y/1.jpg', 'p/2.jpg'],
    [1, 0, 2, 0],
    ['p', 'X', 'y'],
  )
  return ours, other


# p of the other set is our y.
CLASSES = np.array([1, joining.NEW, joining.NEW])


def test_shared_people_are_one_class_and_the_others_are_new(two):
  joined = joining.join(*two, CLASSES, 'vgg')
  assert joined.labels.tolist() == [0, 0, 1, 2, 1, 3, 1]
  assert list(joined.class_names) == ['x', 'y', 'vgg-X', 'vgg-y']
  assert list(joined.names) == [
    *('x/1.jpg', 'x/2.jpg', 'y/1.jpg'),
    *('vgg/x/1.jpg', 'vgg/p/1.jpg', 'vgg/y/1.jpg', 'vgg/p/2.jpg'),
  ]
  assert joined.true_labels is None and joined.num_rows == 7
  assert joined.path(3) == two[1].path(0)


def test_images_are_read_in_the_order_asked_for(two):
  joined = joining.join(*two, CLASSES, 'vgg')
  rows = np.array([6, 0, 3, 2, 6])
  assert joined.read(rows) == [
    *(b'b:p/2.jpg', b'a:x/1.jpg', b'b:x/1.jpg', b'a:y/1.jpg', b'b:p/2.jpg'),
  ]


def test_names_that_are_taken_are_made_others(two, tmp_path):
  ours, other = two
  ours = labelled.Source(
    files.ImageFiles(['vgg/1.jpg', 'VGG-2/1.jpg', 'b.jpg'], tmp_path),
    ours.labels,
    None,
    ['y', 'vgg-y'],
  )
  joined = joining.join(ours, other, np.full(3, joining.NEW), 'vgg')
  assert joined.name(3) == 'vgg-3/x/1.jpg'
  assert list(joined.class_names) == ['y', 'vgg-y', 'p', 'X', 'vgg-y-2']


def test_true_labels_are_joined_where_both_are_known(tmp_path):
  ours = made(tmp_path / 'a', ['1.jpg', '2.jpg'], [0, 1], ['x', 'y'], [1, -1])
  other = made(
    tmp_path / 'b',
    ['1.jpg', '2.jpg', '3.jpg'],
    [0, 1, 1],
    ['p', 'q'],
    [1, 0, -1],
  )
  joined = joining.join(ours, other, np.array([0, joining.NEW]), 'b')
  assert joined.true_labels.tolist() == [1, -1, 2, 0, -1]


def test_a_set_can_be_joined_with_itself(two):
  ours, _ = two
  joined = joining.join(ours, ours, np.array([0, 1]), 'again')
  assert joined.labels.tolist() == [0, 0, 1, 0, 0, 1]
  assert len(set(joined.names)) == 6


# In a folder, images of one person that were called alike have to be numbered.
@pytest.mark.parametrize(
  ('format', 'options'),
  [('folder', {'rename': True}), ('list', {}), ('recordio', {})],
)
def test_joined_sets_are_written_and_read_back(two, tmp_path, format, options):
  joined = joining.join(*two, CLASSES, 'vgg')
  writer = layouts.build(format, out=tmp_path / 'out', **options)
  packed = packing.pack(joined, writer, command={}, check='none', verify=True)
  assert (packed.num_rows, packed.num_classes) == (7, 4)


def test_the_class_of_the_highest_cosine_is_taken():
  def match(label, others, cosines):
    return overlap.Match(
      label, max(cosines), 0.0, np.array(others), np.array(cosines)
    )

  found = overlap.Overlap(
    [match(5, [0, 2], [0.9, 0.8]), match(3, [2, 1], [0.85, 0.8])], 0.8, 0.01, 1
  )
  assert joining.classes_of(found, 4).tolist() == [5, 3, 3, joining.NEW]
