"""Margins: what becomes of the cosines before the softmax.

A margin replaces the cosine of the row's own class, c_y, by phi(c_y), and, in
two of them, the cosines of the other classes too. Everything here is
elementwise or per row: no collectives, no labels, no epochs, no scale. All
angles are in radians.

phi never decreases as the cosine grows, so that the largest phi over some
classes is the phi of their largest cosine, and it never exceeds the cosine,
so that no other class beats the nearest one. `softmax` relies on both. Numbers
for which that would not hold are refused with a UserError: an angle m or m2 is
from 0 to pi / 2, a cosine m or m3 at least 0, a factor m1 at least 1.
"""

import inspect
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import errors
from bfjax.config import limits
from bfjax.heads import angles


class Margin(NamedTuple):
  """The functions a margin consists of; n rows, c classes, f32 or f64.

  Attributes:
    phi: (cosine [n], norm [n], state) -> [n], the target logit (unscaled) of
      a class at that cosine; `norm` is the length of the row's embedding.
    others: (cosine [c, n], target_cosine [n], state) -> [c, n], the logits
      (unscaled) of the classes that are not the target, with a gradient of the
      first alone; None: the cosines.
    init_state: () -> dict of float32 scalars that training carries along.
    see_norms: (norm [n], mask bool [n], state) -> state, called once a step
      before the label is decided; only rows with `mask` count.
    see_targets: (target_cosine [n], mask bool [n], state) -> state, called
      once a step after the label is decided and before `others`.
  """

  phi: Callable
  others: Callable | None = None
  init_state: Callable = dict
  see_norms: Callable = lambda norm, mask, state: state
  see_targets: Callable = lambda target_cosine, mask, state: state


def softmax() -> Margin:
  """No margin: phi(c) = c (NormFace, Wang et al. 2017)."""
  return combined(m1=1.0, m2=0.0, m3=0.0)


def arcface(*, m: float = 0.5) -> Margin:
  """Additive angle: phi(c) = cos(theta + m) (ArcFace, Deng et al. 2019).

  Where theta + m > pi it goes on as c - m sin(pi - m).
  """
  _check_angle('m', m)
  return combined(m1=1.0, m2=m, m3=0.0)


def cosface(*, m: float = 0.35) -> Margin:
  """Additive cosine: phi(c) = c - m (CosFace, Wang et al. 2018)."""
  _check_least('m', m, 0)
  return combined(m1=1.0, m2=0.0, m3=m)


def combined(*, m1: float = 1.0, m2: float = 0.3, m3: float = 0.2) -> Margin:
  """phi(c) = cos(m1 theta + m2) - m3 (Deng et al. 2019, section 2.2).

  With m1 = 1 it goes on as ArcFace does beyond the angle pi; with any other
  m1 as SphereFace does: (-1)^k cos(a) - 2k, where a = m1 theta + m2 and
  k = floor(a / pi).
  """
  _check_least('m1', m1, 1)
  _check_angle('m2', m2)
  _check_least('m3', m3, 0)

  def phi(cosine, norm, state):
    del norm, state
    if m1 == 1:
      return angles.add(cosine, m2) - m3
    angle = m1 * angles.angle(cosine) + m2
    turns = jax.lax.stop_gradient(jnp.floor(angle / math.pi))
    return (1 - 2 * (turns % 2)) * jnp.cos(angle) - 2 * turns - m3

  return Margin(phi)


def mv_arc_softmax(*, m: float = 0.5, t: float = 0.2) -> Margin:
  """ArcFace that adds t to misclassified classes' cosines (Wang et al. 2020).

  phi(c) = clip(cos(theta + m)); another class with c_j >= phi(c_y) gets
  c_j + t; all logits are clipped to [-1, 1].
  """
  _check_angle('m', m)

  def phi(cosine, norm, state):
    del norm, state
    return angles.clip(angles.add(cosine, m), -1.0, 1.0)

  def others(cosine, target_cosine, state):
    hard = cosine >= phi(target_cosine, None, state)[None]
    return angles.clip(jnp.where(hard, cosine + t, cosine), -1.0, 1.0)

  return Margin(phi, others)


def curricularface(*, m: float = 0.5, t_alpha: float = 0.01) -> Margin:
  """ArcFace with hard classes weighted by progress (Huang et al. 2020).

  Another class with c_j > cos(theta_y + m) gets c_j (t + c_j), where t is the
  running mean of c_y, updated before it is used:
  t <- t_alpha mean(c_y) + (1 - t_alpha) t, from 0.
  """

  def others(cosine, target_cosine, state):
    # The comparison alone has no continuation beyond the angle pi.
    hard = cosine > angles.cos_of_sum(target_cosine, m)[None]
    return jnp.where(hard, cosine * (state['t'] + cosine), cosine)

  def see_targets(target_cosine, mask, state):
    mean = _mean(target_cosine, mask)
    return {'t': _follow(state['t'], mean, t_alpha, mask.any())}

  return arcface(m=m)._replace(
    others=others,
    init_state=lambda: {'t': jnp.float32(0)},
    see_targets=see_targets,
  )


