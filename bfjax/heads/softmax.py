"""The class-parallel softmax: embeddings and centres in, losses out.

The one module with collectives. Each device holds some of the batch's rows
and some of the class centres. Embeddings and labels are gathered, every
device computes the cosines of all rows with its own classes, and what then
crosses the devices is a few numbers a row: maxima, sums, and the cosines that
are read at one class. On the way back the gradients of the embeddings are
reduce-scattered. Nothing as long as the classes ever leaves its device.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from bfjax import errors, sharding
from bfjax.heads import corrections, margins

AXIS = sharding.AXIS
_BLOCK = 4096  # classes that are searched at a time


class HeadOutput(NamedTuple):
  """Per-row results, split over the devices by row, and the margin's state.

  Attributes:
    loss: [n], cross-entropy of scale * logit at the label used, or, where the
      rule has soft labels, at both of their classes, by their shares.
    penalty: [n], the penalty, not yet weighted by lambda; 0 without one.
    label: int32 [n], the label used: the given one, or its correction.
    weight: [n], of the row's loss and penalty, as the rule has it; else 1.
    target_cosine: [n], cosine of the label used.
    other_cosine: [n], cosine of the nearest class other than the label used.
    correct: bool [n], the given label is the nearest class; a tie is not.
    past: `corrections.Past` of the next visit, int32 [n] each; None without.
    state: see `init_state`; of the margin and the rule it is replicated, what
      is of classes lies as the centres do.
  """

  loss: jax.Array
  penalty: jax.Array
  label: jax.Array
  weight: jax.Array
  target_cosine: jax.Array
  other_cosine: jax.Array
  correct: jax.Array
  past: corrections.Past | None
  state: dict


class SubCentres(NamedTuple):
  """Several centres a class, of which the minor ones are dropped in the end.

  Source: Sub-center ArcFace (Deng et al., ECCV 2020). There, the dropping ends
  a first training and a second one begins, on the rows that are left; here it
  is an epoch of one training.

  Attributes:
    count: K of a class.
    drop_angle: rows further from their class's dominant sub-centre, in
      radians, have no loss once the others are dropped.
  """

  count: int
  drop_angle: float


class Now(NamedTuple):
  """What the epoch decides: scalars, which may be traced.

  Attributes:
    correcting: whether the rule is in force yet.
    rule_margin: the rule's own margin; None: the margin's phi.
    dropping: whether minor sub-centres are left out.
  """

  correcting: jax.Array | bool
  rule_margin: jax.Array | float | None = None
  dropping: jax.Array | bool = False


def make_head(
  mesh: Mesh,
  *,
  margin: margins.Margin,
  rule: corrections.Rule | None,
  penalty: Callable | None,
  num_classes: int,
  scale: float,
  kept: float = 0.0,
  sub_centres: SubCentres | None = None,
  visits: int = 1,
) -> Callable:
  """Returns the head for this mesh, a pure function of arrays.

    head(embedding, centres, label, mask, state, now, past) -> HeadOutput

  With c_j = <e, w_j> / (|e| |w_j|) and y' the label after the rule,

    loss = log sum_j exp(scale * z_j) - scale * z_y',
    z_y' = phi(c_y'),  z_j = others(c_j).

  With sub-centres, c_j is the largest of the class's (Deng et al., ECCV 2020).
  The decision of the rule and the state have no gradient. Ties go to the
  lowest class. An embedding or a centre of length 0 has cosine 0 with
  everything and gets no gradient.

  Arguments of the head:
    embedding: [n, d], any float type, computed with in the centres' type;
      n divisible by the devices. Rows lie over them.
    centres: f32 or f64 [padded_classes, d], classes lie over the devices;
      padded_classes = sharding.pad_to(num_classes, mesh). What the rows beyond
      num_classes hold has no influence, and they get no gradient. With k
      sub-centres [k padded_classes, d], those of a class one after another.
    label: int32 [n], the given labels, in [0, num_classes).
    mask: bool [n], the rows that count in the state.
    state: what `init_state` gave, or the previous step's.
    now: what the epoch decides.
    past: what earlier visits have left of the rows; None if visits is 1 and
      the rule does not remember them.

  Args:
    mesh: from sharding.make_mesh.
    margin: from margins.build.
    rule: from corrections.build_rule; with None nothing of it is computed.
    penalty: from corrections.PENALTIES, likewise.
    num_classes: the number of real classes.
    scale: s.
    kept: what each step keeps of the counts of rows in the state, below 1.
    sub_centres: None for one centre a class.
    visits: a label changes once so many visits in a row propose the same;
      until then the row is an unsure one.

  Raises:
    UserError: if there are fewer than two classes.
  """
  if num_classes < 2:
    raise errors.UserError(
      f'A softmax needs at least 2 classes, not {num_classes}: the data set '
      'has images of one person only.'
    )
  split, whole = PartitionSpec(AXIS), PartitionSpec()
  per_device = functools.partial(
    _head,
    margin=margin,
    rule=rule,
    penalty=penalty,
    num_classes=num_classes,
    scale=scale,
    kept=kept,
    sub_centres=sub_centres,
    visits=visits,
  )
  state = dict(margin=whole, rule=whole, class_rows=split, sub_centre_use=split)
  mapped = jax.shard_map(
    per_device,
    mesh=mesh,
    in_specs=(split, split, split, split, state, whole, split),
    out_specs=HeadOutput(*[split] * 8, state=state),
  )

  def head(embedding, centres, label, mask, state, now, past=None):
    return mapped(embedding, centres, label, mask, state, now, past)

  return head


def _head(
  embedding,
  centres,
  label,
  mask,
  state,
  now,
  past,
  *,
  margin,
  rule,
  penalty,
  num_classes,
  scale,
  kept,
  sub_centres,
  visits,
):
  """One device's part: its own rows and classes in, its own rows out."""
  unit, norm = _normalise(embedding.astype(centres.dtype))
  unit = jax.lax.all_gather(unit, AXIS, tiled=True)
  norm, given, mask = map(_all_rows, (norm, label, mask))
  count = len(centres) // (sub_centres.count if sub_centres else 1)
  mine = _Classes(jax.lax.axis_index(AXIS) * count, count)
  real = mine.first + jnp.arange(mine.count) < num_classes
  state = jax.tree.map(lambda x: jnp.asarray(x, centres.dtype), state)
  rule_state, class_rows, use = (
    state[name] for name in ('rule', 'class_rows', 'sub_centre_use')
  )
  cosine = _cosines(centres, unit)
  if sub_centres:
    each = cosine.reshape(count, sub_centres.count, -1)
    minor = now.dropping & ~_is_dominant(use.reshape(each.shape[:2]))
    each = jnp.where(minor[:, :, None], -jnp.inf, each)
    cosine = each.max(1)
  cosine = jnp.where(real[:, None], cosine, -jnp.inf)

  margin_state = margin.see_norms(norm, mask, state['margin'])
  label, weight, second = given, jnp.ones_like(norm), None
  if rule is not None:
    past = jax.tree.map(_all_rows, past)
    seen, nearest = _see(
      cosine,
      given,
      norm,
      mask,
      margin_state,
      mine,
      margin,
      now.rule_margin,
      past,
    )
    decision, rule_state = rule.decide(seen, rule_state, num_classes)
    if rule.guarded:
      decision = _guard(decision, class_rows, given, nearest, mine)
    label = jnp.where(now.correcting & decision.accept, nearest, given)
    weight = jnp.where(now.correcting, decision.weight, weight)
    if visits > 1:
      past = corrections.settle(past, label, visits)
      weight = jnp.where(label == past.label, weight, 0)
      label = past.label
    elif rule.remembers:
      past = corrections.settle(past, nearest, visits)
    past = jax.tree.map(_own_rows, past)
    if decision.mix is not None:
      second = jnp.where(label == given, nearest, given)
      share = jnp.where(label == given, decision.mix, 1 - decision.mix)
      share = jnp.where(now.correcting, share, 0)
    if rule.guarded:
      class_rows = kept * class_rows + _count_rows(given, label, mask, mine)
  target_cosine, cosine = _read(cosine, label, mine)
  if second is not None:
    second_cosine, cosine = _read(cosine, second, mine)
  rest = _hide(cosine, label, mine)
  other_cosine = _largest(rest)
  correct = (label == given) & (target_cosine > other_cosine)
  margin_state = margin.see_targets(
    jax.lax.stop_gradient(target_cosine), mask, margin_state
  )
  if sub_centres:
    use = kept * use + _nearest_use(each, label, mask, mine)
    far = target_cosine < math.cos(sub_centres.drop_angle)
    weight = jnp.where(now.dropping & far, 0, weight)

  target_phi = margin.phi(target_cosine, norm, margin_state)
  extra = jnp.zeros_like(target_phi)
  if penalty is not None:
    # Read where it lies, so that a tie gives its gradient to the lowest class.
    other = _lowest_equal(rest, other_cosine, mine)
    value, rest = _read(rest, other, mine)
    extra = penalty(value, target_phi)
  cross_entropy = functools.partial(
    _cross_entropy, margin=margin, state=margin_state, scale=scale
  )
  loss = cross_entropy(rest, other_cosine, target_cosine, target_phi)
  if second is not None:
    rest = _hide(cosine, second, mine)
    second_phi = margin.phi(second_cosine, norm, margin_state)
    of_second = cross_entropy(rest, _largest(rest), second_cosine, second_phi)
    loss = (1 - share) * loss + share * of_second

  rows = (loss, extra, label, weight, target_cosine, other_cosine, correct)
  state = dict(
    margin=margin_state,
    rule=rule_state,
    class_rows=class_rows,
    sub_centre_use=use,
  )
  return HeadOutput(*map(_own_rows, rows), past=past, state=state)


