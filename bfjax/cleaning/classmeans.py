"""Cosines of rows to the means of classes, the row itself left out of its own.

The mean of class k is that of the embeddings that now carry its label, each
with a weight in [0, 1]. A row would be near any mean that it is part of: of
its own class it is compared with the mean of the others.

One pass over the rows, block by block on the device, keeps a few numbers of
each row; features may be memory-mapped. The time of a pass is rows x classes x
dimension.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from bfjax.heads import posterior

# Cosines of a block, rows x classes, and rows at most.
_BLOCK, _ROWS = 1 << 24, 4096
# Rows from which kappa is told.
_SAMPLE = 1 << 14


class Labelling(NamedTuple):
  """Which rows make up the means."""

  label: np.ndarray  # int32 [n]
  weight: np.ndarray  # float32 [n], 0 .. 1


class Nearest(NamedTuple):
  """Of each row, float32 [n] but for `nearest`.

  Attributes:
    given_cosine: to the mean of its given label; 0 where that has no other row.
    nearest: int32, the class of the nearest mean other than that one.
    nearest_cosine: to that mean.
    share: of the nearest among all classes but the given one in
      softmax(kappa c): how sure it is, should the given label be wrong.
  """

  given_cosine: np.ndarray
  nearest: np.ndarray
  nearest_cosine: np.ndarray
  share: np.ndarray


def sums(features, now: Labelling, num_classes: int) -> jax.Array:
  """The weighted sums of the embeddings of each class, float32 [C, d].

  Args:
    features: float32 or float16 [n, d] of length 1; gives rows by a slice.
    now: the labels.
    num_classes: C.
  """
  found = jnp.zeros((num_classes, features.shape[1]), jnp.float32)
  for rows in _blocks(len(now.label), _ROWS):
    found = _add(
      found,
      np.asarray(features[rows], np.float32),
      now.label[rows],
      now.weight[rows],
    )
  return found


@functools.partial(jax.jit, donate_argnums=0)
def _add(found, rows, label, weight):
  return found.at[label].add(weight[:, None] * rows)


def nearest(
  features,
  given: np.ndarray,
  now: Labelling,
  num_classes: int,
  progress: str = '',
) -> tuple[Nearest, posterior.Fit]:
  """Compares all rows with all means.

  Args:
    features: float32 or float16 [n, d] of length 1; gives rows by a slice or
      by an array of row numbers.
    given: int32 [n], the given labels.
    now: the labels and weights that make up the means.
    num_classes: C, 3 or more.
    progress: what a progress bar is headed; '' for none.

  Returns:
    what was found, and the kappa and the noise rate that make the given labels
    most likely, see `heads.posterior`, from a sample of the rows.
  """
  means = _unit(sums(features, now, num_classes))
  fit = _fit(features, given, now, means, num_classes)
  out = Nearest(
    *(np.empty(len(given), kind) for kind in ('f4', np.int32, 'f4', 'f4'))
  )
  size = min(_ROWS, max(16, _BLOCK // num_classes))
  # None: shown on terminals only.
  with tqdm.tqdm(
    total=len(given),
    desc=progress,
    unit='row',
    unit_scale=True,
    disable=None if progress else True,
    leave=False,
  ) as bar:
    for rows in _blocks(len(given), size):
      found = _nearest(
        *_padded(size, features[rows], given[rows], *(x[rows] for x in now)),
        *means,
        np.float32(fit.kappa),
      )
      for kept, part in zip(out, found, strict=True):
        kept[rows] = np.asarray(part)[: rows.stop - rows.start]
      bar.update(rows.stop - rows.start)
  return out, fit


def _blocks(num_rows, size):
  for start in range(0, num_rows, size):
    yield slice(start, min(start + size, num_rows))


def _padded(size, rows, *columns):
  """A block of always the same size, to compile once."""
  rows = np.asarray(rows, np.float32)
  more = 0, size - len(rows)
  return np.pad(rows, (more, (0, 0))), *(np.pad(x, more) for x in columns)


def _unit(found):
  """The directions of the sums, and their lengths."""
  length = jnp.linalg.norm(found, axis=1)
  return found / jnp.maximum(length, 1e-6)[:, None], length


def _cosines(rows, label, weight, means, length):
  """[rows, C], the row itself left out of the mean of its label."""
  cosine = jnp.matmul(rows, means.T, precision=jax.lax.Precision.HIGHEST)
  at, of = jnp.arange(len(rows)), length[label]
  # |S - w x|^2 and (S - w x) x of the sum S of the class.
  product = of * cosine[at, label]
  square = of**2 - weight * (2 * product - weight)
  is_alone = square < 1e-6
  rest = jnp.sqrt(jnp.where(is_alone, 1, square))
  own = jnp.where(is_alone, 0, (product - weight) / rest)
  return cosine.at[at, label].set(jnp.clip(own, -1, 1))


@jax.jit
def _nearest(rows, given, label, weight, means, length, kappa):
  cosine = _cosines(rows, label, weight, means, length)
  at = jnp.arange(len(rows))
  others = cosine.at[at, given].set(-2)
  highest = others.max(1)
  number = jnp.arange(cosine.shape[1], dtype=jnp.int32)
  best = jnp.where(others == highest[:, None], number, len(number)).min(1)
  likelihood = jnp.exp(kappa * (others - highest[:, None]))
  return cosine[at, given], best, highest, 1 / likelihood.sum(1)


@jax.jit
def _of_given(rows, given, label, weight, means, length):
  """Cosine of the given label, and log-sum-exps at all kappas of the grid."""
  cosine = _cosines(rows, label, weight, means, length)
  kappas = jnp.asarray(posterior.KAPPAS, cosine.dtype)
  sums = jax.lax.map(lambda kappa: jax.nn.logsumexp(kappa * cosine, 1), kappas)
  return cosine[jnp.arange(len(rows)), given], sums


def _fit(features, given, now, means, num_classes) -> posterior.Fit:
  some = np.arange(len(given))
  if len(some) > _SAMPLE:
    some = np.random.default_rng(0).choice(some, _SAMPLE, replace=False)
    some.sort()
  size = min(len(some), max(16, _BLOCK // num_classes))
  total = 0
  for part in _blocks(len(some), size):
    rows = some[part]
    found = _of_given(
      *_padded(size, features[rows], given[rows], *(x[rows] for x in now)),
      *means,
    )
    mask = np.arange(size) < len(rows)
    total += posterior.log_likelihoods(*found, mask, num_classes)
  return posterior.fit(total)
