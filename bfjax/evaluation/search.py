"""Search for the highest inner products with a large gallery.

One pass over the float32 products of all queries with all gallery rows, block
by block on the devices, serves any number of collectors: `TopK` keeps the best
rows of each query, `Highest` the best products of all. Each keeps a few more
than it is asked for, and ranks these again by exact products in float64 (see
`products`), equal ones in the order of the rows.

So results are the same on any devices and for any order of rows, unless more
than `_SPARE` products lie within the rounding of float32 (1e-7 for features of
length 1) of the last that is wanted, as of a network that has collapsed: then
some that are as high within that rounding may stand in for others.

Memory stays bounded: the gallery is read in blocks and may be memory-mapped.
"""

from collections.abc import Sequence

import numpy as np

from bfjax.evaluation import blocks
from bfjax.evaluation.protocols import products

# Products that are kept beyond those wanted.
_SPARE = 32
# New ones that are collected before those that others overtook are dropped.
_MANY = 1 << 17


class _Collector:
  """The products that may count, with their queries and rows."""

  def __init__(self, queries, gallery):
    self._queries, self._gallery = queries, gallery
    # The first part is what has been kept, the others are new.
    self._parts = [
      (np.empty(0, np.float32), np.empty(0, int), np.empty(0, int))
    ]
    self._num_new = 0

  def add(self, rough: np.ndarray, query: np.ndarray, row: np.ndarray) -> None:
    """Takes products float32 [n] of queries and gallery rows, int [n]."""
    self._parts.append((rough, query, row))
    self._num_new += len(rough)
    if self._num_new > len(self._parts[0][0]) + _MANY:
      self._prune()

  def _all(self):
    return tuple(map(np.concatenate, zip(*self._parts, strict=True)))

  def _keep(self, *part):
    self._parts, self._num_new = [part], 0

  def _prune(self):
    raise NotImplementedError

  def _exact(self):
    """Prunes, and returns (exact products, queries, rows) of what is left."""
    self._prune()
    _, query, row = self._parts[0]
    exact = products.exact(self._queries, self._gallery, query, row)
    return exact, query, row


class TopK(_Collector):
  """Collects the k gallery rows of the highest products for each query."""

  def __init__(self, queries: np.ndarray, gallery, k: int):
    """Takes what is to be searched: as in `top_k`."""
    super().__init__(queries, gallery)
    self._k, self._floor = k, np.full(len(queries), -np.inf, np.float32)

  def floor(self, block: blocks.Block) -> np.ndarray:
    """float32 [queries]: products below it are of no interest."""
    floor = self._floor[block.queries]
    if np.isneginf(floor).any():
      floor = np.maximum(floor, block.highest(self._k + _SPARE))
    return floor

  def result(self) -> tuple[np.ndarray, np.ndarray]:
    """(products float64 [q, k], rows int64 [q, k]), as of `top_k`."""
    exact, query, row = self._exact()
    order = np.lexsort((row, -exact, query))
    order = order.reshape(len(self._queries), -1)[:, : self._k]
    return exact[order], row[order]

  def _prune(self):
    rough, query, row = self._all()
    count, num_queries = self._k + _SPARE, len(self._floor)
    order = np.argsort(_falling(rough, query))
    sizes = np.bincount(query, minlength=num_queries)
    full = sizes >= count
    last = np.full(num_queries, -np.inf, np.float32)
    last[full] = rough[order[(np.cumsum(sizes) - sizes + count - 1)[full]]]
    above = rough > last[query]
    # Of those that are equal to the last one, the first rows.
    equal = np.flatnonzero(rough == last[query])
    equal = equal[np.lexsort((row[equal], query[equal]))]
    place = np.arange(len(equal)) - np.searchsorted(query[equal], query[equal])
    room = count - np.bincount(query[above], minlength=num_queries)
    kept = np.r_[np.flatnonzero(above), equal[place < room[query[equal]]]]
    self._keep(rough[kept], query[kept], row[kept])
    # Those to come are of later rows: they count if they are higher.
    self._floor = np.nextafter(last, np.float32(np.inf))
    self._floor[~full] = -np.inf


class Highest(_Collector):
  """Collects the highest products of all queries with all rows."""

  def __init__(self, queries: np.ndarray, gallery, count: int):
    """Takes what is to be searched, and how many products to keep."""
    super().__init__(queries, gallery)
    self._count, self._floor = count, np.float32(-np.inf)

  def floor(self, block: blocks.Block) -> np.ndarray:
    """float32 [queries]: products below it are of no interest."""
    floor = self._floor
    if np.isneginf(floor):
      # As high as this are at least so many of each query.
      floor = block.highest(
        -(-(self._count + _SPARE) // len(block.maxima))
      ).min()
    return np.broadcast_to(floor, len(block.maxima))

  def result(self) -> np.ndarray:
    """float64 [min(count, pairs)]: the highest products, descending."""
    return np.sort(self._exact()[0])[::-1][: self._count]

  def _prune(self):
    found, count = self._all(), self._count + _SPARE
    if len(found[0]) >= count:
      kept = np.argpartition(found[0], -count)[-count:]
      found = tuple(x[kept] for x in found)
      self._floor = np.nextafter(found[0].min(), np.float32(np.inf))
    self._keep(*found)


def _falling(values, group) -> np.ndarray:
  """uint64 keys that rise with the group, and fall with float32 values."""
  bits = np.negative(values).view(np.uint32)
  bits = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
  return (group.astype(np.uint64) << np.uint64(32)) | bits


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
    gallery: [n, d], see `blocks.blocks`; it gives rows by an array of row
      numbers too.
    collectors: made for the same queries and gallery.
    rows: of the gallery, consecutive ones, after those that the collectors
      have seen.
    **options: shape, devices and progress of `blocks.blocks`.

  Raises:
    UserError: if features are not finite or so large that products overflow.
  """
  for block in blocks.blocks(queries, gallery, rows, **options):
    floors = [collector.floor(block) for collector in collectors]
    for rough, query, row in block.reaching(np.min(floors, axis=0)):
      for collector, floor in zip(collectors, floors, strict=True):
        some = rough >= floor[query - block.queries.start]
        collector.add(rough[some], query[some], row[some])


def top_k(
  queries: np.ndarray, gallery, k: int, **options
) -> tuple[np.ndarray, np.ndarray]:
  """The k gallery rows with the highest inner product for each query.

  Args:
    queries: float32 [q, d].
    gallery: [n, d], n >= k, see `scan`.
    k: how many.
    **options: shape, devices and progress of `blocks.blocks`.

  Returns:
    products float64 [q, k], descending, and rows int64 [q, k]. Rows of equal
    products are in ascending order, the lowest first.

  Raises:
    UserError: if features are not finite or so large that products overflow.
  """
  if not 0 < k <= gallery.shape[0]:
    raise ValueError(f'the {k} best of {gallery.shape[0]} rows')
  best = TopK(queries, gallery, k)
  scan(queries, gallery, [best], **options)
  return best.result()
