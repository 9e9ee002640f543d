"""Rules: when a label is replaced, or a row counts less than others.

A rule looks at a row's given label and its nearest class and says which of
the two the row is trained with, or how much of each, and with what weight. It
knows of neither devices nor epochs. None stands for "do nothing of the kind".

`boundary` is BoundaryFace's, Wu and Gong, ECCV 2022 (arXiv 2210.04567), as its
published code computes it: negative values count as 0 there. `posterior` is
ours, see `bfjax.heads.posterior`. `repface` is RepFace's, Zhang, Gong and Sun,
AAAI 2025 (arXiv 2412.12031), as far as its abstract says it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import errors
from bfjax.heads import angles, posterior


class Seen(NamedTuple):
  """What a rule sees of n rows: f32 or f64 [n] without a gradient, or bool [n].

  Attributes:
    given: the given labels, int32 [n].
    given_cosine: cosine of the given label.
    nearest: the nearest of all classes, int32 [n]; where it is the given label
      itself, whatever the rule says of it changes nothing.
    nearest_cosine: cosine of it.
    nearest_phi: phi of it.
    margin: the rule's own margin at this epoch, a scalar; None: that of phi.
    mask: the rows that count in a state.
    log_sum_exp: [n], log sum_j exp(kappa c_j) over all classes, at the kappa
      that the rule has learned; None if it learns none.
    cosine_of: int32 [n], a class for each row -> [n], its cosine.
    times: int32 [n], how many visits in a row before this one have told the
      nearest class too; None if they are not remembered.
  """

  given: jax.Array
  given_cosine: jax.Array
  nearest: jax.Array
  nearest_cosine: jax.Array
  nearest_phi: jax.Array
  margin: jax.Array | None
  mask: jax.Array
  log_sum_exp: jax.Array | None
  cosine_of: Callable
  times: jax.Array | None


class Glimpse(NamedTuple):
  """What a rule may look at before all classes are, of n rows.

  Attributes:
    given_cosine, mask: as of `Seen`.
    log_sums: (kappas, r) -> [len(kappas), r], log sum_j exp(kappa c_j) over all
      classes of the first r rows, by a look at all classes.
  """

  given_cosine: jax.Array
  mask: jax.Array
  log_sums: Callable


class Decision(NamedTuple):
  """What a rule says of n rows.

  Attributes:
    accept: bool [n], the nearest class is taken for the label.
    weight: [n], of the row's loss and penalty, from 0 to 1.
    mix: [n], the share of the nearest class in a soft label, the rest being the
      given one's: of the two cross-entropies in the row's loss; None where the
      label alone is trained with.
  """

  accept: jax.Array
  weight: jax.Array
  mix: jax.Array | None = None


class Rule(NamedTuple):
  """The functions a rule consists of.

  Attributes:
    decide: (seen, state, number of classes) -> (Decision, state), called once
      a batch, also before labels are corrected, for the state.
    init_state: () -> dict of float32 arrays that training carries along.
    learn: (glimpse, state, number of classes) -> (state, kappa), called before
      `decide`, which needs a log-sum-exp at that kappa; None if it needs none.
    tell: (state, number of classes) -> dict of scalars worth logging.
    guarded: whether corrections are refused by which a class would swallow
      others or lose nearly all its rows; see `guard`.
    remembers: whether it looks at `times`.
  """

  decide: Callable
  init_state: Callable = dict
  learn: Callable | None = None
  tell: Callable = lambda state, num_classes: {}
  guarded: bool = False
  remembers: bool = False


def boundary() -> Rule:
  """Beyond the boundary, inside another class.

  max(phi(c_k), 0) > max(c_y, 0), where k is the nearest class other than the
  given label y: even with the margin against it, k is nearer than y. Then k
  is taken for the row's label. All rows count the same. A margin of the rule's
  own, an angle, takes the place of phi's, as ArcFace's does.
  """

  def decide(seen, state, num_classes):
    del num_classes
    phi = seen.nearest_phi
    if seen.margin is not None:
      phi = angles.add(seen.nearest_cosine, seen.margin)
    accept = jnp.maximum(phi, 0) > jnp.maximum(seen.given_cosine, 0)
    return Decision(accept, jnp.ones_like(seen.given_cosine)), state

  return Rule(decide)


# What rules learn is learned from about so many rows, the last ones ...
_ROWS_REMEMBERED = 6400
# ... of which at least so many of a batch are looked at, and more while rows x
# classes are below a number.
_LEAST_ROWS, _CHEAP = 4, 2**18


def some_rows(count: int, num_classes: int) -> int:
  """Of `count` rows, so many that a look at all their cosines is cheap."""
  return min(count, max(_LEAST_ROWS, _CHEAP // num_classes))


def _kept(count):
  """What is left of a sum over the rows remembered when so many are added."""
  return jnp.maximum(1 - count / _ROWS_REMEMBERED, 0)


def posterior_rule() -> Rule:
  """The class that is most probable, given the cosines and the given label.

  Concentration and noise rate are learned from the given labels of the last
  rows, at every batch; there is nothing to choose. A row is trained with its
  most probable class k, and counts as much as k is more probable than all else:
  max(2 P(k | row, y) - 1, 0). So of a row that no class is sure of nothing is
  learned at this visit. The nearest class becomes the label if it has more than
  one half.
  """

  def learn(glimpse, state, num_classes):
    rows = some_rows(len(glimpse.mask), num_classes)
    cosine, mask = glimpse.given_cosine[:rows], glimpse.mask[:rows]
    sums = glimpse.log_sums(posterior.KAPPAS, rows)
    new = posterior.log_likelihoods(cosine, sums, mask, num_classes)
    total = _kept(mask.sum()) * state['likelihood'] + new
    total = total - total.max()  # of no consequence, but small numbers
    return {'likelihood': total}, posterior.fit(total).kappa

  def decide(seen, state, num_classes):
    of_given, of_nearest = posterior.probabilities(
      seen.given_cosine,
      seen.nearest_cosine,
      seen.log_sum_exp,
      posterior.fit(state['likelihood']),
      num_classes,
    )
    weight = jnp.maximum(2 * jnp.maximum(of_given, of_nearest) - 1, 0)
    return Decision(of_nearest > 0.5, weight), state

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

  return Rule(decide, init_state, learn, tell, guarded=True)


# What the label of a noisy row keeps of the given one.
_SMOOTHING = 0.1


def repface() -> Rule:
  """Clean, ambiguous and noisy rows, the last two with soft labels.

  A row's gap, max_j c_j - c_y, is how much nearer its nearest class k is than
  its given one. That of generated closed-set noise, rows with the label of
  another one in the batch, tells how large it is where a label is wrong. With
  t half of its mean over the last rows, a row is clean at gap 0, noisy above t
  and ambiguous between. A noisy row is trained with k, smoothed by the given
  label. For an ambiguous one the predictions that have gathered are fused with
  the given label: that has one vote, and k one for each visit in a row, up to
  this one, that k was nearest at. What has the larger share is the label.
  """

  def decide(seen, state, num_classes):
    del num_classes
    wrong = jnp.roll(seen.given, 1)
    real = (seen.mask & (wrong != seen.given)).astype(seen.given_cosine.dtype)
    gap = seen.nearest_cosine - seen.cosine_of(wrong)
    kept = _kept(real.sum())
    state = {
      'gap': kept * state['gap'] + (real * gap).sum(),
      'rows': kept * state['rows'] + real.sum(),
    }
    gap = seen.nearest_cosine - seen.given_cosine
    votes = (seen.times + 1).astype(gap.dtype)
    fused = jnp.where(gap > 0, votes / (votes + 1), 0)
    mix = jnp.where(gap > threshold(state), 1 - _SMOOTHING, fused)
    return Decision(mix > 0.5, jnp.ones_like(gap), mix), state

  def threshold(state):
    return state['gap'] / jnp.maximum(state['rows'], 1) / 2

  def init_state():
    return {'gap': jnp.zeros(()), 'rows': jnp.zeros(())}

  def tell(state, num_classes):
    del num_classes
    return {'rule_margin': threshold(state)}

  return Rule(decide, init_state, tell=tell, guarded=True, remembers=True)


RULES = {
  'none': lambda: None,
  'boundary': boundary,
  'posterior': posterior_rule,
  'repface': repface,
}


def build(name: str) -> Rule | None:
  """The rule called `name`; None for 'none'.

  Raises:
    UserError: if there is no such rule.
  """
  return errors.choose('rule', name, RULES)()
