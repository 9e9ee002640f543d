"""Rows to decoded batches, rebuilt around images that cannot be used.

    step -> rows -> bytes -> decoded, resized, mirrored images -> batch

The stages are tf.data's.
"""

import atexit
import functools
import logging
import math
import os
import weakref
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import tensorflow as tf

from bfjax import errors
from bfjax.data import files as image_files
from bfjax.data import images

_log = logging.getLogger(__name__)

# The accelerators are JAX's: TensorFlow would otherwise take all their memory.
tf.config.set_visible_devices([], 'GPU')
# The threads are TensorFlow's: each decodes and resizes by itself.
cv2.setNumThreads(0)

# Images lie in memory side by side, where TensorFlow takes them over as they
# are; otherwise it would copy them.
_ALIGNMENT = 64
# Images are read and decoded in chunks, one call from TensorFlow for each, so
# that a call's own cost does not count: some steps, or a part of one.
_CHUNK = 256
_MAX_DEFAULT_THREADS = 16
_PREFETCHED_CHUNKS = 2
# A file that is unreadable for a moment is worth a second try.
_MAX_UNEXPLAINED_FAILURES = 2
# So many bad images are no outage yet, however small the data set is.
_FEW_BAD = 100

# A thread of TensorFlow that calls Python after the interpreter has gone hangs
# the program or aborts it, so what is still open is closed before.
_open_streams = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
  for stream in list(_open_streams):
    stream.close()


class Stream:
  """Batches of the steps of a plan, rebuilt around images that are bad.

  Attributes:
    step: the step of the next batch.
    bad_rows: sorted list.
  """

  def __init__(
    self,
    source,
    plan: Callable[[Sequence[int]], Callable],
    *,
    steps: range,
    image_size: int,
    on_error: str,
    bad_rows: Sequence[int],
    threads: int,
    remedy: str,
    augment: Callable | None = None,
    max_skipped: float = 1.0,
  ):
    """Opens the stream.

    Args:
      source: has num_rows, read, path.
      plan: bad rows -> (step -> the rows shown), see `order`.
      steps: those that are wanted.
      image_size: height and width of the images.
      on_error: 'error' or 'skip'.
      bad_rows: rows known to be bad.
      threads: that read and decode; 0 for the default.
      remedy: what a message about a bad image ends with.
      augment: (image, key) -> image; None for no change.
      max_skipped: with a larger share of bad images, an outage is suspected.
    """
    self._source = source
    self._make_plan = plan
    self.step = steps.start
    self._stop = steps.stop
    self._load = functools.partial(
      _load, source=source, image_size=image_size, augment=augment
    )
    self._on_error = on_error
    self._threads = num_threads(threads)
    self._remedy = remedy
    self._max_skipped = max_skipped
    self._num_failures = 0
    self._num_bad_here = 0  # found since a batch was made
    self._is_divided = False
    self._start(bad_rows)
    _open_streams.add(self)

  def _start(self, bad_rows):
    self.bad_rows = sorted({int(row) for row in bad_rows})
    self._plan = self._make_plan(self.bad_rows)
    at_once = 0 if self._is_divided else _CHUNK // self._plan.rows_per_batch
    self._steps_at_once = max(at_once, 1)
    dataset = _dataset(
      self._plan,
      self._load,
      steps=(self.step, self._stop),
      steps_at_once=self._steps_at_once,
      threads=self._threads,
    )
    self._chunks = dataset.as_numpy_iterator()
    self._batches = iter(())

  def close(self):
    """Stops the threads and waits for them; there are no more batches."""
    self._chunks = self._batches = iter(())
    self._stop = self.step

  def __iter__(self):
    return self

  def __next__(self):
    if self.step == self._stop:
      self.close()
      raise StopIteration
    batch = next(self._batches, None)
    while batch is None:
      try:
        self._batches = self._split(next(self._chunks))
        batch = next(self._batches)
      except tf.errors.OpError as error:
        self._recover(error)
    self._num_failures = self._num_bad_here = 0
    self.step += 1
    return batch

  def _split(self, chunk):
    """Yields the batches of what one element of the dataset holds."""
    num_steps = len(chunk['row'])
    image = chunk.pop('image')
    image = image.reshape(num_steps, -1, *image.shape[-3:])
    for i in range(num_steps):
      batch = {name: values[i] for name, values in chunk.items()}
      # Only a batch of several chunks may have been filled up at its end.
      yield batch | {'image': image[i, : self._plan.rows_per_batch]}

  def _recover(self, error):
    """Finds the images that made the batches fail; raises, or leaves them out.

    TensorFlow's error names none: they are tried again one at a time.
    """
    self._chunks = iter(())
    steps = np.arange(
      self.step, min(self.step + self._steps_at_once, self._stop)
    )
    rows = np.unique(self._plan(steps)['row'].numpy())
    rows = rows[rows >= 0]
    found = images.problems(self._source, rows)
    self._num_failures += 1
    if not found and self._num_failures > _MAX_UNEXPLAINED_FAILURES:
      raise error
    if found and self._on_error == 'error':
      if self._steps_at_once == 1:
        raise errors.UserError(
          image_files.first_lines(text for _, text in found).strip()
          + f'\n{self._remedy}'
        ) from None
      # The steps before that of the bad image are still to come.
      self._is_divided = True
      self._start(self.bad_rows)
      return
    for _, text in found:
      _log.warning('Skipped: %s', image_files.printable(text))
    self._num_bad_here += len(found)
    bad_rows = [*self.bad_rows, *(row for row, _ in found)]
    self._suspect_outage(len(bad_rows), len(rows), found)
    self._start(bad_rows)

  def _suspect_outage(self, num_bad, num_tried, found):
    """Raises if too many images are bad: of all, or of those of one chunk."""
    for bad, of, which in (
      (num_bad, self._source.num_rows, 'images'),
      (self._num_bad_here, num_tried, 'images tried last'),
    ):
      if bad > max(_FEW_BAD, self._max_skipped * of):
        raise errors.UserError(
          f'{bad} of {of} {which} cannot be used, more than'
          f' data.max_skipped={self._max_skipped} of them:\n'
          + image_files.first_lines(text for _, text in found)
          + '\nThis looks like an outage of the storage. Once the files can be'
          ' read again, the same command goes on from the last checkpoint. If'
          ' they are lost, take them off the list or raise data.max_skipped.'
        ) from None