def _cross_entropy(
  rest, largest, target_cosine, target_phi, *, margin, state, scale
):
  """The cross-entropy of each row's target: [n].

  Args:
    rest: cosines [c, n] of this device's classes, minus infinity at the target.
    largest: [n], the largest of them on any device.
    target_cosine: [n], cosine of the target.
    target_phi: [n], phi of it.
    margin: whose logits the others are.
    state: the margin's.
    scale: s.
  """
  if margin.others is not None:
    seen = rest >= -1  # neither hidden nor padding
    others = margin.others(jnp.where(seen, rest, 0), target_cosine, state)
    rest = jnp.where(seen, others, -jnp.inf)
    largest = _largest(rest)
  # log(1 + sum_j exp(s z_j) / exp(s z_y)): the cross-entropy, without a
  # difference of nearly equal numbers where the row is sure of its label.
  others = _log_sum_exp(rest, largest, scale)
  return jax.nn.softplus(others - scale * target_phi)


class _Classes(NamedTuple):
  """The classes of this device: `count` of them from `first` on."""

  first: jax.Array
  count: int

  def place(self, label):
    """Index of each row's label and the row in cosines [count, n].

    The label of another device gets the index `count`, out of bounds.
    """
    local = label - self.first
    inside = (local >= 0) & (local < self.count)
    return jnp.where(inside, local, self.count), jnp.arange(len(label))


