"""Rows to decoded batches, rebuilt around images that cannot be used.

    step -> rows -> bytes -> decoded, resized, mirrored images -> batch

The stages are tf.data's.
"""

import os
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import tensorflow as tf
from absl import logging

from bfjax import errors
from bfjax.data import files as image_files
from bfjax.data import images

# Images are read and decoded in chunks: one call of TensorFlow's executor and
# two of Python's per chunk, not per image.
_MAX_CHUNK = 32
_MAX_DEFAULT_THREADS = 16
_PREFETCHED_BATCHES = 2
# A file that is unreadable for a moment is worth a second try.
_MAX_UNEXPLAINED_FAILURES = 2


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
    return {k: v.reshape(-1, *v.shape[2:]) for k, v in batch.items()}

  def _recover(self, error):
    """Finds the images that made the batch fail; raises, or leaves them out.

    TensorFlow's error names none: they are tried again one at a time.
    """
    self._batches = iter(())
    rows = np.unique(self._plan(self.step)['row'].numpy())
    found = problems(self._source, rows[rows >= 0])
    self._num_failures += 1
    if not found and self._num_failures > _MAX_UNEXPLAINED_FAILURES:
      raise error
    if found and self._on_error == 'error':
      raise errors.UserError(
        image_files.first_lines(text for _, text in found).strip()
        + f'\n{self._remedy}'
      ) from None
    for _, text in found:
      logging.warning('Skipped: %s', image_files.printable(text))
    self._start([*self.bad_rows, *(row for row, _ in found)])


def _dataset(source, plan, *, steps, image_size, threads) -> tf.data.Dataset:
  """Batches of `plan`, every value of shape [chunks, chunk, ...]."""
  size = plan.rows_per_batch
  chunk = max(n for n in range(1, _MAX_CHUNK + 1) if size % n == 0)
  blank = images.blank(image_size)

  def rows_of(step):
    return {k: tf.reshape(v, [-1, chunk]) for k, v in plan(step).items()}

  def read(rows):
    encoded = iter(source.read(rows[rows >= 0]))
    prepared = [
      images.prepare(next(encoded)) if row >= 0 else blank for row in rows
    ]
    return np.array(prepared, object)

  def load(element):
    encoded = tf.numpy_function(read, [element['row']], tf.string, False)
    pixels = images.decode(tf.ensure_shape(encoded, [chunk]), image_size)
    if 'flip' in element:
      flip = element.pop('flip')
      pixels = tf.numpy_function(_mirror, [pixels, flip], tf.uint8, False)
      pixels = tf.ensure_shape(pixels, [chunk, image_size, image_size, 3])
    return {**element, 'image': pixels}

  dataset = tf.data.Dataset.range(*steps).map(rows_of).unbatch()
  dataset = dataset.map(load, num_parallel_calls=threads, deterministic=True)
  dataset = dataset.batch(size // chunk, drop_remainder=True)
  options = tf.data.Options()
  options.deterministic = True
  options.autotune.enabled = False  # memory stays bounded
  options.experimental_warm_start = True
  options.threading.private_threadpool_size = threads
  options.threading.max_intra_op_parallelism = 1
  return dataset.prefetch(_PREFETCHED_BATCHES).with_options(options)


def _mirror(pixels: np.ndarray, flip: np.ndarray) -> np.ndarray:
  """Mirrors the images [n, h, w, 3] where `flip` [n] says so.

  By OpenCV: TensorFlow takes ten times as long to reverse three-byte pixels.
  """
  mirrored = np.empty_like(pixels)
  for image, to, is_flipped in zip(pixels, mirrored, flip, strict=True):
    if is_flipped:
      cv2.flip(image, 1, to)
    else:
      to[:] = image
  return mirrored


def problems(source, rows) -> list[tuple[int, str]]:
  """(row, what is wrong, naming the image) of those that cannot be used."""
  found = []
  for row in rows:
    row = int(row)
    try:
      [encoded] = source.read(np.array([row]))
    except errors.UserError as error:
      found.append((row, str(error)))
      continue
    problem = images.problem(encoded)
    if problem:
      path = image_files.printable(source.path(row))
      found.append((row, f'Cannot decode the image {path}: {problem}.'))
  return found


def num_threads(threads: int) -> int:
  if threads < 0:
    raise errors.UserError(f'data.threads is {threads}; expected 0 or more.')
  cpus = len(os.sched_getaffinity(0))
  return threads or min(cpus, _MAX_DEFAULT_THREADS)
