"""Scores of pairs of templates: millions of dot products, in bounded memory.

Two templates score t1 . t2 in float64, summed in the same order wherever the
pair stands (see `products.exact`). That takes a microsecond or two a pair, so
all pairs are scored by float32 products on the device first; `roc.rates` then
asks for the exact scores of the few that decide. How the device rounds, and
how many there are, decides nothing.
"""

import concurrent.futures
import os

import jax
import jax.numpy as jnp
import numpy as np

from bfjax.evaluation.protocols import products

# On CPUs, products of this shape stay in the cache until they are copied.
_BLOCK = (512, 2048)
_BUFFER_SCORES = 1 << 27
_PAIRS = 1 << 18
_GATHERED = 8192
# A pair by itself costs as much as about this many scores of a block.
_PAIR_COST = 128


def rounded(
  templates: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
  """The dot products of pairs of templates, by float32 products on the device.

  Where the pairs are a good part of all that their templates can form, as in
  IJB (a quarter), whole blocks of products are computed and the pairs picked
  from them; else the templates of some thousand pairs are gathered at a time.

  Args:
    templates: float [T, d], of length 1 or 0.
    left: int [n], the rows of the one side of the pairs.
    right: int [n], of the other.

  Returns:
    float32 [n], wrong by at most `slack(d)`.
  """
  templates = templates.astype(np.float32)
  rows = _Side(templates, left, _BLOCK[0])
  columns = _Side(templates, right, _BLOCK[1])
  size = _BLOCK[0] * _BLOCK[1]
  if rows.num_blocks * columns.num_blocks * size > max(
    _PAIR_COST * len(left), 4 * size
  ):
    return _gathered(templates, left, right)
  scores = np.empty(len(left), np.float32)
  at_once = max(_BUFFER_SCORES // (columns.num_blocks * size), 1)
  for first in range(0, rows.num_blocks, at_once):
    strips = range(first, min(first + at_once, rows.num_blocks))
    buffer = np.empty((len(strips), columns.num_blocks, *_BLOCK), np.float32)
    for j in range(columns.num_blocks):
      column = columns.block(j)
      for i in strips:
        buffer[i - first, j] = _product(rows.block(i), column)
    # A score lies in the buffer at the sum of a number of its row and one of
    # its column.
    at_row = rows.places(columns.num_blocks * size, _BLOCK[1])
    at_row -= first * columns.num_blocks * size
    at_column = columns.places(size, 1)
    _pick(buffer.reshape(-1), at_row, at_column, left, right, scores)
  return scores


def exact(
  templates: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
  """float64 [n]: the dot products of pairs, each summed in the same order.

  Args:
    templates: float64 [T, d].
    left: int [n], the rows of the one side of the pairs.
    right: int [n], of the other.
  """
  return products.exact(templates, templates, left, right)


def slack(dim: int) -> float:
  """A bound on |rounded - exact| of the scores of pairs of `dim` numbers."""
  # Some more than of float32 vectors, since these are rounded to float32.
  return float(products.slack(np.float64(1.0), 1.0, dim + 4))


class _Side:
  """The templates on one side of the pairs, in blocks of `size`."""

  def __init__(self, templates, ids, size: int):
    is_used = np.zeros(len(templates), bool)
    is_used[ids] = True
    self._used, self._size = np.flatnonzero(is_used), size
    self._order = np.cumsum(is_used) - 1
    self._templates = templates
    self.num_blocks = -(-len(self._used) // size)

  def block(self, i: int) -> jax.Array:
    """float32 [size, d], filled up with zeros."""
    some = self._templates[self._used[i * self._size :][: self._size]]
    return jnp.asarray(np.pad(some, ((0, self._size - len(some)), (0, 0))))

  def places(self, per_block: int, per_one: int) -> np.ndarray:
    """int64 [T]: per_block * number of its block + per_one * place in it."""
    block, place = np.divmod(self._order, self._size)
    return per_block * block + per_one * place


def _pick(buffer, at_row, at_column, left, right, scores) -> None:
  """Copies the scores of pairs that lie in the buffer."""

  def pick(start):
    pairs = slice(start, start + _PAIRS)
    at = at_row[left[pairs]]
    inside = (at >= 0) & (at < len(buffer))
    at += at_column[right[pairs]]
    if inside.all():
      np.take(buffer, at, out=scores[pairs], mode='clip')
    else:
      scores[pairs][inside] = buffer[at[inside]]

  with concurrent.futures.ThreadPoolExecutor(
    len(os.sched_getaffinity(0))
  ) as pool:
    for _ in pool.map(pick, range(0, len(left), _PAIRS)):
      pass


def _gathered(templates, left, right) -> np.ndarray:
  """`rounded` of few pairs of many templates."""
  scores = []
  for start in range(0, len(left), _GATHERED):
    pairs = slice(start, start + _GATHERED)
    fill = (0, start + _GATHERED - min(start + _GATHERED, len(left)))
    sides = [templates[np.pad(side[pairs], fill)] for side in (left, right)]
    scores.append(np.asarray(_dot(*sides)))
  return np.concatenate(scores)[: len(left)]


@jax.jit
def _product(left, right):
  return jax.lax.dot_general(
    left,
    right,
    (((1,), (1,)), ((), ())),
    precision=jax.lax.Precision.HIGHEST,
  )


@jax.jit
def _dot(left, right):
  return jnp.sum(left * right, axis=1)
