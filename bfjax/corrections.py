"""Label correction: when a label is replaced, and the term beside the loss.

A rule looks at a row's given label and its nearest class and says which of
the two the row is trained with, and with what weight; a penalty looks at one
number of the target class and one of the nearest other. Neither knows of
devices or epochs. `None` stands for "do nothing of the kind".

Source of `boundary`: BoundaryFace, Wu and Xue, ECCV 2022 (arXiv 2210.04567),
as its published code computes it: negative values count as 0 there. Of
`posterior`: see `bfjax.posterior`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import errors, posterior


class Seen(NamedTuple):
  """What a rule sees of n rows: f32 or f64 [n] without a gradient, or bool [n].

  Attributes:
    given_cosine: cosine of the given label.
    nearest_cosine: that of the nearest of all classes; where it is the given
      label itself, whatever the rule says of it changes nothing.
    nearest_phi: phi of the nearest class.
    margin: the rule's own margin at this epoch, a scalar; None: that of phi.
    mask: the rows that count in a state.
    log_sum_exp: (kappa, r) -> [r], log sum_j exp(kappa c_j) over all classes
      of the first r rows; each call looks at all their cosines again.
  """

  given_cosine: jax.Array
  nearest_cosine: jax.Array
  nearest_phi: jax.Array
  margin: jax.Array | None
  mask: jax.Array
  log_sum_exp: Callable


class Decision(NamedTuple):
  """What a rule says of n rows.

  Attributes:
    accept: bool [n], the nearest class is taken for the label.
    weight: [n], of the row's loss and penalty, from 0 to 1.
  """

  accept: jax.Array
  weight: jax.Array


class Past(NamedTuple):
  """What earlier visits have left of n rows: int32 [n] each.

  Attributes:
    label: that the row was trained with at the last one.
    proposed: that the rule proposed then.
    times: how often in a row it has proposed that.
  """

  label: jax.Array
  proposed: jax.Array
  times: jax.Array


def settle(past: Past, proposed: jax.Array, visits: int) -> Past:
  """Changes labels, there and back, where enough visits in a row agree.

  Args:
    past: before this visit.
    proposed: int32 [n], by the rule, now.
    visits: how many have to agree; with 1 what is proposed is the label.
  """
  times = jnp.where(proposed == past.proposed, past.times + 1, 1)
  changes = times >= visits
  return Past(jnp.where(changes, proposed, past.label), proposed, times)


class Rule(NamedTuple):
  """The functions a rule consists of.

  Attributes:
    decide: (seen, state, number of classes) -> (Decision, state), called once
      a batch, also before labels are corrected, for the state.
    init_state: () -> dict of float32 arrays that training carries along.
    tell: (state, number of classes) -> dict of scalars worth logging.
    guarded: whether corrections are refused by which a class would swallow
      others or lose nearly all its rows; see `softmax`.
  """

  decide: Callable
  init_state: Callable = dict
  tell: Callable = lambda state, num_classes: {}
  guarded: bool = False


def boundary() -> Rule:
  """Beyond the boundary, inside another class.

  max(phi(c_k), 0) > max(c_y, 0), where k is the nearest class other than the
  given label y: even with the margin against it, k is nearer than y. Then k
  is taken for the row's label. All rows count the same. A margin of the rule's
  own, an angle, takes the place of phi's: see `add_angle`.
  """

  def decide(seen, state, num_classes):
    del num_classes
    phi = seen.nearest_phi
    if seen.margin is not None:
      phi = add_angle(seen.nearest_cosine, seen.margin)
    accept = jnp.maximum(phi, 0) > jnp.maximum(seen.given_cosine, 0)
    return Decision(accept, jnp.ones_like(seen.given_cosine)), state

  return Rule(decide)


def add_angle(cosine, m):
  """cos(theta + m), and c - m sin m where theta + m >= pi; has no gradient.

  As ArcFace's phi, for an m that may be traced.
  """
  cosine = jax.lax.stop_gradient(cosine)
  sine = jnp.sqrt(jnp.maximum(1 - cosine * cosine, 0))
  straight = cosine * jnp.cos(m) - sine * jnp.sin(m)
  return jnp.where(cosine > -jnp.cos(m), straight, cosine - m * jnp.sin(m))


# The likelihood is that of about so many rows, the last ones ...
_ROWS_REMEMBERED = 6400
# ... of which so many a batch are looked at as keep it cheap: at least so many,
# and more while rows x classes are below a number.
_LEAST_ROWS, _CHEAP = 4, 2**18


def posterior_rule() -> Rule:
  """The class that is most probable, given the cosines and the given label.

  Concentration and noise rate are learned from the given labels of the last
  rows, at every batch; there is nothing to choose. A row is trained with its
  most probable class k, and counts as much as k is more probable than all else:
  max(2 P(k | row, y) - 1, 0). So of a row that no class is sure of nothing is
  learned at this visit. The nearest class becomes the label if it has more than
  one half.
  """

  def decide(seen, state, num_classes):
    count = len(seen.given_cosine)
    rows = min(count, max(_LEAST_ROWS, _CHEAP // num_classes))
    mask = seen.mask[:rows]
    sums = [seen.log_sum_exp(float(k), rows) for k in posterior.KAPPAS]
    new = posterior.log_likelihoods(
      seen.given_cosine[:rows], jnp.stack(sums), mask, num_classes
    )
    kept = jnp.maximum(1 - mask.sum() / _ROWS_REMEMBERED, 0)
    total = kept * state['likelihood'] + new
    total = total - total.max()  # of no consequence, but small numbers
    found = posterior.fit(total)
    of_given, of_nearest = posterior.probabilities(
      seen.given_cosine,
      seen.nearest_cosine,
      seen.log_sum_exp(found.kappa, count),
      found,
      num_classes,
    )
    weight = jnp.maximum(2 * jnp.maximum(of_given, of_nearest) - 1, 0)
    return Decision(of_nearest > 0.5, weight), {'likelihood': total}

  def init_state():
    shape = len(posterior.KAPPAS), len(posterior.RATES)
    return {'likelihood': jnp.zeros(shape, jnp.float32)}

  def tell(state, num_classes):
    found = posterior.fit(jnp.asarray(state['likelihood']))
    return {
      'noise_rate': found.rate,
      'kappa': found.kappa,
      'rule_margin': posterior.margin(found, num_classes),
    }

  return Rule(decide, init_state, tell, guarded=True)


def boundary_penalty(other_cosine, target_phi):
  """How far a row is from its own side of the boundary.

  relu(max(c_k, 0) - max(phi(c_y), 0)), where y is the label after correction
  and k the nearest class other than it.

  Args:
    other_cosine: f32 or f64 [n], cosine of the nearest other class.
    target_phi: [n], phi of the label's cosine.

  Returns:
    [n], not below 0. Has a gradient; at a kink it is that of the flat side.
  """
  relu = jax.nn.relu  # derivative 0 at 0, where jnp.maximum's is 1/2
  return relu(relu(other_cosine) - relu(target_phi))


RULES = {
  'none': lambda: None,
  'boundary': boundary,
  'posterior': posterior_rule,
}
PENALTIES = {'none': None, 'boundary': boundary_penalty}


def build_rule(name: str, **options: float) -> Rule | None:
  """The rule called `name`; None for 'none'.

  Raises:
    UserError: if there is no such rule.
  """
  return errors.choose('rule', name, RULES)(**options)
