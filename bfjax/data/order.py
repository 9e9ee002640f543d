"""Which rows a step shows, and which of them mirrored.

All of it is computed from (seed, step): nothing is stored, TensorFlow's random
state plays no part, and a run goes on from any step.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bfjax import errors


def steps_per_epoch(num_rows: int, batch: int) -> int:
  """ceil(num_rows / batch): the last batch of an epoch is a partial one."""
  return -(-num_rows // batch)


class TrainOrder:
  """The rows of each step; callable in a TensorFlow graph and outside.

  With S = steps_per_epoch, step s belongs to epoch e = s // S and shows the
  places p = (s % S) batch + 0 .. batch - 1 of the permutation pi of (seed, e):
  row = pi(p). Places from num_rows on fill the last batch up; they show
  pi(p % num_rows), so that batch statistics are those of real images, and
  their mask is False. A row is mirrored where a hash of (seed, e, row) is odd.

  A bad row is replaced by the next row, cyclically, that is not bad.
  """

  def __init__(
    self,
    *,
    num_rows: int,
    batch: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    flip: bool = True,
    bad_rows: Sequence[int] = (),
  ):
    """`batch` counts the rows of all processes.

    Raises:
      UserError: if the batch is no multiple of `process_count`, or there are
        no rows, or none that is not bad.
    """
    if batch < 1 or batch % process_count:
      raise errors.UserError(
        f'A batch of {batch} images cannot be shared out evenly among '
        f'{process_count} processes. Choose a multiple of {process_count}.'
      )
    if num_rows < 1:
      raise errors.UserError('There are no images to train on.')
    self.num_rows = num_rows
    self.rows_per_batch = batch // process_count
    self._batch = batch
    self._first_place = process_index * self.rows_per_batch
    self._seed = seed % 2**63
    self._flip = flip
    self._bad = np.unique(np.asarray(bad_rows, np.int64))
    self._replacement = _next_good(self._bad, num_rows)

  def __call__(self, step) -> dict[str, tf.Tensor]:
    """Returns the rows of `step`, each value of shape [rows_per_batch].

    row: int64, the rows shown.
    mask: bool, False where the batch is filled up.
    flip: bool, whether to mirror the image.
    replaced: bool, whether the row stands in for a bad one.
    """
    steps = steps_per_epoch(self.num_rows, self._batch)
    step = tf.cast(step, tf.int64)
    epoch = step // steps
    place = (step % steps) * self._batch + self._first_place
    place += tf.range(self.rows_per_batch, dtype=tf.int64)
    row = tf.random.experimental.index_shuffle(
      place % self.num_rows,
      tf.stack([tf.constant(self._seed, tf.int64), epoch]),
      tf.constant(self.num_rows - 1, tf.int64),
    )
    replaced = tf.zeros_like(row, tf.bool)
    if self._bad.size:
      at = tf.minimum(tf.searchsorted(self._bad, row), self._bad.size - 1)
      replaced = tf.gather(self._bad, at) == row
      row = tf.where(replaced, tf.gather(self._replacement, at), row)
    flip = tf.zeros_like(replaced)
    if self._flip:
      flip = _is_odd_hash(self._seed, epoch, row)
    mask = place < self.num_rows
    return {'row': row, 'mask': mask, 'flip': flip, 'replaced': replaced}


class FileOrder:
  """The rows 0 .. num_rows - 1 in order; used as `TrainOrder` is.

  Places after the last row and those of bad rows hold -1, with mask False.
  """

  def __init__(self, num_rows: int, batch: int, bad_rows: Sequence[int]):
    self.rows_per_batch = batch
    self._num_rows = num_rows
    self._bad = np.asarray(bad_rows, np.int64)

  def __call__(self, step) -> dict[str, tf.Tensor]:
    row = tf.cast(step, tf.int64) * self.rows_per_batch
    row += tf.range(self.rows_per_batch, dtype=tf.int64)
    is_bad = tf.reduce_any(row[:, None] == self._bad[None, :], axis=1)
    mask = (row < self._num_rows) & ~is_bad
    return {
      'row': tf.where(mask, row, -1),
      'mask': mask,
      'flip': tf.zeros_like(mask),
    }


def _next_good(bad: np.ndarray, num_rows: int) -> np.ndarray:
  """For each bad row (sorted, int64), the next one that is not bad."""
  if not bad.size:
    return bad
  if bad[0] < 0 or bad[-1] >= num_rows:
    raise errors.UserError(
      f'Bad rows {bad[0]} to {bad[-1]} were given, but rows are 0 to '
      f'{num_rows - 1}: they are of another data set.'
    )
  good = np.delete(np.arange(num_rows), bad)
  if not good.size:
    raise errors.UserError(f'None of the {num_rows} images can be read.')
  return good[np.searchsorted(good, bad) % good.size]


def _is_odd_hash(seed: int, epoch: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
  """bool [n]: the lowest bit of a hash of (seed, epoch, row)."""
  bits = _mix(tf.constant(seed, tf.uint64))
  bits = _mix(bits ^ tf.cast(epoch, tf.uint64))
  bits = _mix(bits ^ tf.cast(row, tf.uint64))
  return tf.cast(bits & 1, tf.bool)


def _mix(bits: tf.Tensor) -> tf.Tensor:
  """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
  shift = tf.bitwise.right_shift
  bits += tf.constant(0x9E3779B97F4A7C15, tf.uint64)
  bits = bits ^ shift(bits, tf.constant(30, tf.uint64))
  bits *= tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
  bits = bits ^ shift(bits, tf.constant(27, tf.uint64))
  bits *= tf.constant(0x94D049BB133111EB, tf.uint64)
  return bits ^ shift(bits, tf.constant(31, tf.uint64))