_LEAST_NORM, _GREATEST_NORM = 1e-3, 100.0
_EPS = 1e-3  # AdaFace's: least angle, and added to the standard deviation


def adaface(
  *, m: float = 0.4, h: float = 0.333, t_alpha: float = 0.01
) -> Margin:
  """A margin that follows the image quality (AdaFace, Kim et al. 2022).

  Quality is the embedding's length against its running mean and standard
  deviation, q = clip(h (norm - mean) / (std + eps), -1, 1), all of it without
  a gradient. phi(c) = cos(clip(theta - m q, eps, pi - eps)) - (m + m q).
  Statistics are updated before they are used, over lengths clipped to
  [0.001, 100]; they start at mean 20 and std 100. A batch of one row has no
  (unbiased) standard deviation and leaves the running one alone.
  """
  _check_angle('m', m)

  def phi(cosine, norm, state):
    norm = jnp.clip(norm, _LEAST_NORM, _GREATEST_NORM)
    quality = h * (norm - state['mean']) / (state['std'] + _EPS)
    quality = jax.lax.stop_gradient(jnp.clip(quality, -1, 1))
    angle = angles.angle(cosine) - m * quality
    angle = angles.clip(angle, _EPS, math.pi - _EPS)
    return jnp.cos(angle) - (m + m * quality)

  def see_norms(norm, mask, state):
    norm = jnp.clip(norm, _LEAST_NORM, _GREATEST_NORM)
    count = mask.sum()
    mean = _mean(norm, mask)
    spread = jnp.where(mask, norm - mean, 0) ** 2
    std = jnp.sqrt(spread.sum() / jnp.maximum(count - 1, 1))
    return {
      'mean': _follow(state['mean'], mean, t_alpha, count > 0),
      'std': _follow(state['std'], std, t_alpha, count > 1),
    }

  def init_state():
    return {'mean': jnp.float32(20), 'std': jnp.float32(100)}

  return Margin(phi, init_state=init_state, see_norms=see_norms)


def filtered(margin: Margin, threshold: float) -> Margin:
  """The margin, with conflicting other classes left out (An et al. 2022).

  Another class whose cosine is above the threshold, below 1, gets the logit 0,
  without a gradient: where labels are noisy, it may well be the row's own.
  (Partial FC's filter of inter-class noise; its recipes for flipped labels have
  0.4.) A threshold of 0 is no filter.

  Raises:
    UserError: if it is out of range.
  """
  limits.check('head.filter', threshold)
  if not threshold:
    return margin

  def others(cosine, target_cosine, state):
    logits = cosine
    if margin.others is not None:
      logits = margin.others(cosine, target_cosine, state)
    return jnp.where(cosine > threshold, 0, logits)

  return margin._replace(others=others)


MARGINS = {
  'adaface': adaface,
  'arcface': arcface,
  'combined': combined,
  'cosface': cosface,
  'curricularface': curricularface,
  'mv_arc_softmax': mv_arc_softmax,
  'softmax': softmax,
}


def build(name: str, **options: float) -> Margin:
  """The margin called `name` with its numbers, as `build('arcface', m=0.3)`.

  Raises:
    UserError: if there is no such margin, it has no such option, or a number
      is out of range.
  """
  make = errors.choose('margin', name, MARGINS)
  known = inspect.signature(make).parameters
  for option in options:
    errors.choose(f'option of the margin {name!r}', option, known)
  return make(**options)


def _check_angle(name, angle):
  if not 0 <= angle <= math.pi / 2:
    raise errors.UserError(
      f'The margin {name} is an angle from 0 to pi/2 = 1.5708 radians, not '
      f'{angle}. (The usual one is 0.5.)'
    )


def _check_least(name, number, least):
  if not number >= least:
    raise errors.UserError(
      f'The margin {name} must be at least {least}, not {number}.'
    )


def _mean(values, mask):
  """The mean of the rows with `mask`; 0 if there is none."""
  return jnp.where(mask, values, 0).sum() / jnp.maximum(mask.sum(), 1)


def _follow(old, new, rate, is_known):
  """The running mean `old` after `new`, where that is known."""
  return jnp.where(is_known, rate * new + (1 - rate) * old, old)
