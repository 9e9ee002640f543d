"""The cosines of rows with some classes of a device, chunk after chunk."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax.heads import classes


class View(NamedTuple):
  """The rows and the classes that a device looks at, and how.

  Attributes:
    unit: [n, d], the embeddings of the rows, of length 1.
    centres: [c, K d], of all classes of the device, K centres each.
    dropped: bool [c, K], the centres that are left out; None: all are in.
    mine: the classes of the device.
    places: int32 [m], where in `centres` the classes looked at lie, ascending,
      c for none at all; None: all are looked at.
    size: the most classes of a chunk; 0: there is one chunk.
    num_classes: how many there are on all devices; those beyond are padding.
    precision: of the products, one of `classes.PRECISIONS`.
    cosine: [n, m K], where they are kept; None: they are computed for a chunk
      whenever that is looked at.
  """

  unit: jax.Array
  centres: jax.Array
  dropped: jax.Array | None
  mine: classes.Mine
  places: jax.Array | None
  size: int
  num_classes: int
  precision: str
  cosine: jax.Array | None = None

  def keep(self):
    """The same view, with all its cosines, computed now."""
    centres, *_ = self._chunk(0, self.length, 0)
    cosine = _of_centres(centres, self.unit, self.precision)
    return self._replace(cosine=cosine)

  def in_parts(self, rate: float):
    """The same view, of no more than such a part of the classes at a time."""
    return self._replace(size=self.size or math.ceil(rate * self.length))

  def fold(self, look, carry):
    """What is left of `carry` when all classes have been looked at.

    Args:
      look: (carry, cosine [n, k], ids [k]) -> carry, of a chunk.
      carry: the same on all devices.
    """

    def step(carry, *where):
      _, each, dropped, ids = self._chunk(*where)
      return look(carry, _of_classes(each, dropped, len(ids)), ids)

    return classes.fold(step, classes.of_each(carry), self.length, self.size)

  @property
  def length(self) -> int:
    """How many classes are looked at."""
    return len(self.centres if self.places is None else self.places)

  def pull(self, slope):
    """Gradients of (centres, unit).

    Args:
      slope: (cosine [n, k], ids [k]) -> [n, k], the cosines' gradients.
    """

    def step(carry, first, number, seen):
      of_centres, of_unit = carry
      centres, each, dropped, ids = self._chunk(first, number, seen)
      cosine, back = jax.vjp(
        lambda each: _of_classes(each, dropped, number), each
      )
      own, more = classes.pull_cosines(
        centres.reshape(-1, self.unit.shape[1]),
        self.unit,
        each,
        *back(slope(cosine, ids)),
        self.precision,
      )
      own = own.reshape(centres.shape)
      if self.places is None:
        of_centres = jax.lax.dynamic_update_slice_in_dim(
          of_centres, own, first, 0
        )
      else:
        place = _slice(self.places, first, number)
        of_centres = of_centres.at[place].set(own, mode='drop')
      return of_centres, of_unit + more

    zeros = [jnp.zeros(x.shape, x.dtype) for x in (self.centres, self.unit)]
    carry = classes.of_each(tuple(zeros))
    return classes.fold(step, carry, self.length, self.size)

  def cosine_of(self, label):
    """Cosines with any class a row, of any device: [n]."""
    place = self.mine.place(label)
    own = self.at(place).max(1)
    return classes.total(jnp.where(place < self.mine.count, own, 0))

  def log_sums_at(self, kappas, rows: int):
    """log sum_j exp(kappa c_j) of the first rows: [len(kappas), rows]."""
    cosine = None if self.cosine is None else self.cosine[:rows]
    some = self._replace(unit=self.unit[:rows], cosine=cosine)

    def logits(cosine, ids):
      is_there = ids[None] != classes.NONE
      return [jnp.where(is_there, float(k) * cosine, -jnp.inf) for k in kappas]

    return jnp.stack(some.log_sums(logits, [some.unit[:, 0] for _ in kappas]))

  def log_sums(self, logits, like):
    """log sum_j exp(z_j) over the classes of all devices: a list of [n].

    Args:
      logits: (cosine [n, k], ids [k]) -> a list of z [n, k], minus infinity for
        what is left out.
      like: a list of [n], one for each z; its values are of no consequence.
    """

    def look(carry, cosine, ids):
      return [
        _join(
          *of_z,
          *jax.lax.platform_dependent(
            z, cpu=_sum_exp_in_steps, default=_sum_exp_at_once
          ),
        )
        for of_z, z in zip(carry, logits(cosine, ids), strict=True)
      ]

    nothing = [
      (jnp.full(x.shape, -jnp.inf, x.dtype), jnp.zeros(x.shape, x.dtype))
      for x in like
    ]
    found = []
    for largest, total in self.fold(look, nothing):
      top = classes.OF_DEVICES.most(largest)
      total = classes.total(total * jnp.exp(largest - classes.finite(top)))
      found.append(jnp.log(total) + top)
    return found

  def at(self, place):
    """Cosines of each row with the centres of one class: [n, K].

    Args:
      place: int32 [n], of that class among those of the device; of no
        consequence where it is beyond.
    """
    rows, dim = self.unit.shape
    own = self.centres.at[place].get(mode='clip').reshape(-1, dim)
    own = classes.normalise(own)[0].reshape(rows, -1, dim)
    cosine = jnp.einsum('nkd,nd->nk', own, self.unit, precision='highest')
    if self.dropped is None:
      return cosine
    dropped = self.dropped.at[place].get(mode='clip')
    return jnp.where(dropped, -jnp.inf, cosine)

  def _chunk(self, first, number, seen):
    """Of a chunk: centres [k, K d], cosines [n, k K], dropped, ids [k].

    The ids of the foremost classes, which are passed over, are NONE.
    """
    place = first + jnp.arange(number, dtype=jnp.int32)
    is_new = place >= first + seen
    of_class = self.centres, self.dropped
    if self.places is None:
      of_class = [_slice(x, first, number) for x in of_class]
    else:
      place = _slice(self.places, first, number)
      of_class = [
        x if x is None else x.at[place].get(mode='clip') for x in of_class
      ]
    ids = self.mine.first + place
    is_new &= (place < self.mine.count) & (ids < self.num_classes)
    if self.cosine is None:
      each = _of_centres(of_class[0], self.unit, self.precision)
    else:
      times = self.cosine.shape[1] // self.length
      each = _slice(self.cosine, times * first, times * number, axis=1)
    return of_class[0], each, of_class[1], jnp.where(is_new, ids, classes.NONE)


def best_size(mesh) -> int:
  """How many kept cosines a device best looks at together; 0: all.

  A processor looks at them several times, each of which its cache should hold.
  """
  return 2048 if mesh.devices.flat[0].platform == 'cpu' else 0


def _slice(values, first, number, axis=0):
  if values is None or number == values.shape[axis]:
    return values
  return jax.lax.dynamic_slice_in_dim(values, first, number, axis)


def _of_centres(centres, unit, precision):
  """Cosines [n, k K] of centres [k, K d]."""
  return classes.cosines(centres.reshape(-1, unit.shape[1]), unit, precision)


def _of_classes(each, dropped, number):
  """Cosines of the nearest centre of each class: [n, k K] to [n, k]."""
  if each.shape[1] == number:
    return each
  each = each.reshape(len(each), number, -1)
  if dropped is not None:
    each = jnp.where(dropped[None], -jnp.inf, each)
  return each.max(2)


def _sum_exp_at_once(z):
  """(max, sum exp(z - max)) of each row, in one look: [n] each."""
  none = jnp.asarray(-jnp.inf, z.dtype), jnp.zeros((), z.dtype)
  ones = jnp.ones(z.shape, z.dtype)
  return jax.lax.reduce((z, ones), none, lambda a, b: _join(*a, *b), (1,))


def _sum_exp_in_steps(z):
  """The same in two looks, of which XLA:CPU makes vectors."""
  largest = z.max(1)
  return largest, jnp.exp(z - classes.finite(largest)[:, None]).sum(1)


def _join(largest, total, other_largest, other_total):
  """(max, sum exp(z - max)) of what two such are of."""
  top = jnp.maximum(largest, other_largest)
  base = classes.finite(top)
  mine = total * jnp.exp(largest - base)
  return top, mine + other_total * jnp.exp(other_largest - base)
