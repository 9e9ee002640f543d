"""Rows: who they are of, how sure that is, and how sure that is told to be."""

import numpy as np
import pytest

from bfjax import errors
from bfjax.cleaning import (
  agreement,
  calibration,
  classmeans,
  judging,
  mixture,
  planting,
  scoring,
  secondlook,
)
from bfjax.cleaning.verdicts import KEEP, OUTLIER, RELABEL, UNSURE
from tests import spheres

CLASSES, EACH = 40, 15
NOBODY = -1


def noisy(seed, flips=0.2, strangers=0.0, spread=0.7, each=EACH):
  """Features, given and true labels of made-up people."""
  draw = np.random.default_rng(seed)
  people = spheres.People(CLASSES, seed, spread)
  true = np.repeat(np.arange(CLASSES), each)
  features = people.rows(true)
  given = true.copy()
  wrong = draw.random(len(true)) < flips
  given[wrong] = (
    true[wrong] + draw.integers(1, CLASSES, wrong.sum())
  ) % CLASSES
  away = draw.random(len(true)) < strangers
  features[away] = people.nobody(away.sum())
  given[away] = draw.integers(CLASSES, size=away.sum())
  true[away] = NOBODY
  return features, given.astype(np.int32), true.astype(np.int32)


def brute(features, given, now):
  """Cosines to the means without the row, and likenesses, in float64."""
  x, w = features.astype(np.float64), now.weight.astype(np.float64)
  cosine, size = np.zeros((2, len(x), CLASSES))
  own = pairs = 0.0
  for k in range(CLASSES):
    of_class = now.label == k
    total, weight = (w[of_class, None] * x[of_class]).sum(0), w[of_class].sum()
    squares = (w[of_class] ** 2).sum()
    own, pairs = own + total @ total - squares, pairs + weight**2 - squares
    for i in range(len(x)):
      rest = total - of_class[i] * w[i] * x[i]
      length = np.linalg.norm(rest)
      cosine[i, k] = x[i] @ rest / length if length > 1e-6 else 0
      size[i, k] = max(weight - of_class[i] * w[i], 1)
  alike = own / pairs
  return cosine, cosine * np.sqrt((1 + (size - 1) * alike) / (size * alike))


def test_cosines_leave_the_row_itself_out():
  features, given, _ = noisy(0, each=4)
  draw = np.random.default_rng(1)
  label = np.where(draw.random(len(given)) < 0.1, 0, given).astype(np.int32)
  label[given == 7] = 0
  label[np.flatnonzero(given == 7)[0]] = 7  # alone in its class
  weight = draw.random(len(given)).astype(np.float32)
  now = classmeans.Labelling(label, weight)
  cosine, likeness = brute(features, given, now)
  found, fit = classmeans.nearest(features, given, now, CLASSES)
  rows = np.arange(len(given))
  near = {'atol': 3e-6, 'rtol': 0}  # float32 against float64
  np.testing.assert_allclose(found.given_cosine, cosine[rows, given], **near)
  np.testing.assert_allclose(
    found.given_likeness, likeness[rows, given], **near
  )
  likeness[rows, given] = -9
  best = likeness.argmax(1)
  np.testing.assert_array_equal(found.nearest, best)
  np.testing.assert_allclose(found.nearest_cosine, cosine[rows, best], **near)
  np.testing.assert_allclose(found.nearest_likeness, likeness.max(1), **near)
  odds = np.exp(fit.kappa * (likeness - likeness.max(1, keepdims=True)))
  np.testing.assert_allclose(found.share, 1 / odds.sum(1), rtol=1e-3)


def test_memory_mapped_halves_give_what_memory_gives(tmp_path):
  features, given, _ = noisy(0)
  np.save(tmp_path / 'x.npy', features.astype(np.float16))
  mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
  now = classmeans.Labelling(given, np.ones(len(given), np.float32))
  one, _ = classmeans.nearest(mapped, given, now, CLASSES)
  two, _ = classmeans.nearest(np.array(mapped), given, now, CLASSES)
  for a, b in zip(one, two, strict=True):
    np.testing.assert_array_equal(a, b)


def test_the_mixture_tells_the_shares_of_all_three_kinds():
  draw = np.random.default_rng(0)
  kind = draw.choice(3, 20000, p=[0.6, 0.25, 0.15])
  itself, others = draw.normal(0.8, 0.08, 20000), draw.normal(0.4, 0.05, 20000)
  wrong, strangers = draw.normal(0, 0.2, 20000), draw.normal(0.45, 0.06, 20000)
  a = np.where(kind == mixture.RIGHT, itself, wrong)
  b = np.choose(kind, [others, itself, strangers])
  found = mixture.fit(a, b)
  np.testing.assert_allclose(found.rates, [0.6, 0.25, 0.15], atol=0.01)
  assert (found.of(a, b).argmax(1) == kind).mean() > 0.98


