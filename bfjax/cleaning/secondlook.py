"""A second look at the labels: whose image is each, and how sure is that?

Means of classes are made with the given labels; the mixture of `mixture` tells
of each row how likely it is right, of the nearest other class, or of nobody;
the means are made anew with the likelier labels, each row as far as it is
believed and without those of nobody; and so on until nothing changes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.cleaning import classmeans, mixture

_ROUNDS = 8
_STILL = 1e-3  # share of rows that change their label: this is the fixed point

KEEP, RELABEL, OUTLIER = range(3)  # columns of `Look.probability`


class Look(NamedTuple):
  """What the embeddings say of n rows.

  Attributes:
    probability: float32 [n, 3], that the given label is right, that the nearest
      other class is the true one, that it is neither: sum 1.
    nearest: what `classmeans` says of each row.
    now: labels and weights of the last means.
    rates: float64 [3], shares of right rows, of others' and of nobody's.
    kappa: the concentration of the cosines.
  """

  probability: np.ndarray
  nearest: classmeans.Nearest
  now: classmeans.Labelling
  rates: np.ndarray
  kappa: float

  def proposed(self, given: np.ndarray) -> np.ndarray:
    """int32 [n]: the likelier of given label and nearest other class."""
    is_new = self.probability[:, RELABEL] > self.probability[:, KEEP]
    return np.where(is_new, self.nearest.nearest, given)


def look(
  features,
  given: np.ndarray,
  num_classes: int,
  *,
  start: tuple[int, classmeans.Labelling] | None = None,
  save: Callable[[int, classmeans.Labelling], None] | None = None,
  rounds: int = _ROUNDS,
  progress: str = '',
) -> Look:
  """Looks at all rows, to a fixed point.

  Args:
    features: float32 or float16 [n, d], of length 1, memory-mapped or not.
    given: int32 [n], 0 .. num_classes - 1.
    num_classes: C.
    start: rounds done and the labels after them, as `save` was given them.
    save: is called after every round but the last.
    rounds: at most.
    progress: what progress bars are headed; '' for none.

  Raises:
    UserError: if there are fewer than 3 classes.
  """
  if num_classes < 3:
    raise errors.UserError(
      f'{num_classes} classes: labels can be judged among 3 or more.'
    )
  done, now = start or (
    0,
    classmeans.Labelling(given, np.ones(len(given), np.float32)),
  )
  while True:
    title = progress and f'{progress}, round {done + 1}'
    nearest, fit = classmeans.nearest(
      features, given, now, num_classes, progress=title
    )
    likeness = nearest.given_likeness, nearest.nearest_likeness
    found = mixture.fit(*likeness)
    kinds = found.of(*likeness)
    relabel = kinds[:, mixture.OTHER] * nearest.share
    keep = kinds[:, mixture.RIGHT]
    seen = Look(
      np.stack([keep, relabel, 1 - keep - relabel], 1),
      nearest,
      now,
      found.rates,
      float(fit.kappa),
    )
    best = np.maximum(keep, relabel)
    after = classmeans.Labelling(
      seen.proposed(given),
      np.where(kinds[:, mixture.NOBODY] > best, 0, best).astype(np.float32),
    )
    done += 1
    changed = np.mean(after.label != now.label)
    if done >= rounds or changed < _STILL:
      return seen
    now = after
    if save:
      save(done, now)
