"""Class means of features, and the rows of one class after the other.

Features may be memory-mapped and of millions of rows: they are read in blocks,
or class by class. Rows are divided by their length wherever they are read, so
features need not be normalised. A label of -1 is of a row that counts nowhere.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tqdm

_BLOCK = 8192


class Means(NamedTuple):
  """Where the rows of each class are."""

  # float32 [num_classes, d], of length 1; 0 for a class without rows.
  directions: np.ndarray
  # float64 [num_classes], the length of the mean of rows of length 1.
  lengths: np.ndarray
  sizes: np.ndarray  # int64 [num_classes], rows


def unit(rows: np.ndarray) -> np.ndarray:
  """Rows [n, d] divided by their lengths, float32; rows of 0 stay."""
  rows = np.asarray(rows, np.float32)
  lengths = np.linalg.norm(rows, axis=1, keepdims=True)
  return rows / np.maximum(lengths, np.finfo(np.float32).tiny)


class Unit:
  """Features [n, d] as they are read: float32 rows of length 1."""

  def __init__(self, features):
    """Takes an array, memory-mapped or not."""
    self._features, self.shape = features, features.shape

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows) -> np.ndarray:
    return unit(self._features[rows])


def of_classes(
  features, labels: np.ndarray, num_classes: int, progress: str = ''
) -> Means:
  """The means of all classes, in one pass over the rows.

  Args:
    features: [n, d], float32 or float16.
    labels: int [n], -1 .. num_classes - 1.
    num_classes: how many.
    progress: what a progress bar is headed; '' for none.
  """
  sums = np.zeros((num_classes, features.shape[1]))
  for start in bar(range(0, len(labels), _BLOCK), progress):
    some = labels[start : start + _BLOCK]
    order = np.argsort(some, kind='stable')
    order = order[np.searchsorted(some[order], 0) :]
    classes, firsts = np.unique(some[order], return_index=True)
    if len(classes):
      block = unit(features[start : start + _BLOCK])[order]
      sums[classes] += np.add.reduceat(block, firsts, axis=0)
  sizes = np.bincount(labels[labels >= 0], minlength=num_classes)
  lengths = np.linalg.norm(sums, axis=1)
  directions = sums / np.maximum(lengths, np.finfo(np.float64).tiny)[:, None]
  return Means(
    directions.astype(np.float32), lengths / np.maximum(sizes, 1), sizes
  )


def within(of_classes: Means) -> np.ndarray:
  """The mean cosine between two different rows of each class, float64 [n].

      (size length^2 - 1) / (size - 1)

  0 for a class of fewer than two rows.
  """
  sizes = np.maximum(of_classes.sizes, 2)
  found = (sizes * of_classes.lengths**2 - 1) / (sizes - 1)
  return np.where(of_classes.sizes > 1, found, 0.0)


class ByClass:
  """The rows of each class of some labels, int [n], -1 for none."""

  def __init__(self, labels: np.ndarray, num_classes: int):
    self._labels = labels
    self._order = np.argsort(labels, kind='stable')
    self._ends = np.searchsorted(
      labels, np.arange(num_classes + 1), sorter=self._order
    )

  def sorted(self) -> tuple[np.ndarray, np.ndarray]:
    """All rows, int64 [n], class by class, and their labels."""
    return self._order, self._labels[self._order]

  def rows(self, label: int) -> np.ndarray:
    """The rows of a class, int64, ascending."""
    return self._order[self._ends[label] : self._ends[label + 1]]

  def each(
    self, features, fewest: int, progress: str = ''
  ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields (class, its rows, their features of length 1), class by class.

    Args:
      features: [n, d].
      fewest: classes with fewer rows are left out.
      progress: what a progress bar is headed; '' for none.
    """
    large = np.flatnonzero(np.diff(self._ends) >= fewest)
    for label in bar(large.tolist(), progress):
      rows = self.rows(label)
      yield label, rows, unit(features[rows])


def bar(steps, progress: str) -> tqdm.tqdm:
  """`steps` with a progress bar; without one where `progress` is ''."""
  return tqdm.tqdm(
    steps, desc=progress, unit_scale=True, delay=1, disable=not progress
  )
