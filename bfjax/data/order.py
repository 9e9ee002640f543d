"""Which rows a step shows, which of them mirrored, and what they are seeded by.

All of it is computed from (seed, step): nothing is stored, TensorFlow's random
state plays no part, and a run goes on from any step.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bfjax import errors

# Of index_shuffle.
_SHUFFLE_CONSTANT, _SHUFFLE_ROUNDS = 498247692, 4


def steps_per_epoch(num_rows: int, batch: int) -> int:
  """ceil(num_rows / batch): the last batch of an epoch is a partial one."""
  return -(-num_rows // batch)


class TrainOrder:
  """The rows of each step; callable in a TensorFlow graph and outside.

  With S = steps_per_epoch, step s belongs to epoch e = s // S and shows the
  places p = (s % S) batch + 0 .. batch - 1 of the permutation pi of (seed, e):
  row = pi(p). Places from num_rows on fill the last batch up; they show
  pi(p % num_rows), so that batch statistics are those of real images, and
  their mask is False. A row is mirrored where a hash of (seed, e, row) is odd;
  the hash also seeds what else is drawn for it.

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
    """Returns the rows of `step`, an integer or several, of shape [...].

    Each value is of shape [..., rows_per_batch].
      row: int64, the rows shown.
      mask: bool, False where the batch is filled up.
      flip: bool, whether to mirror the image.
      key: uint64, a hash of (seed, epoch, row).
      replaced: bool, whether the row stands in for a bad one.
    """
    steps = steps_per_epoch(self.num_rows, self._batch)
    step = tf.cast(step, tf.int64)[..., None]
    place = (step % steps) * self._batch + self._first_place
    place += tf.range(self.rows_per_batch, dtype=tf.int64)
    epoch = tf.broadcast_to(step // steps, tf.shape(place))
    row = _permuted(place % self.num_rows, self._seed, epoch, self.num_rows)
    replaced = tf.zeros_like(row, tf.bool)
    if self._bad.size:
      at, replaced = _find(row, self._bad)
      row = tf.where(replaced, tf.gather(self._replacement, at), row)
    key = _hash(self._seed, epoch, row)
    flip = tf.zeros_like(replaced)
    if self._flip:
      flip = tf.cast(key & 1, tf.bool)
    return {
      'row': row,
      'mask': place < self.num_rows,
      'flip': flip,
      'key': key,
      'replaced': replaced,
    }


class FileOrder:
  """The rows 0 .. num_rows - 1 in order; used as `TrainOrder` is.

  Places after the last row and those of bad rows hold -1, with mask False.
  """

  def __init__(self, num_rows: int, batch: int, bad_rows: Sequence[int]):
    self.rows_per_batch = batch
    self._num_rows = num_rows
    self._bad = np.unique(np.asarray(bad_rows, np.int64))

  def __call__(self, step) -> dict[str, tf.Tensor]:
    row = tf.cast(step, tf.int64)[..., None] * self.rows_per_batch
    row += tf.range(self.rows_per_batch, dtype=tf.int64)
    mask = row < self._num_rows
    if self._bad.size:
      mask &= ~_find(row, self._bad)[1]
    return {
      'row': tf.where(mask, row, -1),
      'mask': mask,
      'flip': tf.zeros_like(mask),
      'key': tf.zeros_like(row, tf.uint64),
    }


def _permuted(place, seed: int, epoch, num_rows: int) -> tf.Tensor:
  """Where the permutation of (seed, epoch) of the rows takes each place.

  That of tf.random.experimental.index_shuffle at the seed (seed, epoch). For
  several seeds at once its wrapper adds the constant along the wrong axis.
  """
  seeds = [
    tf.fill([tf.size(place)], tf.constant(x, tf.int64))
    for x in (_SHUFFLE_CONSTANT, seed)
  ]
  row = tf.raw_ops.RandomIndexShuffle(
    index=tf.reshape(place, [-1]),
    seed=tf.stack([*seeds, tf.reshape(epoch, [-1])], axis=1),
    max_index=tf.constant(num_rows - 1, tf.int64),
    rounds=_SHUFFLE_ROUNDS,
  )
  return tf.reshape(row, tf.shape(place))


def _find(row: tf.Tensor, bad: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
  """Where in `bad` (sorted, not empty) each row is, and whether it is there."""
  at = tf.searchsorted(bad, tf.reshape(row, [-1]))
  at = tf.reshape(tf.minimum(at, bad.size - 1), tf.shape(row))
  return at, tf.gather(bad, at) == row


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


def _hash(seed: int, epoch: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
  """uint64 of (seed, epoch, row)."""
  bits = _mix(tf.constant(seed, tf.uint64))
  bits = _mix(bits ^ tf.cast(epoch, tf.uint64))
  return _mix(bits ^ tf.cast(row, tf.uint64))


def _mix(bits: tf.Tensor) -> tf.Tensor:
  """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
  shift = tf.bitwise.right_shift
  bits += tf.constant(0x9E3779B97F4A7C15, tf.uint64)
  bits = bits ^ shift(bits, tf.constant(30, tf.uint64))
  bits *= tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
  bits = bits ^ shift(bits, tf.constant(27, tf.uint64))
  bits *= tf.constant(0x94D049BB133111EB, tf.uint64)
  return bits ^ shift(bits, tf.constant(31, tf.uint64))
