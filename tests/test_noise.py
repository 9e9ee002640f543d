"""Closed-set label noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfjax import errors
from bfjax.data import noise


def test_flips_the_floor_of_the_share_of_every_class():
  counts = np.array([10, 7, 1, 0, 33])
  labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), counts))
  flipped = noise.flip_labels(labels, 0.3, 5, seed=1) != labels
  np.testing.assert_array_equal(
    np.bincount(labels[flipped], minlength=5), [3, 2, 0, 0, 9]
  )


def test_same_seed_same_flips_and_input_untouched():
  labels = np.repeat(np.arange(6), 20)
  before = labels.copy()
  first = noise.flip_labels(labels, 0.2, 6, seed=3)
  again = noise.flip_labels(labels, 0.2, 6, seed=3)
  other = noise.flip_labels(labels, 0.2, 6, seed=4)
  np.testing.assert_array_equal(labels, before)
  np.testing.assert_array_equal(first, again)
  assert first.dtype == np.int32
  assert (first != other).any()


def test_wrong_labels_and_flipped_rows_are_uniform():
  num_classes, count = 5, 2000
  labels = np.repeat(np.arange(num_classes), count)
  given_labels = noise.flip_labels(labels, 0.5, num_classes, seed=0)
  flipped = given_labels != labels
  table = np.zeros((num_classes, num_classes), int)
  np.add.at(table, (labels[flipped], given_labels[flipped]), 1)
  others = table[~np.eye(num_classes, dtype=bool)]
  # 1000 flips of a class over 4 others: 250 each, deviation 13.7.
  assert (abs(others - 250) < 5 * 13.7).all()
  # The first half of a class is flipped as often as the second.
  halves = flipped.reshape(num_classes, 2, -1).mean(-1)
  assert (abs(halves - 0.5) < 0.06).all()


@settings(max_examples=50, deadline=None)
@given(
  counts=st.lists(st.integers(0, 30), min_size=2, max_size=8),
  percent=st.integers(0, 100),
  seed=st.integers(0, 2**40),
)
def test_number_of_flips_is_exact_for_whole_per_cents(counts, percent, seed):
  labels = np.repeat(np.arange(len(counts)), counts)
  given_labels = noise.flip_labels(labels, percent / 100, len(counts), seed)
  flips = np.bincount(labels[given_labels != labels], minlength=len(counts))
  np.testing.assert_array_equal(flips, np.array(counts) * percent // 100)
  assert ((given_labels >= 0) & (given_labels < len(counts))).all()


def test_strangers_take_the_place_of_rows_that_are_not_flipped():
  true = np.repeat(np.arange(5), 40)
  flipped = noise.flip_labels(true, 0.3, 5, seed=2)
  rows, labels = noise.replace_by_strangers(true, flipped, 0.5, 5, seed=2)
  np.testing.assert_array_equal(np.bincount(true[rows]), [20] * 5)
  assert (flipped[rows] == true[rows]).all()
  assert set(labels.tolist()) == set(range(5))
  again, _ = noise.replace_by_strangers(true, flipped, 0.5, 5, seed=2)
  np.testing.assert_array_equal(rows, again)
  # Where there are too few others, flipped ones too.
  rows, _ = noise.replace_by_strangers(true, flipped, 0.8, 5, seed=2)
  assert (np.bincount(true[rows]) == 32).all()
  assert (flipped[rows] == true[rows]).sum() == 5 * 28


@pytest.mark.parametrize(
  'labels, rate, num_classes, seed, message',
  [
    ([0, 1], -0.1, 2, 0, r'0 \.\. 1, not -0.1'),
    ([0, 1], 1.5, 2, 0, r'0 \.\. 1, not 1.5'),
    ([0, 0], 0.5, 1, 0, 'two are needed'),
    ([0, 2], 0.5, 2, 0, r'0 \.\. 1, but range from 0 to 2'),
    ([-1, 1], 0.5, 2, 0, 'range from -1 to 1'),
    ([0, 1], 0.5, 2, -1, 'must not be negative'),
  ],
)
def test_bad_values_are_named(labels, rate, num_classes, seed, message):
  with pytest.raises(errors.UserError, match=message):
    noise.flip_labels(np.array(labels), rate, num_classes, seed)
