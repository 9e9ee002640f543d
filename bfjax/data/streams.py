"""Rows to decoded batches, rebuilt around images that cannot be used.

`loading` makes the batches; here they are handed out one at a time.
"""

import atexit
import logging
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from bfjax import errors
from bfjax.data import images, loading
from bfjax.text import first_lines, printable

_log = logging.getLogger(__name__)

# What TensorFlow raises where Python raises OSError.
TensorFlowError = tf.errors.OpError
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
    self._load = loading.make_load(
      source, image_size=image_size, augment=augment
    )
    self._on_error = on_error
    self._threads = loading.num_threads(threads)
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
    at_once = (
      0 if self._is_divided else loading.CHUNK // self._plan.rows_per_batch
    )
    self._steps_at_once = max(at_once, 1)
    dataset = loading.dataset(
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
      except TensorFlowError as error:
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
        # Each once: the last batch may be filled up with one image.
        texts = dict.fromkeys(text for _, text in found)
        raise errors.UserError(
          first_lines(texts).strip() + f'\n{self._remedy}'
        ) from None
      # The steps before that of the bad image are still to come.
      self._is_divided = True
      self._start(self.bad_rows)
      return
    if found and not self.bad_rows and self._max_skipped < 1:
      _log.warning(
        'Unreadable images are skipped, up to %d of the %d'
        ' (data.max_skipped=%s, but never fewer than %d).',
        min(self._most_bad(self._source.num_rows), self._source.num_rows),
        self._source.num_rows,
        self._max_skipped,
        _FEW_BAD,
      )
    for _, text in found:
      _log.warning('Skipped: %s', printable(text))
    self._num_bad_here += len(found)
    bad_rows = [*self.bad_rows, *(row for row, _ in found)]
    self._suspect_outage(len(bad_rows), len(rows), found)
    self._start(bad_rows)

  def _most_bad(self, num_images) -> float:
    """So many of these may be bad without an outage."""
    return max(_FEW_BAD, self._max_skipped * num_images)

  def _suspect_outage(self, num_bad, num_tried, found):
    """Raises if too many images are bad: of all, or of those of one chunk."""
    for bad, of, which in (
      (num_bad, self._source.num_rows, 'images'),
      (self._num_bad_here, num_tried, 'images tried last'),
    ):
      if bad > self._most_bad(of):
        raise errors.UserError(
          f'{bad} of {of} {which} cannot be used, more than'
          f' data.max_skipped={self._max_skipped} of them:\n'
          + first_lines(text for _, text in found)
          + '\nThis looks like an outage of the storage. Once the files can be'
          ' read again, the same command goes on from the last checkpoint. If'
          ' they are lost, take them off the list or raise data.max_skipped.'
        ) from None
