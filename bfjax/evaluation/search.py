"""Exact search for the highest inner products with a large gallery.

One pass over the products of all queries with all gallery rows serves any
number of collectors: `TopK` keeps the best rows of each query, `Highest` the
best products of all. Each says from which product on a pair is still of
interest to it, keeps what reaches that, and drops what others have overtaken
by more than the products may be wrong; the few that stay are compared by
exact products (see `products`). So results depend neither on the devices nor
on the size of blocks nor on the order of rows, and memory stays bounded: the
gallery is read in blocks and may be memory-mapped. A million rows of 512
floats take 0.4 GB beside the gallery itself.

Where nearly all products are equal within the rounding of float32, as of a
network that has collapsed, all are computed exactly: some microseconds each.
"""

import logging
from collections.abc import Sequence

import jax
import numpy as np

from bfjax.evaluation import candidates
from bfjax.evaluation.protocols import products

_log = logging.getLogger(__name__)

# Candidates that are kept beyond those wanted before they are looked through,
# and before ties among them are settled by exact products: 16 bytes each.
_SPARE = 1 << 16
_MANY = 1 << 22


class TopK:
  """Collects the k gallery rows of the highest products for each query."""

  def __init__(self, queries: np.ndarray, gallery, k: int):
    """Takes what is to be searched: as in `top_k`."""
    self._queries, self._gallery, self._k = queries, gallery, k
    self._lengths = products.lengths(queries)
    self._radius = 0.0
    self._warned = False
    self._pools = {}  # first query of a block -> its candidates

  def floor(self, block: products.Block) -> np.ndarray:
    """float32 [queries]: rough products below it are of no interest."""
    self._radius = max(self._radius, block.radius)
    start = block.queries.start
    if start not in self._pools:
      self._pools[start] = candidates.Pool(
        len(self._lengths[block.queries]), self._k
      )
    pool = self._pools[start]
    new = ~np.isfinite(pool.kth)
    if new.any():
      pool.kth = np.maximum(pool.kth, block.kth(self._k))
    return pool.floor(self._slack(block.queries))

  def add(self, block: products.Block, rough, query, row) -> None:
    """Takes candidates, as `products.Block.at_least` yields them."""
    pool = self._pools[block.queries.start]
    pool.add(rough, query, row)
    if pool.size > 2 * pool.settled + _SPARE:
      self._prune(block.queries.start)

  def result(self) -> tuple[np.ndarray, np.ndarray]:
    """(products float64 [q, k], rows int64 [q, k]), as of `top_k`."""
    scores, rows = [], []
    for start in sorted(self._pools):
      self._prune(start)
      exact, row = self._best(start)[:2]
      scores.append(exact.reshape(-1, self._k))
      rows.append(row.reshape(-1, self._k))
    return np.concatenate(scores), np.concatenate(rows)

  def _slack(self, queries):
    dim = self._queries.shape[1]
    return products.slack(self._lengths[queries], self._radius, dim)

  def _prune(self, start):
    pool = self._pools[start]
    pool.prune(self._slack(slice(start, start + len(pool.kth))))
    if pool.size > 4 * len(pool.kth) * self._k + _MANY:
      self._warn()
      pool.keep(self._best(start)[2])

  def _warn(self):
    if not self._warned:
      _log.warning(
        'Most products of features are equal within the rounding of float32:'
        ' the search will take long. Has the network collapsed?'
      )
    self._warned = True

  def _best(self, start):
    """The k best candidates of each query by exact products.

    Returns:
      their products, their rows and where they are in the pool; k a query,
      query by query.
    """
    pool = self._pools[start]
    _, query, row = pool.candidates()
    exact = products.exact(self._queries, self._gallery, start + query, row)
    order = np.lexsort((row, -exact, query))
    order = order[candidates.place(query[order]) < self._k]
    return exact[order], row[order], order


