"""The label table: for every row of the data set, its label as of now.

A table is int32 [rows padded to the devices], sharded over them. It starts as
the given labels; the training step writes into it the label that each sample
was trained with. Where it differs from the given label, the sample has been
corrected. The padding is never read. What else is remembered of each row lies
in tables beside it, see `Past`; on the host they are a `History`.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from bfjax import sharding

_ROWS = PartitionSpec(sharding.AXIS)


def make(labels: np.ndarray, mesh: jax.sharding.Mesh) -> jax.Array:
  """Returns the table of `labels`, int32 [rows], on the devices of `mesh`."""
  size = sharding.pad_to(len(labels), mesh)

  def part(index):
    first, stop, _ = index[0].indices(size)
    mine = labels[first:stop].astype(np.int32)
    return np.pad(mine, (0, stop - first - len(mine)))

  return jax.make_array_from_callback((size,), sharding.rows(mesh), part)


def of_process(table: jax.Array, num_rows: int) -> tuple[slice, np.ndarray]:
  """The rows whose labels lie on this process's devices, and these labels.

  Args:
    table: [padded rows], of the kind of a label table.
    num_rows: of the data set.
  """
  parts = {
    shard.index[0].indices(len(table))[0]: shard.data
    for shard in table.addressable_shards
  }
  first = min(parts)
  mine = np.concatenate([parts[row] for row in sorted(parts)])
  mine = mine[: max(num_rows - first, 0)]
  return slice(first, first + len(mine)), mine


def look_up(table: jax.Array, rows: jax.Array, mesh) -> jax.Array:
  """Returns `table[rows]`, [n], sharded as `rows` (int32 [n]) is."""

  @functools.partial(
    jax.shard_map, mesh=mesh, in_specs=(_ROWS, _ROWS), out_specs=_ROWS
  )
  def local(shard, rows):
    everyone = jax.lax.all_gather(rows, sharding.AXIS, tiled=True)
    place, is_mine = _place(shard, everyone)
    mine = jnp.where(is_mine, shard[place], 0)
    return jax.lax.psum_scatter(mine, sharding.AXIS, tiled=True)

  return local(table, rows)


def update(tables, rows, new, mask, mesh):
  """Returns the tables with `table[rows] = new` where `mask`.

  Args:
    tables: one of [padded rows], or several, as `Past` has them.
    rows: int32 [n], no row twice where `mask` is true.
    new: likewise, [n].
    mask: bool [n].
    mesh: the devices.
  """

  @functools.partial(
    jax.shard_map, mesh=mesh, in_specs=(_ROWS,) * 4, out_specs=_ROWS
  )
  def local(shards, *of_rows):
    gather = functools.partial(
      jax.lax.all_gather, axis_name=sharding.AXIS, tiled=True
    )
    rows, new, mask = jax.tree.map(gather, of_rows)

    def write(shard, new):
      place, is_mine = _place(shard, rows)
      place = jnp.where(is_mine & mask, place, len(shard))
      return shard.at[place].set(new.astype(shard.dtype), mode='drop')

    return jax.tree.map(write, shards, new)

  return local(tables, rows, new, mask)


def _place(shard, rows):
  """Where `rows` lie in this device's shard, and whether they lie there."""
  place = rows - jax.lax.axis_index(sharding.AXIS) * len(shard)
  is_mine = (place >= 0) & (place < len(shard))
  return jnp.clip(place, 0, len(shard) - 1), is_mine


class Past(NamedTuple):
  """What earlier visits have left of rows, one number for each row.

  Attributes:
    label: int32, that the row was trained with at the last one; of all rows, it
      is the label table.
    proposed: int32, that the rule proposed then; of a rule that remembers
      visits, the nearest class. None, as `times`, where none is in need of it.
    times: int32, how often in a row that has been so.
    agreed: uint16, how many visits in a row, the last one included, were
      trained with `label`; 0 before the first. Nothing is decided by it, nor by
      the next two; they are None where no history is kept.
    own: float16, cosine of the given class at the last one; NaN before the
      first.
    other: float16, likewise of the class that contends with it: `label` where
      that is another one, else the nearest of the others.
  """

  label: jax.Array
  proposed: jax.Array | None = None
  times: jax.Array | None = None
  agreed: jax.Array | None = None
  own: jax.Array | None = None
  other: jax.Array | None = None


# The tables of `Past` that a run may begin to keep, or cease to, at any time.
HISTORY = ('agreed', 'own', 'other')
_MOST_AGREED = np.iinfo(np.uint16).max


def no_past(rows: int, *, remembers=False, history=True) -> dict:
  """The tables of `Past`, but for the label's, of rows without a visit.

  Args:
    rows: how many, padded to the devices.
    remembers: whether 'proposed' and 'times' are among them.
    history: whether those of `HISTORY` are.
  """
  tables = {}
  if remembers:
    tables |= {k: jnp.zeros(rows, jnp.int32) for k in ('proposed', 'times')}
  if history:
    unknown = jnp.full(rows, jnp.nan, jnp.float16)
    agreed = jnp.zeros(rows, jnp.uint16)
    tables |= dict(agreed=agreed, own=unknown, other=unknown)
  return tables


def note_visit(past: Past, before: Past, given, cosines) -> Past:
  """`past` of n rows with the history of this visit, where one is kept.

  Args:
    past: after this visit, but for the history.
    before: of the same rows, before it.
    given: int32 [n], the given labels.
    cosines: [n] each, of the given label, of the label that the row was trained
      with, and of the nearest class other than that.
  """
  if before.agreed is None:
    return past
  own, target, nearest = cosines
  other = jnp.where(past.label == given, nearest, target)
  again = past.label == before.label
  agreed = jnp.where(again, jnp.minimum(before.agreed, _MOST_AGREED - 1), 0) + 1
  return past._replace(agreed=agreed, own=own, other=other)


class History(NamedTuple):
  """What is known of rows after some epochs: arrays [rows] of the host.

  Attributes:
    label, agreed, own, other: as of `Past`; all but the label are None where
      the run keeps no history.
    epoch: the last one, which every row has been visited in.
  """

  label: np.ndarray
  agreed: np.ndarray | None
  own: np.ndarray | None
  other: np.ndarray | None
  epoch: int

  def at(self, rows: np.ndarray) -> 'History':
    """That of some of the rows, by their places."""
    arrays = (None if x is None else x[rows] for x in self[:-1])
    return History(*arrays, self.epoch)  # type: ignore[call-arg,arg-type]

  @property
  def since(self) -> np.ndarray:
    """The epoch, int32, since which the row has had its label.

    As far back as is known: 0 of rows that have not been visited since a
    history is kept.
    """
    if self.agreed is None:
      return np.zeros(len(self.label), np.int32)
    first = np.maximum(self.epoch - self.agreed.astype(np.int32) + 1, 1)
    return np.where(self.agreed > 0, first, 0)


def settle(past: Past, proposed: jax.Array, visits: int) -> Past:
  """Changes labels, there and back, where enough visits in a row agree.

  Args:
    past: of n rows, before this visit.
    proposed: int32 [n], by the rule, now.
    visits: how many have to agree; with 1 what is proposed is the label.
  """
  assert past.times is not None  # as of every rule that remembers
  times = jnp.where(proposed == past.proposed, past.times + 1, 1)
  changes = times >= visits
  return Past(jnp.where(changes, proposed, past.label), proposed, times)
