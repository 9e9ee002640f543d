"""Which class a row is trained with, and what its loss needs to know.

One function, from embeddings and centres to a few numbers a row, whose gradient
is written out: on the way back the cosines are looked at once more, for the
gradients of all these numbers together. They are kept for that, or computed
again for a chunk of classes after another.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import labels
from bfjax.heads import classes, decisions, rules, survey, views


class Asked(NamedTuple):
  """What is given beside embeddings and centres, without a gradient.

  Attributes:
    rows: of all devices.
    state: the head's; what is of classes, of this device's.
    now: what the epoch decides.
    past: `labels.Past` of all rows, or None.
  """

  rows: decisions.Rows
  state: dict
  now: NamedTuple
  past: labels.Past | None


class Of(NamedTuple):
  """What the loss needs to know of one label a row, [n] each.

  Attributes:
    cosine: of the label.
    log_sum: log sum_j exp(scale z_j) over the other classes j, of which the
      margin makes the logits z.
  """

  cosine: jax.Array
  log_sum: jax.Array


class Found(NamedTuple):
  """What has a gradient: of n rows, the same on every device.

  Attributes:
    of: `Of` the label used, and of the second one where there is one.
    other_cosine: [n], cosine of the nearest class other than the label used.
  """

  of: list
  other_cosine: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def search(head, centres, unit, asked: Asked):
  """Decides the labels and looks for what their losses need.

  Args:
    head: a `softmax.Head`.
    centres: [c, K d], of this device's classes, K each.
    unit: [n, d], the embeddings of all rows, of length 1.
    asked: the rest.

  Returns:
    (Found, `decisions.Used`, state, past, cosines of `rows.own`); all but the
    first have no gradient.
  """
  return _forward(head, centres, unit, asked)[0]


def _forward(head, centres, unit, asked):
  view = _view(head, centres, unit, asked)
  known = [asked.rows.given]
  if head.visits > 1:  # what is trained with may be the label before
    known.append(_unlike(known[0], asked.past.label))
  scales = [] if head.margin.others else [head.scale]
  if not head.looks_at_all_first:
    whole, view = view, _of_loss(head, view, known, asked.now)
    of_loss, used, state, past = _decide(head, view, known, scales, asked)
    if 'sampling' in state:
      state['sampling'] = _compare(head, whole, known, used.label, asked)
  else:
    _, used, state, past = _decide(
      head, view.in_parts(head.sampling.rate), known, [], asked
    )
    known = [used.label]
    if used.second is not None:
      known.append(_unlike(used.label, used.second))
    view = _of_loss(head, view, known, asked.now)
    of_loss = survey.take(view, known, scales)
  trained = [x for x in (used.label, used.second) if x is not None]
  cosine = [of_loss.cosine_of(label) for label in trained]
  state['margin'] = head.margin.see_targets(
    cosine[0], asked.rows.mask, state['margin']
  )
  if head.margin.others:
    others = _Others(head, trained, cosine, state['margin'])
    log_sum = view.log_sums(others.logits, cosine)
  else:
    log_sum = [of_loss.log_sum(0, label) for label in trained]
  other_cosine, other = of_loss.nearest(but=used.label)
  if head.sub_centres:
    state['sub_centre_use'] = _count_use(head, view, used.label, asked)
  of = [Of(*x) for x in zip(cosine, log_sum, strict=True)]
  kept = view.places, view.cosine, state['margin'], trained, of, other
  own = view.cosine_of(asked.rows.own)
  found = Found(of, other_cosine), used, state, past, own
  return found, (centres, unit, asked, *kept)


def _backward(head, kept, gradients):
  centres, unit, asked, places, cosine, margin_state, trained, of, other = kept
  found = gradients[0]
  view = _view(head, centres, unit, asked)
  view = view._replace(places=places, cosine=cosine)
  others = _Others(head, trained, [x.cosine for x in of], margin_state)

  def slope(cosine, ids):
    ids = ids[None]
    total = jnp.zeros_like(cosine)
    if head.penalty is not None:
      total = jnp.where(ids == other[:, None], found.other_cosine[:, None], 0)
    logits, back = jax.vjp(lambda x: others.logits(x, ids[0]), cosine)
    weights = [
      g.log_sum[:, None] * jnp.exp(z - classes.finite(x.log_sum)[:, None])
      for z, x, g in zip(logits, of, found.of, strict=True)
    ]
    total += back(weights)[0]
    for label, g in zip(trained, found.of, strict=True):
      total += jnp.where(ids == label[:, None], g.cosine[:, None], 0)
    return total

  return *view.pull(slope), None


search.defvjp(_forward, _backward)


class _Others(NamedTuple):
  """The logits of all classes but one a row, for each of some labels."""

  head: object
  trained: list
  cosine: list
  state: dict

  def logits(self, cosine, ids):
    """A list of scaled logits [n, k]; minus infinity for the label."""
    ids = ids[None]
    found = []
    for label, own in zip(self.trained, self.cosine, strict=True):
      z = cosine
      if self.head.margin.others is not None:
        z = self.head.margin.others(cosine.T, own, self.state).T
      left_out = (ids == label[:, None]) | (ids == classes.NONE)
      found.append(jnp.where(left_out, -jnp.inf, self.head.scale * z))
    return found


def _decide(head, view, known, scales, asked):
  """What is seen of the classes of a view, and what the rule makes of it.

  Returns:
    (`survey.Survey`, `decisions.Used`, state, past).
  """
  rows, state, now, past = asked
  state = dict(state)
  if head.rule is None:
    used = decisions.Used(rows.given, jnp.ones_like(rows.norm))
    return survey.take(view, known, scales), used, state, past
  if head.rule.learn:
    glimpse = rules.Glimpse(
      view.cosine_of(rows.given), rows.mask, view.log_sums_at
    )
    state['rule'], kappa = head.rule.learn(
      glimpse, state['rule'], head.num_classes
    )
    scales = [*scales, kappa]
  found = survey.take(view, known, scales)
  seen = decisions.see(
    head, found, rows, state['margin'], now, past, view.cosine_of
  )
  return found, *decisions.decide(head, seen, state, now, past)


def _compare(head, whole, known, label, asked):
  """Decides on some rows once more, by all classes: how often otherwise."""
  count = rules.some_rows(len(label), head.num_classes)
  rows, past = jax.tree.map(lambda x: x[:count], (asked.rows, asked.past))
  by_all = _decide(
    head,
    whole.in_parts(head.sampling.rate)._replace(unit=whole.unit[:count]),
    [x[:count] for x in known],
    [],
    asked._replace(rows=rows, past=past),
  )[1]
  differs = rows.mask & (by_all.label != label[:count])
  new = {'rows': rows.mask.sum(), 'differing': differs.sum()}
  old = asked.state['sampling']
  return {name: head.kept * old[name] + new[name] for name in new}


def _view(head, centres, unit, asked):
  """All classes of this device."""
  dropped = None
  if head.sub_centres:
    dropped = head.sub_centres.dropped(
      asked.state['sub_centre_use'], asked.now.dropping
    )
  return views.View(
    unit=unit,
    centres=centres,
    dropped=dropped,
    mine=classes.Mine.here(len(centres)),
    places=None,
    size=head.chunk_classes or views.best_size(head.mesh),
    num_classes=head.num_classes,
    precision=head.precision,
  )


def _of_loss(head, view, positives, now):
  """The classes that the loss is of."""
  if head.sampling is not None:
    places = head.sampling.draw(
      now.draw, view.mine, head.num_classes, positives
    )
    view = view._replace(places=places)
  return view if head.chunk_classes else view.keep()


def _unlike(label, other):
  """The other class of each row, NONE where it is the label."""
  return jnp.where(other == label, classes.NONE, other)


def _count_use(head, view, label, asked):
  """How often each sub-centre was the nearest of its class."""
  place = view.mine.place(label)
  now = head.sub_centres.count_nearest(
    view.at(place), place, asked.rows.mask, len(view.centres)
  )
  return head.kept * asked.state['sub_centre_use'] + now
