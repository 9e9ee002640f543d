"""From rows to decoded images.

    step -> rows -> bytes -> decoded, augmented, mirrored images -> batch

The stages are tf.data's.
"""

import functools
import math
import os
from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from bfjax import errors
from bfjax.data import images

# The accelerators are JAX's: TensorFlow would otherwise take all their memory.
tf.config.set_visible_devices([], 'GPU')
# The threads are TensorFlow's: each decodes and resizes by itself.
cv2.setNumThreads(0)

# Images lie in memory side by side, where TensorFlow takes them over as they
# are; otherwise it would copy them.
_ALIGNMENT = 64
# Images are read and decoded in chunks, one call from TensorFlow for each, so
# that a call's own cost does not count: some steps, or a part of one.
CHUNK = 256
_MAX_DEFAULT_THREADS = 16
_PREFETCHED_CHUNKS = 2


def make_load(source, *, image_size: int, augment: Callable | None) -> Callable:
  """Returns (row, flip, key) -> images, arrays of any one shape.

  The images are uint8 [number of rows, image_size, image_size, 3]; black where
  the row is -1.

  Args:
    source: has read(rows).
    image_size: height and width of the images.
    augment: (image, key) -> image; None for no change.
  """
  return functools.partial(
    _load, source=source, image_size=image_size, augment=augment
  )


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


def dataset(
  plan: Callable,
  load: Callable,
  *,
  steps: tuple[int, int],
  steps_at_once: int,
  threads: int,
) -> tf.data.Dataset:
  """Batches of `plan`, some of them at once, in order.

  Values are [steps, rows_per_batch]; images are [steps * rows_per_batch, ...]
  or, where a batch is read in several chunks, [chunks, chunk, ...].

  Args:
    plan: steps -> the rows shown, see `order`.
    load: of `make_load`.
    steps: the first, and that after the last.
    steps_at_once: how many are read in one chunk.
    threads: that read and decode.
  """
  size = plan.rows_per_batch
  num_chunks = -(-size // CHUNK)
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
  batches = tf.data.Dataset.range(*steps).batch(steps_at_once).map(plan)
  if num_chunks == 1:
    batches = batches.map(with_images, **parallel)
  else:
    chunks = batches.map(in_chunks).unbatch().map(images_of, **parallel)
    batches = tf.data.Dataset.zip(batches, chunks.batch(num_chunks)).map(
      lambda batch, image: batch | {'image': image}
    )
  options = tf.data.Options()
  options.deterministic = True
  options.autotune.enabled = False  # memory stays bounded
  options.experimental_warm_start = True
  options.threading.private_threadpool_size = threads
  options.threading.max_intra_op_parallelism = 1
  return batches.prefetch(_PREFETCHED_CHUNKS).with_options(options)


def num_threads(threads: int) -> int:
  """As many as asked for; where that is 0, one a CPU, but not more than pay.

  Raises:
    UserError: if it is negative.
  """
  if threads < 0:
    raise errors.UserError(f'data.threads is {threads}; expected 0 or more.')
  cpus = len(os.sched_getaffinity(0))
  return threads or min(cpus, _MAX_DEFAULT_THREADS)
