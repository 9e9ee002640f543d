"""What a training run averages between two log lines: a part of its state."""

import dataclasses

import flax
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Average:
  """The mean of some numbers: their sum, f32 [], and how many, int32 []."""

  total: jax.Array
  count: jax.Array

  @classmethod
  def empty(cls) -> 'Average':
    """Of no numbers."""
    return cls(jnp.float32(0), jnp.int32(0))

  @classmethod
  def of(cls, values, mask):
    """Of `values`, [n], where `mask`, bool [n], is true."""
    values = jnp.asarray(values)
    total = jnp.where(mask, values, jnp.zeros_like(values)).sum()
    return cls(total, mask.astype(jnp.int32).sum())


@flax.struct.dataclass
class Merges:
  """How many averages were added up, int32 []."""

  value: jax.Array


@flax.struct.dataclass
class TrainMetrics:
  """Averages since the last log line, over the real rows of the batches.

  It is part of the training state and of the checkpoint, so a resumed run
  logs what an uninterrupted one does, to the last bit.

  Attributes:
    loss: cross-entropy plus lambda times the penalty, a row.
    penalty: the boundary term before lambda, a row.
    accuracy: share of rows whose label has the largest cosine.
    cosine_target: cosine between the embedding and the label's centre.
    cosine_other: the largest cosine to any other centre.
    corrected: share of rows trained with a label that is not the given one, by
      the weight that the rule gives the row's loss.
    unsure: one minus that weight.
    skipped: unreadable images replaced, a batch.
  """

  _reduction_counter: Merges  # so called in checkpoints
  loss: Average
  penalty: Average
  accuracy: Average
  cosine_target: Average
  cosine_other: Average
  corrected: Average
  unsure: Average
  skipped: Average

  @classmethod
  def empty(cls):
    """Of no rows."""
    return cls(Merges(jnp.int32(1)), *(Average.empty() for _ in _NAMES))

  @classmethod
  def of(cls, mask, **values):
    """Of one batch: each of the averages from [n] values and their mask."""
    averages = (Average.of(values[name], mask) for name in _NAMES)
    return cls(Merges(jnp.int32(1)), *averages)

  def merge(self, other):
    """Of the rows of both."""
    return jax.tree.map(jnp.add, self, other)

  def compute(self) -> dict[str, jax.Array]:
    """The means by name; NaN where there were no rows."""
    averages = {name: getattr(self, name) for name in _NAMES}
    return {name: x.total / x.count for name, x in averages.items()}


_NAMES = [field.name for field in dataclasses.fields(TrainMetrics)][1:]
