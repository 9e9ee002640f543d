"""Which rows a step shows, which of them mirrored, and what they are seeded by.

All of it is computed from (seed, step): nothing is stored, random state plays
no part, and a run goes on from any step.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from bfjax import errors, runtime

# Of index_shuffle.
_SHUFFLE_CONSTANT, _SHUFFLE_ROUNDS = 498247692, 4


def steps_per_epoch(num_rows: int, batch: int) -> int:
  """ceil(num_rows / batch): the last batch of an epoch is a partial one."""
  return -(-num_rows // batch)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOrder:
  """The rows of each step, a function of (seed, step) alone.

  With S = steps_per_epoch, step s belongs to epoch e = s // S and shows the
  places p = (s % S) batch + 0 .. batch - 1 of the permutation pi of (seed, e):
  row = pi(p). Places from num_rows on fill the last batch up; they show
  pi(p % num_rows), so that batch statistics are those of real images, and
  their mask is False. A row is mirrored where a hash of (seed, e, row) is odd;
  the hash also seeds what else is drawn for it.

  Attributes:
    num_rows: of the data set.
    batch: rows of a step, of all processes together.
    seed: of order and mirroring.
    process_index: this process gets the process_index-th part of each batch.
    process_count: the number of processes.
    flip: whether to mirror half of the images.
    bad_rows: each is replaced by the next row, cyclically, that is not bad.
  """

  num_rows: int
  batch: int
  seed: int
  process_index: int = 0
  process_count: int = 1
  flip: bool = True
  bad_rows: Sequence[int] = ()

  def __post_init__(self):
    """Raises UserError if the batch cannot be shared out, or no row is good."""
    if self.batch < 1 or self.batch % self.process_count:
      raise errors.UserError(
        f'A batch of {self.batch} images cannot be shared out evenly among '
        f'{self.process_count} processes. Choose a multiple of '
        f'{self.process_count}.'
      )
    if self.num_rows < 1:
      raise errors.UserError('There are no images to train on.')
    _ = self._bad

  @property
  def rows_per_batch(self) -> int:
    """The rows of a step in this process."""
    return self.batch // self.process_count

  @functools.cached_property
  def _bad(self) -> tuple[np.ndarray, np.ndarray]:
    """The bad rows, sorted, and the replacement of each; int64."""
    bad = np.unique(np.asarray(self.bad_rows, np.int64))
    return bad, _next_good(bad, self.num_rows)

  def __call__(self, step) -> dict[str, np.ndarray]:
    """Returns the rows of `step`, an integer or several, of shape [...].

    Each value is of shape [..., rows_per_batch].
      row: int64, the rows shown.
      mask: bool, False where the batch is filled up.
      flip: bool, whether to mirror the image.
      key: uint64, a hash of (seed, epoch, row).
      replaced: bool, whether the row stands in for a bad one.
    """
    seed, (bad, replacement) = self.seed % 2**63, self._bad
    steps = steps_per_epoch(self.num_rows, self.batch)
    epoch, step = np.divmod(np.asarray(step, np.int64)[..., None], steps)
    place = np.arange(self.rows_per_batch)
    place = place + step * self.batch + self.process_index * len(place)
    epoch = np.broadcast_to(epoch, place.shape)
    row = _permuted(place % self.num_rows, seed, epoch, self.num_rows)
    replaced = np.isin(row, bad)
    row[replaced] = replacement[np.searchsorted(bad, row[replaced])]
    key = _hash(seed, epoch, row)
    return {
      'row': row,
      'mask': place < self.num_rows,
      'flip': (key % 2 == 1) & self.flip,
      'key': key,
      'replaced': replaced,
    }


@dataclasses.dataclass(frozen=True)
class FileOrder:
  """The rows 0 .. num_rows - 1 in order; used as `TrainOrder` is.

  Places after the last row and those of bad rows hold -1, with mask False.
  """

  num_rows: int
  rows_per_batch: int
  bad_rows: Sequence[int] = ()

  def __call__(self, step) -> dict[str, np.ndarray]:
    """The rows of a step, as those of `TrainOrder`; -1 where there is none."""
    row = np.asarray(step, np.int64)[..., None] * self.rows_per_batch
    row = row + np.arange(self.rows_per_batch)
    mask = (row < self.num_rows) & ~np.isin(row, self.bad_rows)
    return {
      'row': np.where(mask, row, -1),
      'mask': mask,
      'flip': np.zeros_like(mask),
      'key': np.zeros_like(row, np.uint64),
    }


@functools.cache
def tensorflow():
  """TensorFlow, which is slow to import, and leaves accelerators to JAX."""
  runtime.silence_tensorflow()
  import tensorflow as tf

  tf.config.set_visible_devices([], 'GPU')
  return tf


def _permuted(place, seed: int, epoch, num_rows: int) -> np.ndarray:
  """Where the permutation of (seed, epoch) of the rows takes each place.

  That of tf.random.experimental.index_shuffle at the seed (seed, epoch). For
  several seeds at once its wrapper adds the constant along the wrong axis.
  """
  seeds = np.empty([place.size, 3], np.int64)
  seeds[:, 0], seeds[:, 1], seeds[:, 2] = _SHUFFLE_CONSTANT, seed, epoch.ravel()
  row = tensorflow().raw_ops.RandomIndexShuffle(
    index=place.ravel(),
    seed=seeds,
    max_index=np.int64(num_rows - 1),
    rounds=_SHUFFLE_ROUNDS,
  )
  return row.numpy().reshape(place.shape)


def _next_good(bad: np.ndarray, num_rows: int) -> np.ndarray:
  """For each bad row (sorted, int64), the next one that is not bad."""
  if not bad.size:
    return bad
  if bad[0] < 0 or bad[-1] >= num_rows:
    raise errors.UserError(
      f'Bad rows {bad[0]} to {bad[-1]} were given, but rows are 0 to '
      f'{num_rows - 1}: they are of another data set.'
    )
  if bad.size == num_rows:
    raise errors.UserError(f'None of the {num_rows} images can be read.')
  # A run of bad rows ends where the next bad one is not the next row.
  last = np.flatnonzero(np.append(np.diff(bad) > 1, True))
  after = bad[last] + 1
  if after[-1] == num_rows:
    after[-1] = after[0] if bad[0] == 0 else 0
  return np.repeat(after, np.diff(last, prepend=-1))


def _hash(seed: int, epoch: np.ndarray, row: np.ndarray) -> np.ndarray:
  """uint64 of (seed, epoch, row)."""
  bits = _mix(np.array([seed], np.uint64))
  bits = _mix(bits ^ epoch.astype(np.uint64))
  return _mix(bits ^ row.astype(np.uint64))


def _mix(bits: np.ndarray) -> np.ndarray:
  """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
  bits = bits + np.uint64(0x9E3779B97F4A7C15)
  bits = (bits ^ bits >> 30) * np.uint64(0xBF58476D1CE4E5B9)
  bits = (bits ^ bits >> 27) * np.uint64(0x94D049BB133111EB)
  return bits ^ bits >> 31