class Highest:
  """Collects the highest products of all queries with all rows."""

  def __init__(self, queries: np.ndarray, gallery, count: int):
    """Takes what is to be searched, and how many products to keep."""
    self._queries, self._gallery, self._count = queries, gallery, count
    self._longest = float(np.max(products.lengths(queries), initial=0.0))
    self._radius = 0.0
    self._pool = candidates.Pool(1, count)  # as of one query
    self._exact = np.empty(0)  # of candidates no longer in the pool

  def floor(self, block: products.Block) -> np.ndarray:
    """float32 [queries]: rough products below it are of no interest."""
    self._radius = max(self._radius, block.radius)
    if not np.isfinite(self._pool.kth[0]):
      self._pool.kth[0] = block.kth_of_all(self._count)
    floor = self._pool.floor(self._slack())
    return np.broadcast_to(floor, len(self._queries[block.queries]))

  def add(self, block: products.Block, rough, query, row) -> None:
    """Takes candidates, as `products.Block.at_least` yields them."""
    pool = self._pool
    pool.add(rough, block.queries.start + query, row)
    if pool.size > 2 * pool.settled + _SPARE:
      pool.prune(self._slack())
      if pool.size > 4 * self._count + _MANY:
        self._settle()

  def result(self) -> np.ndarray:
    """float64 [min(count, pairs)]: the highest products, descending."""
    self._pool.prune(self._slack())
    self._settle()
    return np.sort(self._exact)[::-1]

  def _slack(self):
    dim = self._queries.shape[1]
    return products.slack(self._longest, self._radius, dim)

  def _settle(self):
    """Replaces candidates by their exact products, the highest of them."""
    _, query, row = self._pool.candidates()
    exact = products.exact(self._queries, self._gallery, query, row)
    self._exact = np.sort(np.concatenate([self._exact, exact]))[-self._count :]
    self._pool.keep(np.empty(0, int))


def scan(
  queries: np.ndarray,
  gallery,
  collectors: Sequence[TopK | Highest],
  rows: slice = slice(None),
  **options,
) -> None:
  """Shows the products of all queries with gallery rows to the collectors.

  Args:
    queries: float32 [q, d].
    gallery: [n, d], see `products.blocks`.
    collectors: made for the same queries and gallery.
    rows: of the gallery, consecutive ones that the collectors have not seen.
    **options: of `products.blocks`.

  Raises:
    UserError: if features are not finite.
  """
  for block in products.blocks(queries, gallery, rows, **options):
    floors = [collector.floor(block) for collector in collectors]
    for rough, query, row in block.at_least(np.min(floors, axis=0)):
      for collector, floor in zip(collectors, floors, strict=True):
        reached = rough >= floor[query]
        collector.add(block, rough[reached], query[reached], row[reached])


def top_k(
  queries: np.ndarray,
  gallery,
  k: int,
  *,
  shape: tuple[int, int] | None = None,
  devices: Sequence[jax.Device] | None = None,
  progress: str = '',
) -> tuple[np.ndarray, np.ndarray]:
  """The k gallery rows with the highest inner product for each query.

  Args:
    queries: float32 [q, d].
    gallery: [n, d] float32 or float16, n >= k: an array, memory-mapped or not,
      or anything with `shape` that gives rows by a slice and by an array of
      row numbers.
    k: how many.
    shape: queries and gallery rows of a block; None for what suits the device.
    devices: None for all of this process.
    progress: what a progress bar is headed; '' for none.

  Returns:
    products float64 [q, k], descending, and rows int64 [q, k]. Rows of equal
    products are in ascending order, the lowest first.

  Raises:
    UserError: if features are not finite.
  """
  if not 0 < k <= gallery.shape[0]:
    raise ValueError(f'the {k} best of {gallery.shape[0]} rows')
  best = TopK(queries, gallery, k)
  scan(
    queries,
    gallery,
    [best],
    shape=shape,
    devices=devices,
    progress=progress,
  )
  return best.result()
