"""Cosines with all classes, of which each device holds some.

A device looks at the cosines of n rows with its own classes chunk after chunk,
so that there are never more than one chunk's: [n, k]. What crosses the devices
is a few numbers a row; on the way back the gradients of the embeddings gathered
are reduce-scattered.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import sharding
from bfjax.heads import angles

AXIS = sharding.AXIS
NONE = jnp.iinfo(jnp.int32).max  # no class; larger than any

# How exactly products are computed: of which type, and with which precision.
PRECISIONS = {
  'float32': (None, jax.lax.Precision.HIGHEST),
  'tf32': (None, jax.lax.Precision.HIGH),
  'bfloat16': (jnp.bfloat16, jax.lax.Precision.DEFAULT),
}


class Mine(NamedTuple):
  """The classes of this device: `count` of them from `first` on."""

  first: jax.Array
  count: int  # type: ignore[assignment]

  @classmethod
  def here(cls, count: int):
    """Those of the device that this is traced for; each has `count`."""
    return cls(jax.lax.axis_index(AXIS) * count, count)

  def place(self, label):
    """Index of each row's label; that of another device's is `count`."""
    local = label - self.first
    inside = (local >= 0) & (local < self.count)
    return jnp.where(inside, local, self.count)


def gather(values):
  """The rows of all devices, with a gradient."""
  return jax.lax.all_gather(values, AXIS, tiled=True)


def all_rows(values):
  """The rows of all devices, which are the same on each; no gradient."""
  values = jax.lax.stop_gradient(values)
  return jax.lax.all_gather(values, AXIS, tiled=True, to='invarying')


def own_rows(values):
  """This device's rows of an array that every device has in full."""
  rows = len(values) // jax.lax.axis_size(AXIS)
  first = jax.lax.axis_index(AXIS) * rows
  return jax.lax.dynamic_slice_in_dim(values, first, rows)


def total(values):
  """The sum over the devices."""
  return jax.lax.psum(values, AXIS)


def of_each(values):
  """The same values, as each device's own."""
  return jax.tree.map(lambda x: jax.lax.pcast(x, AXIS, to='varying'), values)


def no_counts(*shape: int):
  """Zeros, f32 [*shape], for what each device counts of its own classes."""
  return of_each(jnp.zeros(shape, jnp.float32))


class Reducers(NamedTuple):
  """How what parts of the classes say of rows becomes what all of them say.

  Attributes:
    most: arrays to the largest entry for each row.
    least: likewise.
    total: to the sum.
  """

  most: Callable
  least: Callable
  total: Callable


def _along(function):
  return functools.partial(function, axis=1, keepdims=True)


# Of parts [n, p]; and of [n, 1] on each device.
OF_PARTS = Reducers(_along(jnp.max), _along(jnp.min), _along(jnp.sum))
OF_DEVICES = Reducers(
  functools.partial(jax.lax.pmax, axis_name=AXIS),
  functools.partial(jax.lax.pmin, axis_name=AXIS),
  total,
)


def finite(values):
  """0 in place of minus infinity: x - finite(max of x) is never inf - inf."""
  return jnp.where(values > -jnp.inf, values, 0)


def is_such(such, label, mine):
  """Whether the class of each label, of any device, is: bool [c] -> [n]."""
  found = such.at[mine.place(label)].get(mode='fill', fill_value=False)
  return total(found.astype(jnp.int32)) > 0


def normalise(vectors):
  """Vectors [n, d] of length 1, and their lengths [n]; zero stays zero."""
  square = (vectors * vectors).sum(-1)
  norm = jnp.sqrt(jnp.where(square > 0, square, 1))
  unit = jnp.where((square > 0)[:, None], vectors / norm[:, None], 0)
  return unit, jnp.where(square > 0, norm, 0)


def product(a, b, precision: str):
  """The matrix product a b of two float arrays, in their type."""
  dtype, how = PRECISIONS[precision]
  narrow = (a, b) if dtype is None else (a.astype(dtype), b.astype(dtype))
  return jnp.matmul(*narrow, precision=how, preferred_element_type=a.dtype)


def cosines(centres, unit, precision: str):
  """Cosines [n, k] of unit vectors [n, d] with centres [k, d].

  The products are divided by the centres' lengths, rather than the centres,
  which saves two arrays of the centres' size.
  """
  products = product(unit, centres.T, precision)
  return angles.clip(products * _inverse_lengths(centres)[None], -1.0, 1.0)


def pull_cosines(centres, unit, cosine, slope, precision: str):
  """Gradients of (centres, unit), from those of the cosines, `slope` [n, k].

  At and beyond +-1, and of a centre of length 0, there is none.
  """
  inverse = _inverse_lengths(centres)
  slope = jnp.where(jnp.abs(cosine) < 1, slope * inverse[None], 0)
  along = (slope * cosine).sum(0) * inverse
  of_centres = product(slope.T, unit, precision) - along[:, None] * centres
  return of_centres, product(slope, centres, precision)


def _inverse_lengths(centres):
  square = (centres * centres).sum(-1)
  return jnp.where(
    square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0
  )


def fold(look, carry, count: int, size: int):
  """What is left of `carry` after a look at all of `count` classes.

  Where chunks do not fit in evenly, the last classes come first, together with
  some that come again: those are to be passed over then.

  Args:
    look: (carry, first, number, seen) -> carry, of so many classes from `first`
      on, of which the foremost `seen` are passed over.
    carry: of this device.
    count: of classes.
    size: the most that are looked at together; 0: all.
  """
  chunks = -(-count // (size or count))
  if chunks == 1:
    return look(carry, 0, count, 0)
  size = -(-count // chunks)
  over = chunks * size - count

  def step(i, carry):
    if not over:
      return look(carry, i * size, size, 0)
    is_last = i == 0
    first = jnp.where(is_last, count - size, (i - 1) * size)
    return look(carry, first, size, jnp.where(is_last, over, 0))

  return jax.lax.fori_loop(0, chunks, step, carry)
