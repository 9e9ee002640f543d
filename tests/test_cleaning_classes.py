"""Classes: one person twice, two people, nobody, and images in two of them."""

import json

import numpy as np
import pytest

import spheres
from bfjax.cleaning import classes, findings, means, mixed, shared, twice

PEOPLE, ROWS = 120, 12
TWICE, TWO, JUNK = ((0, 1), (4, 5)), (10, 11, 12), (20, 21)
COPIES = ((30, 31), (40, 52))  # classes that have an image in common


@pytest.fixture(scope='module')
def planted():
  """features, labels and files of a set with all that can be wrong."""
  people = spheres.People(PEOPLE + len(TWO))
  label = np.repeat(np.arange(PEOPLE), ROWS)
  who = label.copy()
  for kept, other in TWICE:
    who[label == other] = kept
  for i, mix in enumerate(TWO):
    who[np.flatnonzero(label == mix)[: ROWS // 2]] = PEOPLE + i
  features = people.rows(who)
  for nobody in JUNK:
    features[label == nobody] = people.nobody(ROWS)
  files = [b'%d' % row for row in range(len(label))]
  for i, (first, second) in enumerate(COPIES):
    source, copy = (np.flatnonzero(label == x)[3] for x in (first, second))
    features[copy] = features[source]
    # The second one is nearly the same image, in a file of its own.
    if i:
      features[copy] = spheres.unit(people.nobody(1) * 0.01 + features[copy])
    else:
      files[copy] = files[source]
  # float16 and of any length: as features may be on disk.
  lengths = np.random.default_rng(1).uniform(1, 30, (len(label), 1))
  return (features * lengths).astype(np.float16), label.astype(np.int32), files


@pytest.fixture(scope='module')
def found(planted):
  features, labels, files = planted
  return classes.find(
    features,
    labels,
    labels,
    PEOPLE,
    read=lambda rows: [files[row] for row in rows],
    progress=False,
  )


@pytest.mark.parametrize(
  ('kind', 'expected'),
  [
    ('twice', set(TWICE)),
    ('two people', {(x,) for x in TWO}),
    ('junk', {(x,) for x in JUNK}),
    ('shared', set(COPIES)),
  ],
)
def test_what_was_planted_is_found_and_nothing_else(found, kind, expected):
  assert {x.classes for x in found if x.kind == kind} == expected


def test_findings_have_evidence_and_rows_to_look_at(planted, found):
  _, labels, _ = planted
  for finding in found:
    assert 0 <= finding.false_rate <= 0.05
    for rows in finding.rows:
      assert 0 < len(rows) <= 8
      assert set(labels[rows]) <= set(finding.classes)
    if finding.kind in ('twice', 'shared'):
      assert finding.evidence['cosine'] >= finding.evidence['threshold'] > 0.5
  of_twice = next(x.evidence for x in found if x.kind == 'twice')
  assert of_twice['first_nearer'] > 0 and of_twice['second_nearer'] > 0
  of_two = next(x.evidence for x in found if x.kind == 'two people')
  assert (of_two['first'], of_two['second']) == (ROWS // 2, ROWS // 2)


def test_the_same_file_is_told_from_nearly_the_same_image(found):
  same = {
    x.classes: x.evidence['same_files'] for x in found if x.kind == 'shared'
  }
  assert same == {COPIES[0]: 1, COPIES[1]: 0}
  for finding in found:
    if finding.kind == 'shared':
      places = [row % ROWS for rows in finding.rows for row in rows]
      assert places == [3, 3]


def test_a_clean_set_has_no_findings():
  labels = np.repeat(np.arange(PEOPLE), ROWS).astype(np.int32)
  features = spheres.People(PEOPLE, seed=5).rows(labels)
  assert not classes.find(features, labels, labels, PEOPLE, progress=False)


def test_sets_that_are_too_small_or_have_gaps_are_told_nothing_of():
  features = spheres.People(3).rows([0, 0, 1, 2, 2])
  labels = np.array([0, 0, 1, 3, -1], np.int32)
  assert not classes.find(features, labels, labels, 4, progress=False)


def test_merged_classes_are_the_lowest_of_one_person(found):
  merged = twice.merged(found, PEOPLE)
  changed = np.flatnonzero(merged != np.arange(PEOPLE))
  assert changed.tolist() == [1, 5] and merged[changed].tolist() == [0, 4]
  first = next(x for x in found if x.kind == 'twice')
  of_three = [first._replace(classes=x) for x in ((7, 9), (3, 7))]
  assert twice.merged(of_three, 10).tolist() == [0, 1, 2, 3, 4, 5, 6, 3, 8, 3]
  assert twice.merged([], 2).tolist() == [0, 1]


def test_means_are_those_of_unit_rows_in_any_order_and_block(monkeypatch):
  draw = np.random.default_rng(0)
  features = draw.normal(size=(50, 6)).astype(np.float32) * 7
  labels = draw.integers(-1, 5, 50)
  labels[labels == 2] = 1  # a class without rows
  monkeypatch.setattr(means, '_BLOCK', 7)
  found = means.of_classes(features, labels, 5)
  for label in (0, 1, 3, 4):
    rows = spheres.unit(features[labels == label].astype(np.float64))
    mean = rows.mean(axis=0)
    length = np.linalg.norm(mean)
    np.testing.assert_allclose(found.lengths[label], length, rtol=1e-6)
    np.testing.assert_allclose(
      found.directions[label], mean / length, atol=1e-6
    )
    cosines = rows @ rows.T
    of_pairs = cosines[np.triu_indices(len(rows), 1)].mean()
    np.testing.assert_allclose(means.within(found)[label], of_pairs, atol=1e-6)
  assert (
    found.sizes.tolist() == np.bincount(labels + 1, minlength=6)[1:].tolist()
  )
  assert not found.directions[2].any()


def test_halves_are_the_two_people():
  rows = spheres.People(2, spread=0.7).rows([0, 1, 1, 0, 1, 0, 0, 1])
  first = mixed.halves(rows)
  assert first.tolist() in (
    [True, False, False, True, False, True, True, False],
    [False, True, True, False, True, False, False, True],
  )


def test_findings_are_the_same_after_json(found):
  again = findings.from_json(json.loads(json.dumps(findings.to_json(found))))
  assert [x[:4] for x in again] == [x[:4] for x in found]
  for one, other in zip(again, found, strict=True):
    assert [x.tolist() for x in one.rows] == [x.tolist() for x in other.rows]


def test_copies_of_a_file_are_found_where_images_are_much_alike():
  """As frames of a video are."""
  labels = np.repeat(np.arange(40), 10).astype(np.int32)
  features = spheres.People(40, spread=0.01).rows(labels)
  features[395] = features[5] * np.float32(1 + 1e-6)
  by_class = means.ByClass(labels, 40)
  found = shared.find(features, labels, by_class)
  assert [x.classes for x in found] == [(0, 39)]
  assert [rows.tolist() for rows in found[0].rows] == [[5], [395]]
