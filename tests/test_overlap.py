"""Who is in two sets: found by a threshold that comes from the cosines."""

import cv2
import jax
import numpy as np
import pytest

import spheres
from bfjax import backbones, errors, model, modelcard, scalings
from bfjax.cleaning import means, othersets, overlap
from bfjax.evaluation.features import extraction, imagesets, store
from bfjax.formats import packs

OURS, OTHERS, SHARED = 150, 120, 40


@pytest.fixture(scope='module')
def sets():
  """People, the means of our classes, and who the other set's people are.

  Ours are 0 .. OURS - 1. The first SHARED of the other set are among them, in
  another order, and the others are new.
  """
  people = spheres.People(OURS + OTHERS, spread=0.6)
  labels = np.repeat(np.arange(OURS), 10)
  ours = means.of_classes(people.rows(labels), labels, OURS)
  known = np.random.default_rng(1).choice(OURS, SHARED, replace=False)
  return people, ours, np.r_[known, np.arange(OURS, OURS + OTHERS - SHARED)]


def images_of(people, who, count):
  """Features of `count` images of each, and their labels in the other set."""
  labels = np.repeat(np.arange(len(who)), count)
  return people.rows(who[labels]), labels.astype(np.int32)


def pairs_of(found):
  return {(x.label, int(other)) for x in found.matches for other in x.others}


def test_shared_people_are_found_by_their_means(sets):
  people, ours, who = sets
  features, labels = images_of(people, who, 6)
  theirs = means.of_classes(features, labels, OTHERS)
  found = overlap.find(ours, theirs.directions, theirs.sizes)
  expected = {(int(who[i]), i) for i in range(SHARED)}
  assert len(pairs_of(found) & expected) >= 0.95 * SHARED
  assert len(pairs_of(found) - expected) <= 0.02 * SHARED
  assert found.num_pairs == OURS * OTHERS
  for match in found.matches:
    assert match.cosine == match.cosines.max() >= found.threshold - 1e-6
    assert match.false_rate <= found.false_rate == overlap.FALSE_RATE
  rates = [match.false_rate for match in found.matches]
  assert rates == sorted(rates)


def test_shared_people_are_found_by_images_without_labels(sets):
  people, ours, who = sets
  features, labels = images_of(people, who, 6)
  # Of any length and precision: as features may be on disk.
  found = overlap.find(ours, (features * 9).astype(np.float16))
  right = {(int(who[i]), i) for i in range(SHARED)}
  told = {(label, int(labels[row])) for label, row in pairs_of(found)}
  assert len(told & right) >= 0.95 * SHARED
  assert len(told - right) <= 0.02 * SHARED


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('count', [1, 6])
def test_nothing_is_found_where_nobody_is_in_both(seed, count):
  people = spheres.People(OURS + OTHERS, seed=seed)
  labels = np.repeat(np.arange(OURS), 10)
  ours = means.of_classes(people.rows(labels), labels, OURS)
  new = np.arange(OURS, OURS + OTHERS)
  features, labels = images_of(people, new, count)
  theirs = means.of_classes(features, labels, OTHERS)
  found = overlap.find(ours, theirs.directions, theirs.sizes)
  assert not found.matches
  # What would have been one, had there been any.
  assert 0.5 < found.threshold < 1


def test_the_threshold_is_of_other_people_who_are_less_apart(sets):
  """As those are whom a network was not trained to tell from others."""
  people, ours, _ = sets
  draw = np.random.default_rng(3)
  few = draw.normal(size=(4, people.centres.shape[1]))
  within = spheres.unit(draw.normal(size=(3000, 4)) @ few)
  narrow = means.Means(
    spheres.unit(draw.normal(size=(OURS, 4)) @ few).astype(np.float32),
    ours.lengths,
    ours.sizes,
  )
  assert not overlap.find(narrow, within.astype(np.float32)).matches


def test_a_person_in_two_classes_matches_both_and_empty_classes_none(sets):
  people, _, _ = sets
  labels = np.repeat(np.arange(OURS), 10)
  who = np.where(labels == 1, 0, labels)  # class 1 is person 0 too
  labels = np.where(labels == 2, 3, labels)  # and class 2 has no rows
  ours = means.of_classes(people.rows(who), labels, OURS)
  features, own = images_of(people, np.arange(60), 6)
  own[own == 7] = -1  # nobody has this number
  theirs = means.of_classes(features, own, 60)
  pairs = pairs_of(overlap.find(ours, theirs.directions, theirs.sizes))
  assert {(0, 0), (1, 0)} <= pairs
  assert not {2} & {label for label, _ in pairs}
  assert not {7} & {other for _, other in pairs}
  nobody = means.of_classes(features[:0], own[:0], 60)
  assert not overlap.find(ours, nobody.directions, nobody.sizes).matches


# Who is who in another set that a user gives.