def _see(cosine, given, norm, mask, state, mine, margin, rule_margin, past):
  """What a rule sees of the rows, and the nearest class of each: int32 [n].

  Where the given label is itself the nearest, taking it changes nothing. So
  the nearest of all classes serves for the nearest of the others, since phi
  never exceeds the cosine.
  """
  cosine = jax.lax.stop_gradient(cosine)
  nearest_cosine = _largest(cosine)
  nearest = _lowest_equal(cosine, nearest_cosine, mine)
  given_cosine, _ = _read(cosine, given, mine)

  def log_sum_exp(kappa, rows):
    return _log_sum_exp(cosine[:, :rows], nearest_cosine[:rows], kappa)

  times = None
  if past is not None:
    times = jnp.where(nearest == past.proposed, past.times, 0)
  seen = corrections.Seen(
    given=given,
    given_cosine=given_cosine,
    nearest_cosine=nearest_cosine,
    nearest_phi=margin.phi(nearest_cosine, norm, state),
    margin=rule_margin,
    mask=mask,
    log_sum_exp=log_sum_exp,
    cosine_of=lambda label: _read(cosine, label, mine)[0],
    times=times,
  )
  return seen, nearest


# A guarded class may grow to so many times the rows that are given as it, and
# some more, and lose all but such a part of them.
_MOST, _MORE, _LEAST = 2, 2, 0.25