def test_labels_learned_by_heart_are_still_told():
  # A wrong label that the net has learned draws its row to the wrong mean.
  draw = np.random.default_rng(0)
  is_right = draw.random(20000) < 0.8
  itself, others = draw.normal(0.85, 0.05, 20000), draw.normal(0.4, 0.05, 20000)
  a = np.where(is_right, itself, draw.normal(0.4, 0.15, 20000))
  b = np.where(is_right, others, itself - 0.1)
  assert abs(mixture.fit(a, b).rates[mixture.RIGHT] - 0.8) < 0.01


@pytest.mark.parametrize('flips', [0.0, 0.2, 0.4])
def test_wrong_labels_are_set_right(flips):
  features, given, true = noisy(3, flips)
  seen = secondlook.look(features, given, CLASSES)
  wrong = seen.proposed(given) != true
  assert wrong.mean() < 0.02
  assert wrong[given == true].mean() < 0.005
  assert abs(1 - seen.rates[0] - (given != true).mean()) < 0.02


def test_a_look_goes_on_where_it_was_stopped():
  features, given, _ = noisy(4, strangers=0.1)
  states = []
  whole = secondlook.look(
    features, given, CLASSES, save=lambda *done: states.append(done)
  )
  rest = secondlook.look(features, given, CLASSES, start=states[0])
  np.testing.assert_array_equal(whole.probability, rest.probability)


def test_two_classes_are_too_few():
  features, given, _ = noisy(0)
  with pytest.raises(errors.UserError, match='3 or more'):
    secondlook.look(features, given % 2, 2)


def test_what_is_planted_is_as_much_as_there_is_and_known():
  features, given, _ = noisy(5, flips=0.2, strangers=0.2)
  seen = secondlook.look(features, given, CLASSES)
  made = planting.plant(seen, given, CLASSES, seed=0)
  away = made.true == NOBODY
  assert 0.1 < away.mean() < 0.3
  assert 0.15 < (made.given != made.true)[~away].mean() < 0.35
  assert made.given.max() < made.num_classes < CLASSES
  again = planting.plant(seen, given, CLASSES, seed=0)
  np.testing.assert_array_equal(made.given, again.given)


def test_confidences_that_are_too_high_are_lowered():
  draw = np.random.default_rng(0)
  odds = draw.normal(3, 2, 4000)
  told = 1 / (1 + np.exp(-odds))
  true = 1 / (1 + np.exp(-(0.5 * odds - 0.5)))
  kind = np.full(4000, RELABEL, np.uint8)
  right = (draw.random(4000) < true).astype(np.float32)
  tried = calibration.Trial(kind, told, right, kind.astype(np.int8), kind)
  lines = calibration.lines(tried)
  np.testing.assert_allclose(
    calibration.corrected(lines, kind, told), true, atol=0.06
  )
  # Of the other verdicts nothing is known: they stay.
  np.testing.assert_array_equal(lines[[KEEP, OUTLIER]], [[0, 1], [0, 1]])


@pytest.fixture(scope='module')
def judged(tmp_path_factory):
  """What is found of a set, the verdicts on it, and the truth."""
  features, given, true = noisy(6, strangers=0.1, spread=0.9, each=30)
  state = tmp_path_factory.mktemp('state')
  found, again = (
    judging.judge(features, given, CLASSES, state=state, progress=False)
    for _ in range(2)
  )
  for a, b in zip(found[:-1], again[:-1], strict=True):
    np.testing.assert_array_equal(a, b)
  rows = judging.verdicts_of(
    found,
    given,
    [f'{row}.jpg' for row in range(len(given))],
    limits=judging.Limits(0.9, 0.0),
    history=tuple(np.zeros((2, len(given)), np.int32)),
  )
  return found, rows, true


def test_confidence_is_how_often_a_verdict_is_right(judged):
  found, rows, true = judged
  for one in scoring.reliability(rows, found.trial, true):
    if one['count'] >= 50:
      assert abs(one['predicted'] - one['measured_true']) < 0.06, one


def test_verdicts_fit_their_numbers(judged):
  _, rows, true = judged
  relabel = rows.verdict == RELABEL
  assert (rows.proposed != rows.given)[relabel].all()
  assert (rows.proposed == rows.given)[rows.verdict == KEEP].all()
  assert (rows.confidence[rows.verdict == KEEP] >= 0.9).all()
  assert (rows.confidence[rows.verdict == UNSURE] < 0.9).all()
  assert rows.neighbour_agreement[relabel].mean() > 0.5
  scores = scoring.scores(rows, true)
  assert scores['set_right_of_flipped'] > 0.9
  assert scores['left_out_of_strangers'] > 0.8
  assert scores['wrong_of_cleaned'] < scores['wrong_given'] / 5


def test_neighbours_of_a_row_are_others():
  features = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1]]
  proposed = np.array([0, 0, 1, 1, 1], np.int32)
  found = agreement.neighbours(features, proposed, np.zeros(5, np.float32))
  np.testing.assert_allclose(found, [0.25, 0.25, 0.5, 0.5, 0.5])
