"""Rows to decoded batches, rebuilt around images that cannot be used.

    step -> rows -> bytes -> decoded, resized, mirrored images -> batch

The stages are tf.data's.
"""

import atexit
import logging
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

# Images are read and decoded in chunks, one call from TensorFlow for each: a
# whole batch, if it is not too large to be shared out among the threads.
_MAX_CHUNK = 128
_MAX_DEFAULT_THREADS = 16
_PREFETCHED_BATCHES = 2
# A file that is unreadable for a moment is worth a second try.
_MAX_UNEXPLAINED_FAILURES = 2

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
  ):
    self._source = source
    self._make_plan = plan
    self.step = steps.start
    self._stop = steps.stop
    self._image_size = image_size
    self._on_error = on_error
    self._threads = num_threads(threads)
    self._remedy = remedy
    self._num_failures = 0
    self._start(bad_rows)
    _open_streams.add(self)

  def _start(self, bad_rows):
    self.bad_rows = sorted({int(row) for row in bad_rows})
    self._plan = self._make_plan(self.bad_rows)
    dataset = _dataset(
      self._source,
      self._plan,
      steps=(self.step, self._stop),
      image_size=self._image_size,
      threads=self._threads,
    )
    self._batches = dataset.as_numpy_iterator()

  def close(self):
    """Stops the threads and waits for them; there are no more batches."""
    self._batches = iter(())
    self._stop = self.step

  def __iter__(self):
    return self

  def __next__(self):
    if self.step == self._stop:
      self.close()
      raise StopIteration
    while True:
      try:
        batch = next(self._batches)
        break
      except tf.errors.OpError as error:
        self._recover(error)
    self._num_failures = 0
    self.step += 1
    size, chunk_dims = self._plan.rows_per_batch, batch['row'].ndim
    return {k: v.reshape(size, *v.shape[chunk_dims:]) for k, v in batch.items()}

  def _recover(self, error):
    """Finds the images that made the batch fail; raises, or leaves them out.

    TensorFlow's error names none: they are tried again one at a time.
    """
    self._batches = iter(())
    rows = np.unique(self._plan(self.step)['row'].numpy())
    found = images.problems(self._source, rows[rows >= 0])
    self._num_failures += 1
    if not found and self._num_failures > _MAX_UNEXPLAINED_FAILURES:
      raise error
    if found and self._on_error == 'error':
      raise errors.UserError(
        image_files.first_lines(text for _, text in found).strip()
        + f'\n{self._remedy}'
      ) from None
    for _, text in found:
      _log.warning('Skipped: %s', image_files.printable(text))
    self._start([*self.bad_rows, *(row for row, _ in found)])


def _dataset(source, plan, *, steps, image_size, threads) -> tf.data.Dataset:
  """Batches of `plan`; values are [chunks, chunk, ...] if in several chunks."""
  size = plan.rows_per_batch
  chunk = max(n for n in range(1, _MAX_CHUNK + 1) if size % n == 0)

  def load(row, flip):
    pixels = np.zeros([chunk, image_size, image_size, 3], np.uint8)
    places = np.flatnonzero(row >= 0)
    encoded = source.read(row[places])
    for place, one in zip(places.tolist(), encoded, strict=True):
      image = images.decode(one, image_size)
      if flip[place]:
        cv2.flip(image, 1, pixels[place])
      else:
        pixels[place] = image
    return pixels

  def add_images(batch):
    inputs = [batch['row'], batch['flip']]
    pixels = tf.numpy_function(load, inputs, tf.uint8, stateful=False)
    shape = [chunk, image_size, image_size, 3]
    return {**batch, 'image': tf.ensure_shape(pixels, shape)}

  dataset = tf.data.Dataset.range(*steps).map(plan)
  if chunk < size:
    dataset = dataset.unbatch().batch(chunk)
  dataset = dataset.map(
    add_images, num_parallel_calls=threads, deterministic=True
  )
  if chunk < size:
    dataset = dataset.batch(size // chunk)
  options = tf.data.Options()
  options.deterministic = True
  options.autotune.enabled = False  # memory stays bounded
  options.experimental_warm_start = True
  options.threading.private_threadpool_size = threads
  options.threading.max_intra_op_parallelism = 1
  return dataset.prefetch(_PREFETCHED_BATCHES).with_options(options)


def num_threads(threads: int) -> int:
  if threads < 0:
    raise errors.UserError(f'data.threads is {threads}; expected 0 or more.')
  cpus = len(os.sched_getaffinity(0))
  return threads or min(cpus, _MAX_DEFAULT_THREADS)