def _guard(decision, class_rows, given, nearest, mine):
  """Refuses corrections into a class that swallows others, or out of an empty.

  A net that learns from its own corrections may come to take one class for that
  of all rows; the noise rate that it then believes in makes it surer of it.
  Rows of a refused correction are unsure ones.

  Args:
    decision: of the rule.
    class_rows: [c, 2], of each class of this device the rows that were given as
      it, and those that were trained as it, in about the last epoch.
    given: int32 [n], the given labels.
    nearest: int32 [n], the nearest class.
    mine: the classes of this device.
  """
  given_as, trained_as = class_rows[:, 0], class_rows[:, 1]
  is_swollen = _read_class(trained_as > _MOST * given_as + _MORE, nearest, mine)
  is_empty = _read_class(trained_as < _LEAST * given_as, given, mine)
  refused = (nearest != given) & decision.accept & (is_swollen | is_empty)
  return decision._replace(
    accept=decision.accept & ~refused,
    weight=jnp.where(refused, 0, decision.weight),
  )


def _read_class(is_such, label, mine):
  """Whether the class of each label, of any device, is such: bool [n]."""
  place, _ = mine.place(label)
  found = is_such.at[place].get(mode='fill', fill_value=False)
  return jax.lax.psum(found.astype(jnp.int32), AXIS) > 0


def _count_rows(given, label, mask, mine):
  """How many rows are given, and used, as each class of this device: [c, 2]."""
  rows = jnp.zeros((mine.count, 2))
  rows = jax.lax.pcast(rows, AXIS, to='varying')
  for column, of_row in enumerate((given, label)):
    place, _ = mine.place(of_row)
    rows = rows.at[place, column].add(mask.astype(rows.dtype), mode='drop')
  return rows


def _is_dominant(use):
  """The sub-centre of each class that is used most: bool [c, k], one a row."""
  return jax.nn.one_hot(use.argmax(1), use.shape[1], dtype=bool)


def _nearest_use(each, label, mask, mine):
  """How many rows of their label's class each sub-centre is nearest to: [c k].

  Args:
    each: cosines [c, k, n] of this device's sub-centres.
    label: int32 [n]; those of other devices' classes count there.
    mask: bool [n], the rows that count.
    mine: the classes of this device.
  """
  classes, k, _ = each.shape
  place, rows = mine.place(label)
  own = each.at[place, :, rows].get(mode='fill', fill_value=-jnp.inf)
  nearest = place * k + own.argmax(1)
  use = jnp.zeros(classes * k, each.dtype)
  use = jax.lax.pcast(use, AXIS, to='varying')
  return use.at[nearest].add(mask.astype(use.dtype), mode='drop')


def init_state(
  margin: margins.Margin,
  rule: corrections.Rule | None,
  padded_classes: int,
  sub_centres: SubCentres | None = None,
) -> dict:
  """What a head carries along: float32 arrays; {} where there is no need.

  'margin' and 'rule' are theirs. 'class_rows', [padded_classes, 2], is how many
  rows were given as each class, and trained as it; 'sub_centre_use' [all
  sub-centres] is how often each was the nearest of its class.
  """
  is_guarded = rule and rule.guarded
  return {
    'margin': margin.init_state(),
    'rule': rule.init_state() if rule else {},
    'class_rows': jnp.zeros((padded_classes, 2)) if is_guarded else {},
    'sub_centre_use': (
      jnp.zeros(sub_centres.count * padded_classes) if sub_centres else {}
    ),
  }


