"""Pairs of queries and rows that may be among the best, by rough products."""

import numpy as np


class Pool:
  """Candidates for the k highest products of each of some queries.

  A pool of one query takes candidates of any queries for those of one.

  Attributes:
    kth: float32 [queries]: at least k rough products are known to reach it.
    size: how many candidates there are.
    settled: how many there were when they were last looked through.
  """

  def __init__(self, num_queries: int, k: int):
    self._k = k
    self.kth = np.full(num_queries, -np.inf, np.float32)
    self.size = self.settled = 0
    nothing = np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, int)
    self._parts = [nothing]

  def floor(self, slack: np.ndarray) -> np.ndarray:
    """float32 [queries]: what is below it cannot be among the k highest.

    Args:
      slack: how wrong rough products may be, of each query or of all.
    """
    return np.nextafter(np.float32(self.kth - 2 * slack), np.float32(-np.inf))

  def add(self, rough: np.ndarray, query: np.ndarray, row: np.ndarray) -> None:
    """Takes rough products float32 [n] of queries and rows int [n]."""
    self._parts.append((rough, query, row))
    self.size += len(rough)

  def candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All rough products, queries and rows."""
    if len(self._parts) > 1:
      parts = zip(*self._parts, strict=True)
      self._parts = [tuple(np.concatenate(part) for part in parts)]
    return self._parts[0]

  def keep(self, which: np.ndarray) -> None:
    """Drops all candidates but those, a mask or their numbers."""
    self._parts = [tuple(part[which] for part in self.candidates())]
    self.size = self.settled = len(self._parts[0][0])

  def prune(self, slack: np.ndarray) -> None:
    """Drops what others have overtaken for good."""
    rough, query, _ = self.candidates()
    if len(self.kth) == 1:
      query = np.zeros(len(rough), np.int32)
    kth = kth_of_groups(rough, query, self._k, len(self.kth))
    self.kth = np.maximum(self.kth, kth)
    self.keep(rough >= self.floor(slack)[query])


def place(group: np.ndarray) -> np.ndarray:
  """The place of each entry in its run of equal entries, from 0."""
  new = np.r_[True, group[1:] != group[:-1]][: len(group)]
  starts = np.flatnonzero(new)
  return np.arange(len(group)) - starts[np.cumsum(new) - 1]


def kth_of_groups(
  values: np.ndarray, group: np.ndarray, k: int, num_groups: int
) -> np.ndarray:
  """float32 [num_groups]: the k-th highest value of each, -inf if too few.

  The group and the float32, as a number that falls as it rises, make one
  64-bit key: sorting these is several times as fast as sorting by two.

  Args:
    values: float32 [n], no NaN.
    group: int [n], 0 <= group < num_groups.
    k: from 1.
    num_groups: how many groups there are.
  """
  bits = np.negative(values).view(np.uint32)
  rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
  keys = (group.astype(np.uint64) << np.uint64(32)) | rising
  keys.sort()
  counts = np.bincount(group, minlength=num_groups)
  enough = counts >= k
  chosen = keys[(np.cumsum(counts) - counts + k - 1)[enough]].astype(np.uint32)
  sign = np.uint32(1 << 31)
  bits = np.where(chosen & sign, chosen & ~sign, ~chosen)
  out = np.full(num_groups, -np.inf, np.float32)
  out[enough] = -bits.view(np.float32)
  return out
