"""From rows to batches of decoded images, by threads that work ahead.

    step -> rows -> bytes -> decoded, augmented, mirrored images -> batch

Batches are made anew around images that cannot be used.
"""

import collections
import concurrent.futures
import dataclasses
import logging
import os
from collections.abc import Callable

import cv2
import numpy as np

from bfjax import errors
from bfjax.data import images, order
from bfjax.text import first_lines, printable

_log = logging.getLogger(__name__)

# Images are read and decoded in chunks, a task for each, so that a task's own
# cost does not count: some steps, or a part of one.
_CHUNK = 256
_MAX_DEFAULT_THREADS = 16
_CHUNKS_AHEAD = 2  # that are ready, or wait for a thread
# A file that is unreadable for a moment is worth a second try.
_MAX_UNEXPLAINED_FAILURES = 2
# So many bad images are no outage yet, however small the data set is.
_FEW_BAD = 100


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
    *,
    remedy: str,
    finish: Callable[[dict], dict],
  ):
    """Opens the stream.

    Args:
      source: has num_rows, read, path.
      plan: tells the rows of a step.
      steps: those that are wanted.
      reading: how images are read.
      remedy: what a message about a bad image ends with.
      finish: the values of the plan for a step, with its images -> the batch.
    """
    self._source, self._plan, self._finish = source, plan, finish
    self.step, self._stop = steps.start, steps.stop
    self._reading, self._remedy = reading, remedy
    self._num_failures = 0
    self._num_bad_here = 0  # found since a batch was made
    self._is_divided = False
    cpus = len(os.sched_getaffinity(0))
    self._threads = reading.threads or min(cpus, _MAX_DEFAULT_THREADS)
    self._waiting = collections.deque()  # (values of some steps, tasks)
    images.use_one_thread()
    self._pool = concurrent.futures.ThreadPoolExecutor(self._threads)
    self._start(plan.bad_rows)

  @property
  def bad_rows(self) -> list[int]:
    """The rows known to be bad, sorted: those given, and those met so far."""
    return list(self._plan.bad_rows)

  def _start(self, bad_rows):
    bad_rows = sorted({int(row) for row in bad_rows})
    self._plan = dataclasses.replace(self._plan, bad_rows=bad_rows)
    self._batches = iter(())
    for _, tasks in self._waiting:
      for task in tasks:
        task.cancel()
    self._waiting.clear()
    self._next_step = self.step  # that no thread has been told of
    self._work_ahead()

  def close(self) -> None:
    """Stops the threads and waits for them; there are no more batches."""
    self._stop = self.step
    self._batches = iter(())
    self._pool.shutdown(cancel_futures=True)

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
      values, tasks = self._waiting[0]
      try:
        for task in tasks:
          task.result()
      except errors.UserError as error:
        self._recover(error, values)
        continue
      self._waiting.popleft()
      self._work_ahead()
      self._batches = iter(
        [
          {name: of_steps[i] for name, of_steps in values.items()}
          for i in range(len(values['row']))
        ]
      )
      batch = next(self._batches)
    self._num_failures = self._num_bad_here = 0
    self.step += 1
    return self._finish(batch)

  def _work_ahead(self):
    """Tells the threads of the next steps, a bounded number of chunks."""
    at_once = max(_CHUNK // self._plan.rows_per_batch, 1)
    at_once = 1 if self._is_divided else at_once
    most, size = self._threads + _CHUNKS_AHEAD, self._reading.image_size
    while self._next_step < self._stop and (
      not self._waiting or sum(len(x) for _, x in self._waiting) < most
    ):
      stop = min(self._next_step + at_once, self._stop)
      values = self._plan(np.arange(self._next_step, stop))
      self._next_step = stop
      values['image'] = np.empty(
        [*values['row'].shape, size, size, 3], np.uint8
      )
      tasks = [self._pool.submit(self._load, *x) for x in _chunks(values)]
      self._waiting.append((values, tasks))

  def _load(self, row, flip, key, pixels) -> None:
    """Fills `pixels`, uint8 [n, size, size, 3]; black where `row` is -1."""
    size, augment = self._reading.image_size, self._reading.augment
    pixels[row < 0] = 0
    places = np.flatnonzero(row >= 0)
    encoded = self._source.read(row[places])
    flips, keys = flip[places].tolist(), key[places].tolist()
    for place, one, flipped, k in zip(
      places.tolist(), encoded, flips, keys, strict=True
    ):
      image = images.decode(one, size)
      if augment:
        image = augment(image, k)
      if flipped:
        cv2.flip(image, 1, pixels[place])
      else:
        pixels[place] = image

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
        raise errors.UserError(
          first_lines(texts).strip() + f'\n{self._remedy}'
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


def _chunks(values):
  """(row, flip, key, image) of each part of some steps that is one task."""
  num_images = values['row'].size
  return zip(
    *(
      np.array_split(
        values[name].reshape(num_images, *values[name].shape[2:]),
        -(-num_images // _CHUNK),
      )
      for name in ('row', 'flip', 'key', 'image')
    ),
    strict=True,
  )
