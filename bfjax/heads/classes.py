"""Cosines with all classes, of which each device holds some.

Here is what is asked of the cosines [c, n] of n rows with the c classes of a
device: the entry at one class, the largest, the lowest class that has it, a
log-sum-exp. What crosses the devices for an answer is a number a row; on the
way back the gradients of the embeddings gathered are reduce-scattered. Whoever
answers these for chunks of classes one after another is a head that never has
all cosines at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax import sharding
from bfjax.heads import angles

AXIS = sharding.AXIS
_BLOCK = 4096  # classes that are searched at a time


class Mine(NamedTuple):
  """The classes of this device: `count` of them from `first` on."""

  first: jax.Array
  count: int  # type: ignore[assignment]

  @classmethod
  def here(cls, count: int):
    """Those of the device that this is traced for; each has `count`."""
    return cls(jax.lax.axis_index(AXIS) * count, count)

  def place(self, label):
    """Index of each row's label and the row in cosines [count, n].

    The label of another device gets the index `count`, out of bounds.
    """
    local = label - self.first
    inside = (local >= 0) & (local < self.count)
    return jnp.where(inside, local, self.count), jnp.arange(len(label))


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


def normalise(vectors):
  """Vectors [n, d] of length 1, and their lengths [n]; zero stays zero."""
  square = (vectors * vectors).sum(-1)
  norm = jnp.sqrt(jnp.where(square > 0, square, 1))
  unit = jnp.where((square > 0)[:, None], vectors / norm[:, None], 0)
  return unit, jnp.where(square > 0, norm, 0)


def cosines(centres, unit):
  """Cosines [c, n] of centres [c, d] with unit vectors [n, d].

  The products are divided by the centres' lengths, rather than the centres,
  which saves two arrays of the centres' size.
  """
  square = (centres * centres).sum(-1)
  inverse = jnp.where(
    square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0
  )
  product = jnp.matmul(centres, unit.T, precision=jax.lax.Precision.HIGHEST)
  return angles.clip(product * inverse[:, None], -1.0, 1.0)


def read(cosine, label, mine):
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


def is_such(such, label, mine):
  """Whether the class of each label, of any device, is: bool [c] -> [n]."""
  place, _ = mine.place(label)
  found = such.at[place].get(mode='fill', fill_value=False)
  return jax.lax.psum(found.astype(jnp.int32), AXIS) > 0


def no_counts(*shape: int):
  """Zeros, f32 [*shape], for what each device counts of its own classes."""
  return jax.lax.pcast(jnp.zeros(shape, jnp.float32), AXIS, to='varying')


def hide(cosine, label, mine):
  """The cosines with minus infinity at each row's label."""
  place = mine.place(label)
  return cosine.at[place].set(-jnp.inf, mode='drop', unique_indices=True)


def largest(cosine):
  """The largest entry of each row on any device: [n], no gradient."""
  return jax.lax.pmax(jax.lax.stop_gradient(cosine).max(0), AXIS)


def lowest_equal(cosine, value, mine):
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


def log_sum_exp(values, largest, scale):
  """log sum_j exp(scale * values_j) over the classes of all devices: [n].

  Args:
    values: [c, n].
    largest: [n], the largest of them on any device.
    scale: a number.
  """

  @jax.checkpoint  # the exponentials are sooner computed again than stored
  def total(values):
    return jnp.exp(scale * (values - largest[None])).sum(0)

  return jnp.log(jax.lax.psum(total(values), AXIS)) + scale * largest
