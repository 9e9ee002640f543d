"""Right, somebody else's or nobody's: a mixture told from two cosines a row.

Of each row two numbers are known: a, the cosine to the mean of its given label,
and b, that to the nearest other mean. There are three kinds of rows,

    right            a is the cosine of a person to itself        ~ T
                     b the highest of those to others             ~ M
    somebody else's  a is that to a wrong label                   ~ W
                     b that of a person to itself                 ~ T
    nobody's         a is that to a wrong label                   ~ W
                     b the highest of those to others             ~ S

in shares of the whole that are asked for: 1 - the first is the noise rate. T, M
and W are any smooth densities, S a normal one that begins as M does, because
people whom the net was not trained on are not pushed away from its classes. T
in two places is what makes the parts known without any truth: how images of a
person lie about their own mean is learned from rows with right labels, and
found again, by b, in those with wrong ones. W need not be what chance gives, so
labels that a net has learned by heart, which draw their rows towards the wrong
mean, are still told from right ones.

Expectation maximisation on the counts of a grid of (a, b): its time does not
grow with the rows.
"""

from typing import NamedTuple

import numpy as np

# Cells of the grid a side, over -1 .. 1, and the width of the smoothing.
_CELLS, _WIDTH = 201, 0.03
_CENTRES = np.linspace(-1, 1, _CELLS)
_STEP = _CENTRES[1] - _CENTRES[0]
# So many rounds with S = M, then with S free until nothing changes.
_FIRST, _ROUNDS, _TOLERANCE = 15, 500, 1e-6
_FLOOR = 1e-4  # of a density: a cosine that was never seen is not impossible
# S is as if so many rows of it had been seen that are distributed as M.
_PRIOR_ROWS = 20
_SMOOTHING = np.exp(-0.5 * ((_CENTRES[:, None] - _CENTRES[None]) / _WIDTH) ** 2)
_SMOOTHING /= _SMOOTHING.sum(0)

RIGHT, OTHER, NOBODY = range(3)


class Mixture(NamedTuple):
  """What was found.

  Attributes:
    rates: float64 [3], the shares of the kinds.
    table: float32 [cells, cells, 3], P(kind | a, b).
  """

  rates: np.ndarray
  table: np.ndarray

  def of(self, given_cosine, nearest_cosine) -> np.ndarray:
    """float32 [n, 3]: P(right), P(somebody else's), P(nobody's) of rows."""
    return self.table[_cell(given_cosine), _cell(nearest_cosine)]


def _cell(cosine):
  return np.rint((np.clip(cosine, -1, 1) + 1) / _STEP).astype(np.int64)


def fit(given_cosine: np.ndarray, nearest_cosine: np.ndarray) -> Mixture:
  """The most likely mixture.

  Args:
    given_cosine: float [n], a.
    nearest_cosine: float [n], b.
  """
  cell = _cell(given_cosine) * _CELLS + _cell(nearest_cosine)
  count = np.bincount(cell, minlength=_CELLS**2).reshape(_CELLS, _CELLS)
  num_rows = max(count.sum(), 1)
  # To begin with, the nearer of the two means is believed.
  is_right = (_CENTRES[:, None] > _CENTRES[None]).astype(float)
  kinds = np.stack([is_right, 1 - is_right, np.full_like(is_right, 0.02)], -1)
  kinds /= kinds.sum(-1, keepdims=True)
  rates = np.zeros(3)
  for step in range(_ROUNDS):
    weight = count[..., None] * kinds
    before, rates = rates, weight.sum((0, 1)) / num_rows
    if step > _FIRST and np.abs(rates - before).max() < _TOLERANCE:
      break
    given, nearest = weight.sum(1), weight.sum(0)  # [cells, 3] each
    itself = _density(given[:, RIGHT] + nearest[:, OTHER])
    others = _density(nearest[:, RIGHT])
    wrong = _density(given[:, OTHER] + given[:, NOBODY])
    strangers = others
    if step >= _FIRST:
      strangers = _normal(nearest[:, NOBODY], nearest[:, RIGHT])
    kinds = np.stack(
      [
        rates[RIGHT] * itself[:, None] * others[None],
        rates[OTHER] * wrong[:, None] * itself[None],
        rates[NOBODY] * wrong[:, None] * strangers[None],
      ],
      -1,
    )
    kinds /= kinds.sum(-1, keepdims=True)
  return Mixture(rates, kinds.astype(np.float32))


def _density(weight):
  """A smooth density at the centres, from weights of the cells."""
  return _SMOOTHING @ weight / (max(weight.sum(), 1e-9) * _STEP) + _FLOOR


def _normal(weight, prior):
  """The normal density of weights, beside `_PRIOR_ROWS` rows of `prior`."""
  weight = weight + prior * (_PRIOR_ROWS / max(prior.sum(), 1e-9))
  weight = weight / weight.sum()
  mean = weight @ _CENTRES
  deviation = np.sqrt(weight @ (_CENTRES - mean) ** 2 + _WIDTH**2)
  found = np.exp(-0.5 * ((_CENTRES - mean) / deviation) ** 2)
  return found / (found.sum() * _STEP) + _FLOOR