def _load(row, flip, key, *, source, image_size, augment) -> np.ndarray:
  """The images of `row`, int64 [...]: uint8 [n, image_size, image_size, 3]."""
  row, flip, key = row.ravel(), flip.ravel(), key.ravel()
  pixels = _aligned([row.size, image_size, image_size, 3])
  if (row < 0).any():
    pixels[row < 0] = 0
  places = np.flatnonzero(row >= 0)
  encoded = source.read(row[places])
  flips, keys = flip[places].tolist(), key[places].tolist()
  for place, one, flipped, k in zip(
    places.tolist(), encoded, flips, keys, strict=True
  ):
    image = images.decode(one, image_size)
    if augment:
      image = augment(image, k)
    if flipped:
      cv2.flip(image, 1, pixels[place])
    else:
      pixels[place] = image
  return pixels


def _aligned(shape) -> np.ndarray:
  """An array of bytes, not initialised, whose address TensorFlow can use."""
  size = math.prod(shape)
  block = np.empty(size + _ALIGNMENT, np.uint8)
  start = -block.ctypes.data % _ALIGNMENT
  return block[start : start + size].reshape(shape)


def _dataset(plan, load, *, steps, steps_at_once, threads) -> tf.data.Dataset:
  """Batches of `plan`, some of them at once.

  Values are [steps, rows_per_batch]; images are [steps * rows_per_batch, ...]
  or, where a batch is read in several chunks, [chunks, chunk, ...].
  """
  size = plan.rows_per_batch
  num_chunks = -(-size // _CHUNK)
  chunk = -(-size // num_chunks)

  def images_of(rows):
    inputs = [rows['row'], rows['flip'], rows['key']]
    return tf.numpy_function(load, inputs, tf.uint8, stateful=False)

  def with_images(batch):
    return batch | {'image': images_of(batch)}

  def in_chunks(batch):
    """[1, size] -> [num_chunks, chunk], filled up with row -1: no image."""
    missing = num_chunks * chunk - size
    return {
      name: tf.reshape(
        tf.pad(batch[name][0], [[0, missing]], constant_values=filling),
        [num_chunks, chunk],
      )
      for name, filling in (('row', -1), ('flip', False), ('key', 0))
    }

  parallel = {'num_parallel_calls': threads, 'deterministic': True}
  dataset = tf.data.Dataset.range(*steps).batch(steps_at_once).map(plan)
  if num_chunks == 1:
    dataset = dataset.map(with_images, **parallel)
  else:
    chunks = dataset.map(in_chunks).unbatch().map(images_of, **parallel)
    dataset = tf.data.Dataset.zip(dataset, chunks.batch(num_chunks)).map(
      lambda batch, image: batch | {'image': image}
    )
  options = tf.data.Options()
  options.deterministic = True
  options.autotune.enabled = False  # memory stays bounded
  options.experimental_warm_start = True
  options.threading.private_threadpool_size = threads
  options.threading.max_intra_op_parallelism = 1
  return dataset.prefetch(_PREFETCHED_CHUNKS).with_options(options)


def num_threads(threads: int) -> int:
  if threads < 0:
    raise errors.UserError(f'data.threads is {threads}; expected 0 or more.')
  cpus = len(os.sched_getaffinity(0))
  return threads or min(cpus, _MAX_DEFAULT_THREADS)
