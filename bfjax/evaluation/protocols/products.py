"""Inner products of queries with a gallery: roughly and fast, or exactly.

The rough ones are float32 products of whole blocks on the devices. How they
round depends on the device and on the shape of a block, so they only tell
which pairs may count; `slack` bounds how wrong they can be. What is reported
and compared is the exact product: summed in float64, in an order that only
the dimension of the features decides, and therefore the same on any machine.
"""

import collections
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from bfjax import errors

# Queries and gallery rows of a block. On CPUs, the 16 MB of products stay in
# the cache for the pass that looks for maxima; accelerators want larger ones.
_CPU_BLOCK = (1024, 4096)
_BLOCK = (4096, 65536)
_GROUP = 32  # gallery rows that share a maximum
_IN_FLIGHT = 2  # blocks computed ahead, each device
_PAIRS = 1024  # exact products at a time: they stay in the cache
_SHARES_MEMORY = ('cpu',)  # platforms whose arrays numpy sees without a copy


class Block:
  """Rough products of some queries with some consecutive gallery rows.

  Attributes:
    queries: slice, the queries.
    first: the first gallery row.
    num_rows: how many gallery rows there are.
    radius: the largest Euclidean length of these rows.
  """

  def __init__(self, queries, first, num_rows, radius, products, maxima):
    self.queries, self.first, self.num_rows = queries, first, num_rows
    self.radius = float(radius)
    self._products = products  # [queries, _GROUP, groups], padded with zeros
    self._maxima = np.asarray(maxima)  # [queries, groups]

  def kth(self, k: int) -> np.ndarray:
    """float32 [queries]: at least k products of each query are this high."""
    if self.num_rows < k:
      return np.full(len(self._maxima), -np.inf, np.float32)
    values = self._some(k)
    last = values.shape[1] - k
    return np.partition(values, last, axis=1)[:, last]

  def kth_of_all(self, k: int) -> np.float32:
    """At least k products of all queries are this high."""
    num_queries = len(self._maxima)
    if self.num_rows * num_queries < k:
      return np.float32(-np.inf)
    values = self._some(-(-k // num_queries))
    return np.partition(values, values.size - k, axis=None)[values.size - k]

  def _some(self, k):
    """Products of each query, k or more: if that will do, maxima only."""
    groups = self._maxima.shape[1]
    if k <= groups and self.num_rows == groups * _GROUP:
      return self._maxima
    every = np.asarray(self._products).reshape(len(self._maxima), -1)
    return every[:, : self.num_rows]

  def at_least(
    self, floor: np.ndarray
  ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields the products that reach the floor of their query, in parts.

    Args:
      floor: float32 [queries].

    Yields:
      rough products float32 [n], queries int32 [n] counted from the first one
      of the block, and gallery rows int64 [n].
    """
    query, group = np.nonzero(self._maxima >= floor[:, None])
    groups = self._maxima.shape[1]
    for start in range(0, len(query), _CPU_BLOCK[1] * _GROUP):
      part = slice(start, start + _CPU_BLOCK[1] * _GROUP)
      values = _picked(self._products, query[part], group[part])
      at, member = np.nonzero(values >= floor[query[part], None])
      row = member * groups + group[part][at]
      there = row < self.num_rows
      at, member, row = at[there], member[there], row[there]
      yield (
        values[at, member],
        query[part][at].astype(np.int32),
        self.first + row,
      )


def blocks(
  queries: np.ndarray,
  gallery,
  rows: slice = slice(None),
  *,
  shape: tuple[int, int] | None = None,
  devices: Sequence[jax.Device] | None = None,
  progress: str = '',
) -> Iterator[Block]:
  """Yields the rough products of all queries with the gallery, block by block.

  Blocks of gallery rows come in ascending order and go to the devices in
  turn; some are computed ahead. Memory does not grow with the gallery.

  Args:
    queries: float32 [q, d].
    gallery: [n, d] float32 or float16; an array, memory-mapped or not, or
      anything with `shape` that gives rows by a slice.
    rows: of the gallery, consecutive ones.
    shape: queries and gallery rows of a block; None for what suits the device.
    devices: None for all of this process.
    progress: what a progress bar is headed; '' for none.

  Raises:
    UserError: if features are not finite or so large that products overflow.
  """
  devices = jax.local_devices() if devices is None else devices
  if shape is None:
    shape = _CPU_BLOCK if devices[0].platform == 'cpu' else _BLOCK
  first, last, _ = rows.indices(gallery.shape[0])
  size = -(-min(shape[1], last - first) // _GROUP) * _GROUP
  step = min(shape[0], len(queries))
  parts = [slice(a, a + step) for a in range(0, len(queries), step)]
  on_device = [[jax.device_put(queries[p], d) for p in parts] for d in devices]
  longest = float(np.max(lengths(queries), initial=0.0))
  pending = collections.deque()
  with tqdm.tqdm(
    total=last - first,
    desc=progress,
    unit='row',
    unit_scale=True,
    disable=None if progress else True,  # None: shown on terminals only
    leave=False,
  ) as bar:
    for i, start in enumerate(range(first, last, size)):
      device = i % len(devices)
      block, num_rows = _read(gallery, start, min(start + size, last), size)
      block, radius = _prepare(jax.device_put(block, devices[device]))
      for part, query in zip(parts, on_device[device], strict=True):
        pending.append((part, start, num_rows, radius, *_rough(query, block)))
        if len(pending) > _IN_FLIGHT * len(devices):
          yield _checked(Block(*pending.popleft()), longest)
      bar.update(num_rows)
    while pending:
      yield _checked(Block(*pending.popleft()), longest)


def exact(
  queries: np.ndarray, gallery, query: np.ndarray, row: np.ndarray
) -> np.ndarray:
  """float64 [n]: the products of pairs, each rounded to float64 like any other.

      product = sum over j of queries[query, j] gallery[row, j]

  Products of two float32 are exact in float64; numpy sums them pairwise. Equal
  features have equal products, wherever they stand.

  Args:
    queries: [q, d] float32 or float16.
    gallery: [m, d]; it gives rows by an array of ascending row numbers.
    query: int [n].
    row: int [n].
  """
  out = np.empty(len(query))
  order = np.argsort(row, kind='stable')  # rows of a part are near each other
  for start in range(0, len(order), _PAIRS):
    pairs = order[start : start + _PAIRS]
    found, where = np.unique(row[pairs], return_inverse=True)
    right = np.asarray(gallery[found], np.float64)[where]
    left = np.asarray(queries[query[pairs]], np.float64)
    out[pairs] = np.sum(left * right, axis=1)
  return out


def slack(length: np.ndarray, radius: float, dim: int) -> np.ndarray:
  """A bound on |rough - exact| of products, whatever the order of summation.

      dim 2^-23 |query| |row|

  which is twice the bound of error analysis (Higham, Accuracy and Stability
  of Numerical Algorithms, 3.1), and some more for numbers that underflow.

  Args:
    length: |query|, float64.
    radius: the largest |row|.
    dim: of the features.
  """
  return dim * (2.0**-23 * length * radius + 2.0**-120)


def lengths(features: np.ndarray) -> np.ndarray:
  """float64 [n]: the Euclidean length of each row."""
  return np.sqrt(np.einsum('nd,nd->n', features, features, dtype=np.float64))


def _read(gallery, start, stop, size):
  """(the rows with zeros after them, so that they are `size`; how many)."""
  block = np.asarray(gallery[start:stop])
  if not np.isfinite(block).all():
    row = start + int(np.argmin(np.isfinite(block).all(axis=1)))
    raise errors.UserError(
      f'The features in row {row} (counted from 0) of the gallery are not '
      'finite: NaN or infinity.'
    )
  return np.pad(block, ((0, size - len(block)), (0, 0))), len(block)


def _checked(block, longest):
  if not block.radius * longest < 1e37:
    raise errors.UserError(
      f'Features of length {longest:.3g} and {block.radius:.3g}: their inner '
      'product does not fit in float32. Normalise them.'
    )
  return block


@jax.jit
def _prepare(block):
  block = block.astype(jnp.float32)
  # An upper bound, also where the sum of squares rounds down.
  radius = jnp.sqrt(jnp.max(jnp.sum(jnp.square(block), axis=1))) * 1.001
  return block, radius


@jax.jit
def _rough(queries, block):
  # Group g is the rows g, g + groups, g + 2 groups, ...: so maxima run along
  # whole vectors.
  products = jax.lax.dot_general(
    queries,
    block,
    (((1,), (1,)), ((), ())),
    precision=jax.lax.Precision.HIGHEST,
  ).reshape(len(queries), _GROUP, -1)
  return products, jnp.max(products, axis=1)


def _picked(products, query, group):
  """float32 [n, _GROUP]: the products of n groups, from where they lie."""
  if next(iter(products.devices())).platform in _SHARES_MEMORY:
    return np.asarray(products)[query, :, group]
  n = len(query)
  fill = 0, (1 << (n - 1).bit_length()) - n  # few lengths to compile for
  found = _pick(products, np.pad(query, fill), np.pad(group, fill))
  return np.asarray(found)[:n]


@jax.jit
def _pick(products, query, group):
  return products[query, :, group]
