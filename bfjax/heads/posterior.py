"""What the given labels say of the true ones: noise rate and posterior.

The model. A row's true class is k with probability p_k = softmax(kappa c)_k, c
the plain cosines of its embedding to the class centres, without a margin. Its
given label y is the true class with probability 1 - eps, and any of the C - 1
others with eps / (C - 1) each. So

    P(y | row)    = (1 - eps) p_y + eps / (C - 1) (1 - p_y)
    P(k | row, y) = p_k T(y | k) / P(y | row),   T(y | y) = 1 - eps,
                                                 T(y | k) = eps / (C - 1).

The first is a likelihood of kappa and eps that needs the given labels alone:
its maximum over many rows tells how far the cosines can be trusted and how
many labels are wrong. The second then tells of each row which class it is of.
That k is more probable than y means

    c_k - c_y > log((1 - eps) (C - 1) / eps) / kappa,

a rule of BoundaryFace's kind whose margin the data chooses.

All of it is elementwise or per row; no collectives, no gradients.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

# The grid of the likelihood; between its points a parabola finds the maximum.
KAPPAS = np.geomspace(4.0, 64.0, 13)
RATES = np.concatenate([[0.001, 0.002, 0.005], np.linspace(0.01, 0.6, 60)])


class Fit(NamedTuple):
  """The most likely values: scalars, f32 or f64."""

  kappa: jnp.ndarray
  rate: jnp.ndarray


def log_likelihoods(given_cosine, log_sum_exp, mask, num_classes: int):
  """log P(given labels | rows) at every point of the grid, summed over rows.

  Args:
    given_cosine: f32 or f64 [n], cosine of the given label.
    log_sum_exp: [len(KAPPAS), n], log sum_j exp(kappa c_j) over all classes.
    mask: bool [n], the rows that count.
    num_classes: C.

  Returns:
    [len(KAPPAS), len(RATES)].
  """
  kappas = jnp.asarray(KAPPAS, given_cosine.dtype)[:, None]
  rates = jnp.asarray(RATES, given_cosine.dtype)[:, None, None]
  p = jnp.exp(kappas * given_cosine[None] - log_sum_exp)[None]
  wrong = rates / (num_classes - 1)
  each = jnp.log((1 - rates) * p + wrong * (1 - p))
  return jnp.where(mask[None, None], each, 0).sum(2).T


def fit(log_likelihoods) -> Fit:
  """The maximum of the likelihood, from its values, [len(KAPPAS), len(RATES)].

  They are those of `log_likelihoods`, up to a constant.
  """
  of_kappa = log_likelihoods.max(1)
  of_rate = log_likelihoods.max(0)
  log_kappa = _peak(of_kappa, jnp.log(jnp.asarray(KAPPAS, of_kappa.dtype)))
  rate = _peak(of_rate, jnp.asarray(RATES, of_rate.dtype))
  return Fit(jnp.exp(log_kappa), rate)


def _peak(values, places):
  """Where a smooth function has its maximum, from its values at places.

  By the parabola through the largest value and its two neighbours; at an end,
  that end.
  """
  best = jnp.argmax(values)
  at = jnp.clip(best, 1, len(values) - 2) + jnp.arange(-1, 2)
  (x0, x1, x2), (y0, y1, y2) = places[at], values[at]
  left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
  bend = (right - left) / (x2 - x0)
  # The slope of the parabola through the three is 0 there.
  place = (x0 + x1) / 2 - left / (2 * jnp.where(bend < 0, bend, 1))
  inside = (best == at[1]) & (bend < 0)
  return jnp.where(inside, jnp.clip(place, x0, x2), places[best])


def probabilities(
  given_cosine, nearest_cosine, log_sum_exp, found: Fit, num_classes: int
):
  """The posterior of the given label and of the nearest class.

  Args:
    given_cosine: f32 or f64 [n], cosine of the given label y.
    nearest_cosine: [n], cosine of a class other than y.
    log_sum_exp: [n], log sum_j exp(kappa c_j) over all classes.
    found: kappa and the share of wrong labels.
    num_classes: C.

  Returns:
    P(y | row, y) and P(k | row, y): [n] each, in [0, 1].
  """
  p_given, p_nearest = (
    jnp.exp(found.kappa * c - log_sum_exp)
    for c in (given_cosine, nearest_cosine)
  )
  wrong = found.rate / (num_classes - 1)
  right = 1 - found.rate
  total = right * p_given + wrong * (1 - p_given)
  return right * p_given / total, wrong * p_nearest / total


def margin(found: Fit, num_classes: int):
  """How much larger than c_y another cosine must be to be more probable."""
  odds = (1 - found.rate) * (num_classes - 1) / found.rate
  return jnp.log(odds) / found.kappa
