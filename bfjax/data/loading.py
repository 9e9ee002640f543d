"""From rows to batches of decoded images, by threads that work ahead.

    step -> rows -> bytes -> decoded, augmented, mirrored images -> batch

The threads are tf.data's. Batches are made anew around images that cannot be
used.
"""

import atexit
import dataclasses
import logging
import os
import weakref

import numpy as np

from bfjax import errors
from bfjax.data import images, order
from bfjax.text import first_lines, printable

_log = logging.getLogger(__name__)

# Images are read and decoded in chunks, one call from TensorFlow for each, so
# that a call's own cost does not count: some steps, or a part of one.
_CHUNK = 256
_MAX_DEFAULT_THREADS = 16
_CHUNKS_AHEAD = 2  # that are ready
# A file that is unreadable for a moment is worth a second try.
_MAX_UNEXPLAINED_FAILURES = 2
# So many bad images are no outage yet, however small the data set is.
_FEW_BAD = 100

# A thread of TensorFlow that calls Python after the interpreter has gone hangs
# the program or aborts it, so what is still open is closed before.
_open_streams = weakref.WeakSet()


def _close_all() -> None:
  for stream in list(_open_streams):
    stream.close()


class Stream:
  """Batches of the steps of an order, made anew around images that are bad.

  Attributes:
    step: the step of the next batch.
  """

  def __init__(
    self,
    source,
    plan: order.TrainOrder | order.FileOrder,
    steps: range,
    reading: images.Reading,
    labels: np.ndarray | None = None,
  ):
    """Opens the stream.

    Args:
      source: has num_rows, read, path.
      plan: tells the rows of a step.
      steps: those that are wanted.
      reading: how images are read.
      labels: int32 [num_rows], where the batches are to train on.
    """
    self._source, self._plan, self._labels = source, plan, labels
    self.step, self._stop = steps.start, steps.stop
    self._reading = reading
    self._num_failures = 0
    self._num_bad_here = 0  # found since a batch was made
    self._is_divided = False
    cpus = len(os.sched_getaffinity(0))
    self._threads = reading.threads or min(cpus, _MAX_DEFAULT_THREADS)
    images.use_one_thread()
    self._start(plan.bad_rows)
    atexit.unregister(_close_all)
    atexit.register(_close_all)
    _open_streams.add(self)

  @property
  def bad_rows(self) -> list[int]:
    """The rows known to be bad, sorted: those given, and those met so far."""
    return list(self._plan.bad_rows)

  def _start(self, bad_rows):
    bad_rows = sorted({int(row) for row in bad_rows})
    self._plan = dataclasses.replace(self._plan, bad_rows=bad_rows)
    size = self._plan.rows_per_batch
    self._steps_at_once = 1 if self._is_divided else max(_CHUNK // size, 1)
    self._parts = -(-size // _CHUNK)  # of a step
    self._images = self._load_ahead()
    self._batches = iter(())

  def close(self) -> None:
    """Stops the threads and waits for them; there are no more batches."""
    self._stop = self.step
    self._images = self._batches = iter(())

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()

  def __iter__(self):
    return self

  def __next__(self) -> dict:
    if self.step == self._stop:
      self.close()
      raise StopIteration
    batch = next(self._batches, None)
    while batch is None:
      steps = np.arange(
        self.step, min(self.step + self._steps_at_once, self._stop)
      )
      values = self._plan(steps)
      try:
        parts = [next(self._images) for _ in range(self._parts)]
      except order.tensorflow().errors.OpError as error:
        self._recover(error, values)
        continue
      image = parts[0] if len(parts) == 1 else np.concatenate(parts)
      values['image'] = image.reshape(*values['row'].shape, *image.shape[1:])
      self._batches = iter(
        [
          {name: of_steps[i] for name, of_steps in values.items()}
          for i in range(len(steps))
        ]
      )
      batch = next(self._batches)
    self._num_failures = self._num_bad_here = 0
    self.step += 1
    return self._finish(batch)

  def _finish(self, found: dict) -> dict:
    """The batch, see `pipeline`, from what the plan says and the images."""
    rows = found['row']
    batch = {
      'image': found['image'],
      'row': rows.astype(np.int32),
      'mask': found['mask'],
    }
    if self._labels is not None:
      batch['label'] = self._labels[rows]
      batch['skipped'] = int(np.sum(found['replaced'] & found['mask']))
    return batch

  def _load_ahead(self):
    """Yields the images of the steps to come, `_parts` arrays each time.

    Each array is of a chunk: some steps, or a part of one.
    """
    tf, first, stop = order.tensorflow(), self.step, self._stop
    at_once, parts = self._steps_at_once, self._parts
    # What TensorFlow holds must not hold the stream, or neither would go.
    plan, source, reading = self._plan, self._source, self._reading

    def load_chunk(number):
      group, part = divmod(int(number), parts)
      start = first + group * at_once
      rows = plan(np.arange(start, min(start + at_once, stop)))
      names = ('row', 'flip', 'key')
      own = [np.array_split(rows[x].ravel(), parts)[part] for x in names]
      return images.load(source, reading, *own)

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # memory stays bounded
    options.experimental_warm_start = True
    options.threading.private_threadpool_size = self._threads
    options.threading.max_intra_op_parallelism = 1
    chunks = tf.data.Dataset.range(-(-(stop - first) // at_once) * parts).map(
      lambda number: tf.numpy_function(load_chunk, [number], tf.uint8),
      num_parallel_calls=self._threads,
    )
    ahead = chunks.prefetch(_CHUNKS_AHEAD).with_options(options)
    return ahead.as_numpy_iterator()

  def _recover(self, error, values) -> None:
    """Finds the images that made some steps fail; raises, or leaves them out.

    The error may name none or one: they are tried again one at a time.
    """
    rows = np.unique(values['row'])
    rows = rows[rows >= 0]
    found = images.problems(self._source, rows)
    self._num_failures += 1
    if not found and self._num_failures > _MAX_UNEXPLAINED_FAILURES:
      raise error
    if found and self._reading.on_error == 'error':
      if len(values['row']) == 1:
        # Each once: the last batch may be filled up with one image.
        texts = dict.fromkeys(text for _, text in found)
        remedy = 'Restore it or take it off the list.'
        if self._labels is not None:
          remedy += " data.on_error='skip' trains without such images."
        raise errors.UserError(
          first_lines(texts).strip() + f'\n{remedy}'
        ) from None
      # The steps before that of the bad image are still to come.
      self._is_divided = True
      self._start(self.bad_rows)
      return
    if found and not self.bad_rows and self._reading.max_skipped < 1:
      _log.warning(
        'Unreadable images are skipped, up to %d of the %d'
        ' (data.max_skipped=%s, but never fewer than %d).',
        min(self._most_bad(self._source.num_rows), self._source.num_rows),
        self._source.num_rows,
        self._reading.max_skipped,
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
    return max(_FEW_BAD, self._reading.max_skipped * num_images)

  def _suspect_outage(self, num_bad, num_tried, found) -> None:
    """Raises if too many images are bad: of all, or of those of some steps."""
    for bad, of, which in (
      (num_bad, self._source.num_rows, 'images'),
      (self._num_bad_here, num_tried, 'images tried last'),
    ):
      if bad > self._most_bad(of):
        raise errors.UserError(
          f'{bad} of {of} {which} cannot be used, more than'
          f' data.max_skipped={self._reading.max_skipped} of them:\n'
          + first_lines(text for _, text in found)
          + '\nThis looks like an outage of the storage. Once the files can be'
          ' read again, the same command goes on from the last checkpoint. If'
          ' they are lost, take them off the list or raise data.max_skipped.'
        ) from None
