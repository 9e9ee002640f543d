"""The label table: for every row of the data set, its label as of now.

A table is int32 [rows padded to the devices], sharded over them. It starts as
the given labels; the training step writes into it the label that each sample
was trained with. Where it differs from the given label, the sample has been
corrected. The padding is 0 and never read. What else is remembered of each row
lies in tables of the same kind, see `Past`.
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
  padded = np.zeros(sharding.pad_to(len(labels), mesh), np.int32)
  padded[: len(labels)] = labels
  return jax.make_array_from_callback(
    padded.shape, sharding.rows(mesh), lambda index: padded[index]
  )


def look_up(table: jax.Array, rows: jax.Array, mesh) -> jax.Array:
  """Returns `table[rows]`, int32 [n], sharded as `rows` (int32 [n]) is."""

  @functools.partial(
    jax.shard_map, mesh=mesh, in_specs=(_ROWS, _ROWS), out_specs=_ROWS
  )
  def local(shard, rows):
    everyone = jax.lax.all_gather(rows, sharding.AXIS, tiled=True)
    place, is_mine = _place(shard, everyone)
    mine = jnp.where(is_mine, shard[place], 0)
    return jax.lax.psum_scatter(mine, sharding.AXIS, tiled=True)

  return local(table, rows)


def update(table, rows, labels, mask, mesh) -> jax.Array:
  """Returns the table with `table[rows] = labels` where `mask`.

  Args:
    table: int32 [padded rows].
    rows: int32 [n], no row twice where `mask` is true.
    labels: int32 [n].
    mask: bool [n].
    mesh: the devices.
  """

  @functools.partial(
    jax.shard_map, mesh=mesh, in_specs=(_ROWS,) * 4, out_specs=_ROWS
  )
  def local(shard, rows, labels, mask):
    rows, labels, mask = (
      jax.lax.all_gather(x, sharding.AXIS, tiled=True)
      for x in (rows, labels, mask)
    )
    place, is_mine = _place(shard, rows)
    place = jnp.where(is_mine & mask, place, len(shard))
    return shard.at[place].set(labels, mode='drop')

  return local(table, rows, labels, mask)


def _place(shard, rows):
  """Where `rows` lie in this device's shard, and whether they lie there."""
  place = rows - jax.lax.axis_index(sharding.AXIS) * len(shard)
  is_mine = (place >= 0) & (place < len(shard))
  return jnp.clip(place, 0, len(shard) - 1), is_mine


class Past(NamedTuple):
  """What earlier visits have left of rows: int32, one for each row.

  Attributes:
    label: that the row was trained with at the last one; of all rows, it is the
      label table.
    proposed: that the rule proposed then; of a rule that remembers visits, the
      nearest class. None, as `times`, where visits are not remembered.
    times: how often in a row that has been so.
  """

  label: jax.Array
  proposed: jax.Array | None = None
  times: jax.Array | None = None


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


class CorrectionScores(NamedTuple):
  """How well the corrections fit the known flips; rates in [0, 1].

  A rate whose denominator is zero is NaN.

  Attributes:
    precision: share of the corrected rows whose new label is the true one, by
      the reference's definition: |logged pairs in the truth| / |logged|.
    recall: share of the flipped rows that now have their true label:
      |logged pairs in the truth| / |truth|.
    sample_precision: share of the corrected rows that are flipped ones,
      whatever the new label.
    sample_recall: share of the flipped rows that are corrected, likewise.
    wrong_labels: share of the rows with a true label whose label in the table
      is another; before any correction it is the rate of closed-set noise.
    unjust: share of the rows whose given label is the true one that have
      another in the table.
    relabelled_strangers: share of the images of nobody in the set (open-set
      noise) that have another label in the table than the given one.
  """

  precision: float
  recall: float
  sample_precision: float
  sample_recall: float
  wrong_labels: float
  unjust: float
  relabelled_strangers: float


def score_corrections(given, table, true) -> CorrectionScores:
  """Compares the table with the known true labels.

  Args:
    given: int32 [rows], the labels of the data set.
    table: int32 [rows], the labels after correction.
    true: int32 [rows], the true labels; below 0 those of nobody.
  """
  member = true >= 0
  corrected, flipped = table != given, member & (given != true)
  hits = np.sum(corrected & flipped)
  right = np.sum(corrected & (table == true))

  def rate(part, whole):
    return float(part / whole) if whole else float('nan')

  return CorrectionScores(
    precision=rate(right, corrected.sum()),
    recall=rate(right, flipped.sum()),
    sample_precision=rate(hits, corrected.sum()),
    sample_recall=rate(hits, flipped.sum()),
    wrong_labels=rate(np.sum(member & (table != true)), member.sum()),
    unjust=rate(np.sum(corrected & (given == true)), (given == true).sum()),
    relabelled_strangers=rate(np.sum(corrected & ~member), (~member).sum()),
  )
