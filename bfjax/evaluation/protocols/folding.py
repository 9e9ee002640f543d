"""Contiguous folds of pairs, each with a threshold chosen on the others."""

import itertools
from collections.abc import Callable

import numpy as np

from bfjax import errors


def bounds(num_pairs: int, folds: int) -> list[tuple[int, int]]:
  """First and last + 1 pair of each fold; the first ones are 1 longer."""
  sizes = [len(x) for x in np.array_split(np.arange(num_pairs), folds)]
  ends = np.cumsum([0, *sizes]).tolist()
  return list(itertools.pairwise(ends))


def fold_of(num_pairs: int, folds: int) -> np.ndarray:
  """int [n]: the fold of each pair, from 0."""
  sizes = [b - a for a, b in bounds(num_pairs, folds)]
  return np.repeat(np.arange(folds), sizes)


def check(num_pairs: int, folds: int, equal: bool) -> None:
  """Raises UserError if the pairs cannot be split, or not in `equal` folds."""
  if folds < 2:
    raise errors.UserError(
      f'{folds} folds: there must be at least 2, since the threshold for a '
      'fold is chosen on the others.'
    )
  if num_pairs < folds:
    raise errors.UserError(
      f'{num_pairs} pairs cannot be split into {folds} folds. Give more pairs '
      'or fewer folds.'
    )
  if equal and num_pairs % folds:
    raise errors.UserError(
      f'{num_pairs} pairs cannot be split into {folds} equal folds, as the '
      'protocol boundaryface needs: '
      f'{num_pairs % folds} would be left over. Complete the pair list, change '
      'the number of folds, or leave this protocol out.'
    )


def of_one_kind(same: np.ndarray, folds: int) -> list[int]:
  """The folds, from 0, whose pairs are all of one person or all of two.

  The threshold for such a fold is chosen on pairs of which the others are
  mostly: its accuracy tells of the order of the pairs, not of the features.
  """
  return [
    k
    for k, (a, b) in enumerate(bounds(len(same), folds))
    if len(set(same[a:b])) == 1
  ]


def thresholds(
  scores: np.ndarray,
  same: np.ndarray,
  choose: Callable[[np.ndarray, np.ndarray], float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Chooses the threshold of each fold on the pairs of the others.

  Args:
    scores: float64 [folds, n], of all pairs as each fold sees them.
    same: bool [n].
    choose: (scores, same) -> threshold.

  Returns:
    float64 [folds] thresholds; and of each pair, float64 [n], the score as its
    own fold sees it, and the threshold of that fold.
  """
  parts = bounds(len(same), len(scores))
  chosen = np.array(
    [
      choose(np.delete(seen, np.s_[a:b]), np.delete(same, np.s_[a:b]))
      for seen, (a, b) in zip(scores, parts, strict=True)
    ]
  )
  fold = fold_of(len(same), len(scores))
  return chosen, scores[fold, np.arange(len(same))], chosen[fold]
