"""Cosines of rows to the means of classes, the row itself left out of its own.

The mean of class k is that of the embeddings that now carry its label, each
with a weight in [0, 1]. A row would be near any mean that it is part of: of
its own class it is compared with the mean of the others.

The mean of few rows is a poor one, and all are further from it. So each cosine
is also told as it would be to the mean of very many rows of the class: its
likeness c sqrt((1 + (n - 1) r) / (n r)), n the weight of the rows and r the
mean cosine of two rows of one class.

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
    given_likeness: the likeness of the given class.
    nearest_likeness: of the nearest other one, which is told by it.
  """

  given_cosine: np.ndarray
  nearest: np.ndarray
  nearest_cosine: np.ndarray
  share: np.ndarray
  given_likeness: np.ndarray
  nearest_likeness: np.ndarray


class _Means(NamedTuple):
  """The mean of each class, [C, d], and what it was made of: [C]."""

  direction: jax.Array
  length: jax.Array  # of the sum
  weight: jax.Array  # of all rows
  alike: jax.Array  # scalar, the mean cosine of two rows of one class


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
  means = _means(sums(features, now, num_classes), now)
  fit = _fit(features, given, now, means, num_classes)
  out = Nearest(
    *(
      np.empty(len(given), np.int32 if name == 'nearest' else np.float32)
      for name in Nearest._fields
    )
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
        means,
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


def _means(found, now) -> _Means:
  """The means, from the sums of the classes."""
  weight, squares = (
    jnp.asarray(np.bincount(now.label, x, len(found)), jnp.float32)
    for x in (now.weight, now.weight**2)
  )
  length = jnp.linalg.norm(found, axis=1)
  pairs = jnp.maximum((weight**2 - squares).sum(), 1e-6)
  alike = (length**2 - squares).sum() / pairs
  direction = found / jnp.maximum(length, 1e-6)[:, None]
  return _Means(direction, length, weight, jnp.clip(alike, 0.05, 1))


def _cosines(rows, label, weight, means):
  """[rows, C], the row itself left out of its class, and what scales them.

  The second is likeness / cosine, [rows, C].
  """
  cosine = jnp.matmul(
    rows, means.direction.T, precision=jax.lax.Precision.HIGHEST
  )
  at, of = jnp.arange(len(rows)), means.length[label]
  # |S - w x|^2 and (S - w x) x of the sum S of the class.
  product = of * cosine[at, label]
  square = of**2 - weight * (2 * product - weight)
  is_alone = square < 1e-6
  rest = jnp.sqrt(jnp.where(is_alone, 1, square))
  own = jnp.where(is_alone, 0, (product - weight) / rest)
  cosine = cosine.at[at, label].set(jnp.clip(own, -1, 1))
  scale = _scale(means.weight, means.alike)[None].repeat(len(rows), 0)
  own_scale = _scale(means.weight[label] - weight, means.alike)
  return cosine, scale.at[at, label].set(own_scale)


def _scale(weight, alike):
  """likeness / cosine for the mean of so many rows; as of one at least."""
  weight = jnp.maximum(weight, 1)
  return jnp.sqrt((1 + (weight - 1) * alike) / (weight * alike))


@jax.jit
def _nearest(rows, given, label, weight, means, kappa):
  cosine, scale = _cosines(rows, label, weight, means)
  at, likeness = jnp.arange(len(rows)), cosine * scale
  others = likeness.at[at, given].set(-jnp.inf)
  highest = others.max(1)
  number = jnp.arange(cosine.shape[1], dtype=jnp.int32)[None]
  is_best = others == highest[:, None]
  best = jnp.where(is_best, number, cosine.shape[1]).min(1)
  share = 1 / jnp.exp(kappa * (others - highest[:, None])).sum(1)
  return (
    *(cosine[at, given], best, cosine[at, best], share),
    *(likeness[at, given], highest),
  )


@jax.jit
def _of_given(rows, given, label, weight, means):
  """Likeness of the given label, and log-sum-exps at all kappas of the grid."""
  cosine, scale = _cosines(rows, label, weight, means)
  cosine = cosine * scale
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
    given_cosine, log_sum_exp = _of_given(
      *_padded(size, features[rows], given[rows], *(x[rows] for x in now)),
      means,
    )
    mask = np.arange(size) < len(rows)
    total += posterior.log_likelihoods(
      given_cosine, log_sum_exp, mask, num_classes
    )
  return posterior.fit(total)
