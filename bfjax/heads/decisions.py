"""What rows are trained with: the rule's word, the guard's, that of visits.

The guard sees to it that no class swallows others, and none loses nearly all
its rows. A net that learns from its own corrections may come to take one class
for that of all rows; the noise rate that it then believes in makes it surer of
it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import labels
from bfjax.heads import classes, rules

# A guarded class may be trained with so many times the rows that are given as
# it, and some more, and lose all but such a part of them.
_MOST, _MORE, _LEAST = 2, 2, 0.25


class Rows(NamedTuple):
  """The rows of all devices, [n] each.

  Attributes:
    norm: length of the embedding.
    given: int32, the given label.
    mask: bool, whether the row counts.
    own: int32, the class whose cosine is to be told.
  """

  norm: jax.Array
  given: jax.Array
  mask: jax.Array
  own: jax.Array


class Used(NamedTuple):
  """What rows are trained with, [n] each.

  Attributes:
    label: int32, the label used.
    weight: of the row's loss and penalty.
    second: int32, the other class of a soft label; None if it is not soft.
    share: of the second in it.
  """

  label: jax.Array
  weight: jax.Array
  second: jax.Array | None = None
  share: jax.Array | None = None


def see(head, survey, rows: Rows, state, now, past, cosine_of) -> rules.Seen:
  """What a rule sees of the rows.

  Where the given label is itself the nearest, taking it changes nothing. So
  the nearest of all classes serves for the nearest of the others, since phi
  never exceeds the cosine.

  Args:
    head: a `softmax.Head` with a rule.
    survey: `survey.Survey` of all classes, where the given labels are known.
    rows: of all devices.
    state: the margin's.
    now: what the epoch decides.
    past: `labels.Past` of all rows, or None.
    cosine_of: int32 [n], a class for each row -> [n], its cosine.
  """
  nearest_cosine, nearest = survey.nearest()
  times = None
  if past is not None:
    times = jnp.where(nearest == past.proposed, past.times, 0)
  return rules.Seen(
    given=rows.given,
    given_cosine=survey.cosine_of(rows.given),
    nearest=nearest,
    nearest_cosine=nearest_cosine,
    nearest_phi=head.margin.phi(nearest_cosine, rows.norm, state),
    margin=now.rule_margin,
    mask=rows.mask,
    log_sum_exp=survey.log_sum(-1) if head.rule.learn else None,
    cosine_of=cosine_of,
    times=times,
  )


def decide(head, seen: rules.Seen, state, now, past):
  """What the rule of a head makes of the labels: (Used, state, past).

  Args:
    head: a `softmax.Head` with a rule.
    seen: of the rows of all devices.
    state: the head's.
    now: what the epoch decides.
    past: `labels.Past` of all rows, or None.
  """
  rule, given, class_rows = head.rule, seen.given, state['class_rows']
  decision, rule_state = rule.decide(seen, state['rule'], head.num_classes)
  if rule.guarded:
    mine = classes.Mine.here(len(class_rows))
    decision = _guard(decision, class_rows, seen, mine)
  label = jnp.where(now.correcting & decision.accept, seen.nearest, given)
  weight = jnp.where(now.correcting, decision.weight, 1)
  if head.visits > 1:
    past = labels.settle(past, label, head.visits)
    weight = jnp.where(label == past.label, weight, 0)
    label = past.label
  elif rule.remembers:
    past = labels.settle(past, seen.nearest, head.visits)
  used = Used(label, weight)
  if decision.mix is not None:
    is_kept = label == given
    share = jnp.where(is_kept, decision.mix, 1 - decision.mix)
    used = used._replace(
      second=jnp.where(is_kept, seen.nearest, given),
      share=jnp.where(now.correcting, share, 0),
    )
  if rule.guarded:
    counted = _count_rows(given, label, seen.mask, mine)
    class_rows = head.kept * class_rows + counted
  return used, state | dict(rule=rule_state, class_rows=class_rows), past


def new_class_rows(rule, padded_classes: int):
  """Rows given as each class, and trained as it, as yet: f32 [classes, 2].

  {} where the rule is not guarded.
  """
  return jnp.zeros((padded_classes, 2)) if rule and rule.guarded else {}


def _guard(decision, class_rows, seen, mine):
  """Refuses corrections into a swollen class, or out of an empty one.

  Rows of a refused correction are unsure ones. `class_rows`, [c, 2], is how
  many rows were given as each class of this device, and trained as it, in about
  the last epoch.
  """
  given_as, trained_as = class_rows[:, 0], class_rows[:, 1]
  is_swollen = trained_as > _MOST * given_as + _MORE
  is_empty = trained_as < _LEAST * given_as
  wrong = classes.is_such(is_swollen, seen.nearest, mine)
  wrong |= classes.is_such(is_empty, seen.given, mine)
  refused = wrong & decision.accept & (seen.nearest != seen.given)
  return decision._replace(
    accept=decision.accept & ~refused,
    weight=jnp.where(refused, 0, decision.weight),
  )


def _count_rows(given, label, mask, mine):
  """How many rows are given, and used, as each class of this device: [c, 2]."""
  rows = classes.no_counts(mine.count, 2)
  for column, of_row in enumerate((given, label)):
    rows = rows.at[mine.place(of_row), column].add(
      mask.astype(rows.dtype), mode='drop'
    )
  return rows
