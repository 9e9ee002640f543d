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
# An exact score costs as much as about this many products of a block.
_EXACT_COST = 512


def rounded(
  templates: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
  """The dot products of pairs of templates, by float32 products on the device.

  Where the pairs are a good part of all that their templates can form, as in
  IJB (a quarter), all products of the two sides are computed, strip by strip,
  and the pairs picked from them; else few pairs are computed exactly.

  Args:
    templates: float [T, d], of length 1 or 0.
    left: int [n], the rows of the one side of the pairs.
    right: int [n], of the other.

  Returns:
    float32 [n], wrong by at most `slack(d)`.
  """
  rows, at_row = _used(len(templates), left)
  columns, at_column = _used(len(templates), right)
  if len(rows) * len(columns) > _EXACT_COST * len(left):
    scores = products.exact(templates, templates, left, right)
    return scores.astype(np.float32)
  scores = np.empty(len(left), np.float32)
  strips = _blocks(templates[rows], _BLOCK[0])
  blocks = _blocks(templates[columns], _BLOCK[1])
  shape = _BLOCK[0], len(blocks) * _BLOCK[1]
  at_once = max(_BUFFER_SCORES // (shape[0] * shape[1]), 1)
  for first in range(0, len(strips), at_once):
    some = strips[first : first + at_once]
    found = np.empty((len(some), *shape), np.float32)
    for j, block in enumerate(blocks):
      for i, strip in enumerate(some):
        found[i, :, j * _BLOCK[1] :][:, : _BLOCK[1]] = _product(strip, block)
    starts = (at_row - first * _BLOCK[0]) * shape[1]
    _pick(found.reshape(-1), starts, at_column, left, right, scores)
  return scores


def slack(dim: int) -> float:
  """A bound on |rounded - exact| of the scores of pairs of `dim` numbers."""
  # Some more than of float32 vectors, since these are rounded to float32.
  return float(products.slack(np.ones(()), 1.0, dim + 4))


def _used(count: int, ids) -> tuple[np.ndarray, np.ndarray]:
  """(those of 0 .. count - 1 that are in `ids`; int64 [count]: their places)"""
  is_used = np.zeros(count, bool)
  is_used[ids] = True
  return np.flatnonzero(is_used), np.cumsum(is_used) - 1


def _blocks(templates, size: int) -> list[jax.Array]:
  """float32 [size, d] each, the last one filled up with zeros."""
  fill = (0, -len(templates) % size), (0, 0)
  padded = np.pad(templates.astype(np.float32), fill)
  return [jnp.asarray(x) for x in padded.reshape(-1, size, padded.shape[1])]


def _pick(found, starts, at_column, left, right, scores) -> None:
  """Copies the scores of pairs whose row starts in `found`."""

  def pick(start):
    pairs = slice(start, start + _PAIRS)
    at = starts[left[pairs]]
    inside = (at >= 0) & (at < len(found))
    at += at_column[right[pairs]]
    if inside.all():
      np.take(found, at, out=scores[pairs], mode='clip')
    else:
      scores[pairs][inside] = found[at[inside]]

  with concurrent.futures.ThreadPoolExecutor(
    len(os.sched_getaffinity(0))
  ) as pool:
    for _ in pool.map(pick, range(0, len(left), _PAIRS)):
      pass


@jax.jit
def _product(left, right):
  return jnp.dot(left, right.T, precision=jax.lax.Precision.HIGHEST)
