"""Errors planted into the labels as they now seem.

Rows get the label of another class, and the people of whole classes become
strangers, whose class is no more: as many as seem to be there already.
"""

from typing import NamedTuple

import numpy as np

from bfjax.cleaning import secondlook
from bfjax.data.labelled import NOBODY

# So many rows at least are planted, of each kind, as far as there are rows.
_LEAST_RATE = 0.02


class Planted(NamedTuple):
  """A set with known truth: rows of the whole, labels among its classes.

  Attributes:
    rows: int64 [m].
    given: int32 [m], labels that are right or planted.
    true: int32 [m], `NOBODY` for strangers.
    belief: float32 [m], how likely that is: what seemed right need not be.
    num_classes: that are left.
  """

  rows: np.ndarray
  given: np.ndarray
  true: np.ndarray
  belief: np.ndarray
  num_classes: int


def plant(
  seen: secondlook.Look, given: np.ndarray, num_classes: int, seed: int
) -> Planted:
  """Takes what seems right for the truth, and makes some of it wrong.

  As many labels are wrong afterwards, of both kinds, as seem to be now.

  Args:
    seen: what was seen with the given labels.
    given: int32 [n].
    num_classes: C.
    seed: of the draw.
  """
  draw = np.random.default_rng(seed)
  rates = np.maximum(seen.rates, _LEAST_RATE)
  probability = seen.probability
  rows = np.flatnonzero(probability.argmax(1) != secondlook.OUTLIER)
  true = seen.proposed(given)[rows]
  # A label that stays was somebody's word; one that is new is ours.
  belief = np.where(true == given[rows], 1, probability[rows].max(1))
  count = min(int(np.ceil(rates[2] * num_classes)), num_classes - 3)
  number = np.full(num_classes, NOBODY, np.int32)
  left = np.sort(draw.permutation(num_classes)[count:])
  number[left] = np.arange(len(left))
  true = number[true]
  labels = true.copy()
  strangers = true == NOBODY
  labels[strangers] = draw.integers(len(left), size=strangers.sum())
  wrong = draw.random(len(rows)) < rates[1] / (rates[0] + rates[1])
  wrong &= ~strangers
  steps = draw.integers(1, len(left), size=wrong.sum())
  labels[wrong] = (true[wrong] + steps) % len(left)
  belief[strangers] = 1
  return Planted(rows, labels.astype(np.int32), true, belief, len(left))
