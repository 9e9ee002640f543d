"""What one look at all classes says of rows.

Which class a row is trained with is decided by what is found here, and so is
which class is the nearest of the others: nobody has to look a second time for
that, nor for the sum over the others. So the nearest class is kept out of the
sum, as are those known before: whichever becomes the label, no number is ever
taken off a sum that it makes up nearly all of.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax.heads import classes


class Survey(NamedTuple):
  """Of n rows, on every device the same.

  Attributes:
    ids: int32 [n, e], classes that are told apart: the known ones, the nearest
      of the others, the nearest after that. NONE where there is none.
    cosine: [n, e], of these; minus infinity for none.
    rest: a list of [n, 1], log sum_j exp(scale c_j) over all but these, for
      each scale; the last of these is in the sum.
    scales: a list of scalars.
  """

  ids: jax.Array
  cosine: jax.Array
  rest: list
  scales: list

  def cosine_of(self, label):
    """The cosine of each row's label: [n]; it is known, or the nearest."""
    return jnp.where(self.ids == label[:, None], self.cosine, -jnp.inf).max(1)

  def nearest(self, but=None):
    """Cosine and lowest number of the nearest class: [n] each.

    Args:
      but: int32 [n], a class that does not count; it is known, or the nearest.
    """
    cosine = self._without(but)
    largest = cosine.max(1)
    lowest = _ids(cosine == largest[:, None], self.ids).min(1)
    return largest, lowest

  def log_sum(self, number: int, but=None):
    """log sum_j exp(scale c_j), at the scale of that number: [n].

    Args:
      number: of the scale.
      but: as of `nearest`.
    """
    told = self.scales[number] * self._without(but)[:, :-1]
    each = jnp.concatenate([told, self.rest[number]], axis=1)
    return jax.nn.logsumexp(each, axis=1)

  def _without(self, label):
    if label is None:
      return self.cosine
    return jnp.where(self.ids == label[:, None], -jnp.inf, self.cosine)


class _Part(NamedTuple):
  """What some classes say; [n, 1] each.

  Attributes:
    known: cosines of the known classes, 0 where they are not among these.
    first, second: the two largest cosines of other classes.
    first_id, second_id: the lowest classes that have them.
    rest: sum_j exp(scale (c_j - first)) over all but the known and the first,
      for each scale.
  """

  known: list
  first: jax.Array
  first_id: jax.Array
  second: jax.Array
  second_id: jax.Array
  rest: list


def take(view, known, scales) -> Survey:
  """Looks at all classes of a `views.View` once.

  Args:
    view: the rows and the classes.
    known: a list of int32 [n], classes that may be the row's label; none twice
      in a row, NONE instead.
    scales: a list of numbers, f32 scalars if traced.
  """

  def look(part, cosine, ids):
    new = _look(cosine, ids, known, scales)
    both = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), part, new)
    return _join(both, scales, classes.OF_PARTS)

  shape, dtype = (len(view.unit), 1), view.unit.dtype
  none, zero = jnp.full(shape, -jnp.inf, dtype), jnp.zeros(shape, dtype)
  no_id = jnp.full(shape, classes.NONE, jnp.int32)
  nothing = _Part(
    [zero for _ in known], none, no_id, none, no_id, [zero for _ in scales]
  )
  part = _join(view.fold(look, nothing), scales, classes.OF_DEVICES)
  known_cosine = [
    jnp.where(label[:, None] == classes.NONE, -jnp.inf, cosine)
    for label, cosine in zip(known, part.known, strict=True)
  ]
  ids = [*(x[:, None] for x in known), part.first_id, part.second_id]
  cosines = [*known_cosine, part.first, part.second]
  rest = [
    jnp.log(x) + scale * part.first
    for x, scale in zip(part.rest, scales, strict=True)
  ]
  return Survey(
    jnp.concatenate(ids, axis=1), jnp.concatenate(cosines, axis=1), rest, scales
  )


def _look(cosine, ids, known, scales) -> _Part:
  """What one chunk says: cosines [n, k] of classes ids [k]."""
  ids = ids[None]
  is_known = [ids == label[:, None] for label in known]
  left_out = functools.reduce(operator.or_, is_known, ids == classes.NONE)
  first, first_id, *of_known = _nearest(
    cosine, ids, left_out, [jnp.where(x, cosine, 0) for x in is_known]
  )
  left_out |= ids == first_id
  gap = jnp.where(left_out, -jnp.inf, cosine - classes.finite(first))
  second, second_id, *rest = _nearest(
    cosine, ids, left_out, [jnp.exp(scale * gap) for scale in scales]
  )
  return _Part(of_known, first, first_id, second, second_id, rest)


def _nearest(cosine, ids, left_out, addends):
  """The largest cosines, the lowest classes that have them, and sums: [n, 1].

  Args:
    cosine: [n, k].
    ids: [1, k].
    left_out: bool [n, k] or [1, k].
    addends: a list of [n, k].
  """
  return jax.lax.platform_dependent(
    *(cosine, ids, left_out, *addends),
    cpu=_reduce_in_steps,
    default=_reduce_at_once,
  )


def _reduce_at_once(cosine, ids, left_out, *addends):
  """In one look, as a GPU's compiler would not make of several reductions."""

  def join(a, b):
    is_a = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] < b[1]))
    nearer = [jnp.where(is_a, *x) for x in zip(a[:2], b[:2], strict=True)]
    return (*nearer, *map(operator.add, a[2:], b[2:]))

  zero = jnp.zeros((), cosine.dtype)
  none = zero - jnp.inf, jnp.int32(classes.NONE), *[zero for _ in addends]
  told_apart = jnp.where(left_out, none[0], cosine), _ids(~left_out, ids)
  found = jax.lax.reduce((*told_apart, *addends), none, join, (1,))
  return tuple(x[:, None] for x in found)


def _reduce_in_steps(cosine, ids, left_out, *addends):
  """In several looks, each of which XLA:CPU makes vectors of."""
  largest = jnp.where(left_out, -jnp.inf, cosine).max(1, keepdims=True)
  such = (cosine == largest) & ~left_out
  lowest = _ids(such, ids).min(1, keepdims=True)
  return largest, lowest, *[x.sum(1, keepdims=True) for x in addends]


def _ids(such, ids):
  """The classes that are such, NONE in place of the others."""
  return jnp.where(such, ids, classes.NONE)


def _join(part, scales, reducers) -> _Part:
  """What several parts of the classes say together."""
  most, least, total = reducers
  first = most(part.first)
  first_id = least(_ids(part.first == first, part.first_id))
  # The others' first is the best that they have for a second.
  wins = part.first_id == first_id
  second = jnp.where(wins, part.second, part.first)
  second_id = jnp.where(wins, part.second_id, part.first_id)
  largest = most(second)
  gap = jnp.where(part.first > -jnp.inf, part.first - first, -jnp.inf)
  rest = [
    total((of_part + jnp.where(wins, 0, 1)) * jnp.exp(scale * gap))
    for of_part, scale in zip(part.rest, scales, strict=True)
  ]
  return _Part(
    [total(x) for x in part.known],
    first,
    first_id,
    largest,
    least(_ids(second == largest, second_id)),
    rest,
  )