def test_pairs_of_one_person_tell_who_is_who(tmp_path):
  images = [b'\xff\xd8%d' % i for i in (0, 1, 1, 2, 3, 4, 0, 3)]
  packs.write(tmp_path / 'p.bin', images, np.array([True, True, True, False]))
  people = othersets.open_people(str(tmp_path / 'p.bin'))
  assert people.images.num_rows == 5
  assert people.labels.tolist() == [0, 0, 0, 1, 1]  # 2 is 0 by way of 1
  for name in 'abc':
    (tmp_path / f'{name}.jpg').write_bytes(b'x')
  (tmp_path / 'pairs.txt').write_text('a.jpg b.jpg 1\nb.jpg c.jpg 0\n')
  people = othersets.open_people(str(tmp_path / 'pairs.txt'))
  assert people.labels.tolist() == [0, 0, 1]


def test_folders_tell_who_is_who_and_bare_images_do_not(tmp_path):
  for path in ('people/x/1.jpg', 'people/y/1.jpg', 'bare/1.jpg', 'bare/2.jpg'):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(b'x')
  people = othersets.open_people(str(tmp_path / 'people'))
  assert people.labels.tolist() == [0, 1]
  assert list(people.class_names) == ['x', 'y']
  bare = othersets.open_people(str(tmp_path / 'bare'))
  assert bare.labels is None and bare.images.num_rows == 2
  with pytest.raises(errors.UserError, match='nothing at'):
    othersets.open_people(str(tmp_path / 'absent'))


def save(folder, features, labels, **meta):
  folder.mkdir()
  np.save(folder / store.FEATURES, features)
  lines = ''.join(f'{i}\ti{i}.jpg\t{x}\n' for i, x in enumerate(labels))
  (folder / 'rows.tsv').write_text('row\tpath\tlabel\n' + lines)
  meta = ', '.join(f'"{key}": "{value}"' for key, value in meta.items())
  (folder / store.META).write_text('{' + meta + '}')
  return str(folder)


def test_features_that_exist_are_taken_if_they_are_of_the_same_model(tmp_path):
  features = np.eye(3, 4, dtype=np.float32)
  ours = {'weights_sha256': 'a', 'flip': 'sum', 'dim': 4}
  given = save(tmp_path / 'f', features, 'xyx', weights_sha256='a', flip='sum')
  other = othersets.embedded('model', given, tmp_path / 'none', ours=ours)
  directions, sizes = other.units()
  assert sizes.tolist() == [2, 1] and directions.shape == (2, 4)
  assert other.rows(0).tolist() == [0, 2]
  assert [other.names[row] for row in other.rows(1)] == ['i1.jpg']
  bare = save(tmp_path / 'bare', features, ['', '', ''])
  other = othersets.embedded('model', bare, tmp_path / 'none', ours=ours)
  assert other.people.labels is None and other.rows(2).tolist() == [2]
  for change in ({'weights_sha256': 'b'}, {'flip': 'none'}, {'dim': 8}):
    with pytest.raises(errors.UserError, match='cannot be compared with ours'):
      othersets.embedded('model', given, tmp_path / 'none', ours=ours | change)


def save_model(path):
  net = {'name': 'iresnet', 'widths': (8, 16), 'blocks': (1,)}
  net['embedding_dim'] = 4
  backbone = backbones.build(**net, image_size=8)
  draw = np.random.default_rng(0)
  weights = jax.tree.map(
    lambda x: draw.uniform(0.1, 1, x.shape).astype(np.float32),
    jax.eval_shape(backbone.init, jax.random.key(0)),
  )
  description = modelcard.describe(
    backbone=net,
    image_size=8,
    scaling=scalings.STANDARD,
    embedding_dim=4,
    num_classes=1,
    source={},
  )
  model.save_model(path, description, *weights)


@pytest.mark.slow
def test_images_are_embedded_once_and_as_ours_were(tmp_path):
  save_model(tmp_path / 'net')
  draw = np.random.default_rng(1)
  for person in 'xy':
    (tmp_path / 'set' / person).mkdir(parents=True)
    for i in range(3):
      image = draw.integers(0, 256, (8, 8, 3), np.uint8)
      cv2.imwrite(str(tmp_path / 'set' / person / f'{i}.png'), image)
  images = imagesets.open_set(str(tmp_path / 'set'))
  form = store.Form('none', True, 'float16')
  extraction.compute(tmp_path / 'net', images, tmp_path / 'ours', form=form)
  ours = store.open_store(tmp_path / 'ours')
  arguments = tmp_path / 'net', str(tmp_path / 'set'), tmp_path / 'out'
  other = othersets.embedded(*arguments, ours=ours.meta)
  np.testing.assert_array_equal(other.features, ours.features)
  assert list(other.people.class_names) == ['x', 'y']
  written = (tmp_path / 'out' / store.FEATURES).stat().st_mtime_ns
  othersets.embedded(*arguments, ours=ours.meta)
  assert (tmp_path / 'out' / store.FEATURES).stat().st_mtime_ns == written
