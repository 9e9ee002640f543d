"""Float32 products of queries with a large gallery, block by block.

They are computed on the devices, and only those that are high enough are taken
off them. Memory does not grow with the gallery.
"""

import collections
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

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
_PICKED = 1 << 17  # groups that are taken off a device at once
_SHARES_MEMORY = ('cpu',)  # platforms whose arrays numpy sees without a copy


class Block(NamedTuple):
  """The products of some queries with some consecutive gallery rows.

  Group g is the rows g, g + groups, ... of the block, so that maxima run along
  whole vectors.
  """

  queries: slice
  first: int  # gallery row
  products: jax.Array  # float32 [queries, _GROUP, groups], -inf for no row
  maxima: np.ndarray  # float32 [queries, groups]

  def highest(self, count: int) -> np.ndarray:
    """float32 [queries]: at least `count` products of each are as high."""
    values = self.maxima
    if values.shape[1] < count:
      values = np.asarray(self.products).reshape(len(values), -1)
    if values.shape[1] < count:
      return np.full(len(values), -np.inf, np.float32)
    return np.partition(values, -count, axis=1)[:, -count]

  def reaching(
    self, floor: np.ndarray
  ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields the products that reach the floor of their query, in parts.

    Args:
      floor: float32 [queries].

    Yields:
      products float32 [n], queries int [n], and gallery rows int [n].
    """
    query, group = np.nonzero(self.maxima >= floor[:, None])
    for start in range(0, len(query), _PICKED):
      queries, groups = query[start:][:_PICKED], group[start:][:_PICKED]
      values = _picked(self.products, queries, groups)
      wanted = (values >= floor[queries, None]) & (values > -np.inf)
      at, member = np.nonzero(wanted)
      row = self.first + member * self.maxima.shape[1] + groups[at]
      yield values[at, member], self.queries.start + queries[at], row


def blocks(
  queries: np.ndarray,
  gallery,
  rows: slice = slice(None),
  *,
  shape: tuple[int, int] | None = None,
  devices: Sequence[jax.Device] | None = None,
  progress: str = '',
) -> Iterator[Block]:
  """Yields the products of all queries with the gallery, rows ascending.

  Blocks go to the devices in turn; some are computed ahead.

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
  parts = [
    slice(start, min(start + shape[0], len(queries)))
    for start in range(0, len(queries), shape[0])
  ]
  queries = np.asarray(queries, np.float32)
  on_device = [[jax.device_put(queries[p], d) for p in parts] for d in devices]
  longest = _length(queries)
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
      block = _read(gallery, start, min(start + size, last), longest)
      num_rows, device = len(block), i % len(devices)
      block = np.pad(block, ((0, size - num_rows), (0, 0)))
      block = jax.device_put(block, devices[device])
      for part, query in zip(parts, on_device[device], strict=True):
        pending.append((part, start, *_products(query, block, num_rows)))
        if len(pending) > _IN_FLIGHT * len(devices):
          yield _fetched(*pending.popleft())
      bar.update(num_rows)
    while pending:
      yield _fetched(*pending.popleft())


def _fetched(queries, first, products, maxima) -> Block:
  return Block(queries, first, products, np.asarray(maxima))


def _length(features) -> float:
  """The largest Euclidean length; no number if a feature is none."""
  squares = np.einsum('nd,nd->n', features, features)
  return float(np.sqrt(np.max(squares, initial=0.0)))


def _read(gallery, start, stop, longest):
  """float32 rows of the gallery, whose products will be finite."""
  block = np.asarray(gallery[start:stop], np.float32)
  length = _length(block)
  if length * longest < 1e37:
    return block
  is_finite = np.isfinite(block).all(axis=1)
  if not is_finite.all():
    raise errors.UserError(
      f'The features in row {start + int(np.argmin(is_finite))} (counted from '
      '0) of the gallery are not finite: NaN or infinity.'
    )
  raise errors.UserError(
    f'Features of length {longest:.3g} and {length:.3g}: their inner product '
    'does not fit in float32. Normalise them.'
  )


@functools.partial(jax.jit, static_argnames='num_rows')
def _products(queries, rows, num_rows):
  found = jax.lax.dot_general(
    queries,
    rows,
    (((1,), (1,)), ((), ())),
    precision=jax.lax.Precision.HIGHEST,
  )
  if num_rows < len(rows):
    found = jnp.where(jnp.arange(len(rows))[None] < num_rows, found, -jnp.inf)
  found = found.reshape(len(queries), _GROUP, -1)
  return found, jnp.max(found, axis=1)


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