def _normalise(vectors):
  """Vectors [n, d] of length 1, and their lengths [n]; zero stays zero."""
  square = (vectors * vectors).sum(-1)
  norm = jnp.sqrt(jnp.where(square > 0, square, 1))
  unit = jnp.where((square > 0)[:, None], vectors / norm[:, None], 0)
  return unit, jnp.where(square > 0, norm, 0)


def _cosines(centres, unit):
  """Cosines [c, n] of centres [c, d] with unit vectors [n, d].

  The products are divided by the centres' lengths, rather than the centres,
  which saves two arrays of the centres' size.
  """
  square = (centres * centres).sum(-1)
  inverse = jnp.where(
    square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0
  )
  product = jnp.matmul(centres, unit.T, precision=jax.lax.Precision.HIGHEST)
  return margins.clip(product * inverse[:, None], -1.0, 1.0)


def _read(cosine, label, mine):
  """The entry of each row at `label`, of any device: [n]; and `cosine` again.

  What follows goes on with the cosines handed back: on the way back the
  entries' gradients are then added to that of the whole. JAX's own rule makes
  an array of zeros of its size for them.
  """
  value, cosine = _read_local(cosine, mine.place(label))
  return jax.lax.psum(value, AXIS), cosine


@jax.custom_vjp
def _read_local(cosine, place):
  return cosine.at[place].get(mode='fill', fill_value=0), cosine


def _read_forward(cosine, place):
  return _read_local(cosine, place), place


def _read_backward(place, gradients):
  value, cosine = gradients
  return cosine.at[place].add(value, mode='drop', unique_indices=True), None


_read_local.defvjp(_read_forward, _read_backward)


def _hide(cosine, label, mine):
  """The cosines with minus infinity at each row's label."""
  place = mine.place(label)
  return cosine.at[place].set(-jnp.inf, mode='drop', unique_indices=True)


def _largest(cosine):
  """The largest entry of each row on any device: [n], no gradient."""
  return jax.lax.pmax(jax.lax.stop_gradient(cosine).max(0), AXIS)


def _lowest_equal(cosine, value, mine):
  """The lowest class of all devices whose entry equals `value`: int32 [n]."""
  # In blocks that stay in the processor's cache: an arg-max, which carries two
  # numbers along, is not vectorised by XLA:CPU, and in one piece the class
  # numbers would be an array of the size of the cosines.
  width = min(len(cosine), _BLOCK)
  none = jnp.iinfo(jnp.int32).max

  def look(block, lowest):
    # The last block overlaps the one before it, which does the least no harm.
    start = jnp.minimum(block * width, len(cosine) - width)
    part = jax.lax.dynamic_slice_in_dim(cosine, start, width)
    classes = mine.first + start + jnp.arange(width, dtype=jnp.int32)
    found = jnp.where(part == value[None], classes[:, None], none)
    return jnp.minimum(lowest, found.min(0))

  lowest = jnp.full(value.shape, none, jnp.int32)
  lowest = jax.lax.pcast(lowest, AXIS, to='varying')
  blocks = -(-len(cosine) // width)
  return jax.lax.pmin(jax.lax.fori_loop(0, blocks, look, lowest), AXIS)


def _log_sum_exp(values, largest, scale):
  """log sum_j exp(scale * values_j) over the classes of all devices: [n]."""

  @jax.checkpoint  # the exponentials are sooner computed again than stored
  def total(values):
    return jnp.exp(scale * (values - largest[None])).sum(0)

  return jnp.log(jax.lax.psum(total(values), AXIS)) + scale * largest


def _all_rows(values):
  """The rows of all devices, which are the same on each; no gradient."""
  values = jax.lax.stop_gradient(values)
  return jax.lax.all_gather(values, AXIS, tiled=True, to='invarying')


def _own_rows(values):
  """This device's rows of an array that every device has in full."""
  rows = len(values) // jax.lax.axis_size(AXIS)
  first = jax.lax.axis_index(AXIS) * rows
  return jax.lax.dynamic_slice_in_dim(values, first, rows)
