"""From rows to batches of decoded images, by threads that work ahead.

    step -> rows -> bytes -> decoded, augmented, mirrored images -> batch

Batches are made anew around images that cannot be used.
"""

import collections
import concurrent.futures
import logging
import os
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from bfjax import errors
from bfjax.data import images
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
  """Batches of the steps of a plan, made anew around images that are bad.

  Attributes:
    step: the step of the next batch.
    bad_rows: sorted list of the rows known to be bad: those given, and those
      met so far.
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
    finish: Callable[[dict], dict],
    augment: Callable | None = None,
    max_skipped: float = 1.0,
  ):
    """Opens the stream.

    Args:
      source: has num_rows, read, path.
      plan: bad rows -> (steps -> the rows shown), see `order`.
      steps: those that are wanted.
      image_size: height and width of the images.
      on_error: 'error' or 'skip'.
      bad_rows: rows known to be bad.
      threads: that read and decode; 0 for the default.
      remedy: what a message about a bad image ends with.
      finish: the values of the plan for a step, with its images -> the batch.
      augment: (image, key) -> image; None for no change.
      max_skipped: with a larger share of bad images, an outage is suspected.
    """
    self._source, self._make_plan, self._finish = source, plan, finish
    self.step, self._stop = steps.start, steps.stop
    self._image_size, self._augment = image_size, augment
    self._on_error, self._remedy = on_error, remedy
    self._max_skipped = max_skipped
    self._num_failures = 0
    self._num_bad_here = 0  # found since a batch was made
    self._is_divided = False
    self._threads = _num_threads(threads)
    self._waiting = collections.deque()  # (values of some steps, tasks)
    images.use_one_thread()
    self._pool = concurrent.futures.ThreadPoolExecutor(self._threads)
    self._start(bad_rows)

  def _start(self, bad_rows):
    self.bad_rows = sorted({int(row) for row in bad_rows})
    self._plan = self._make_plan(self.bad_rows)
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
    size = self._plan.rows_per_batch
    at_once = 1 if self._is_divided else max(_CHUNK // size, 1)
    most = self._threads + _CHUNKS_AHEAD
    while self._next_step < self._stop and (
      not self._waiting or sum(len(x) for _, x in self._waiting) < most
    ):
      stop = min(self._next_step + at_once, self._stop)
      values = self._plan(np.arange(self._next_step, stop))
      self._next_step = stop
      values['image'] = np.empty(
        [*values['row'].shape, self._image_size, self._image_size, 3], np.uint8
      )
      tasks = [self._pool.submit(self._load, *x) for x in _chunks(values)]
      self._waiting.append((values, tasks))

  def _load(self, row, flip, key, pixels) -> None:
    """Fills `pixels`, uint8 [n, size, size, 3]; black where `row` is -1."""
    pixels[row < 0] = 0
    places = np.flatnonzero(row >= 0)
    encoded = self._source.read(row[places])
    flips, keys = flip[places].tolist(), key[places].tolist()
    for place, one, flipped, k in zip(
      places.tolist(), encoded, flips, keys, strict=True
    ):
      image = images.decode(one, self._image_size)
      if self._augment:
        image = self._augment(image, k)
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
    if found and self._on_error == 'error':
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

  def _suspect_outage(self, num_bad, num_tried, found) -> None:
    """Raises if too many images are bad: of all, or of those of some steps."""
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


def _num_threads(threads: int) -> int:
  """As many as asked for; where that is 0, one a CPU, but not more than pay."""
  if threads < 0:
    raise errors.UserError(f'data.threads is {threads}; expected 0 or more.')
  cpus = len(os.sched_getaffinity(0))
  return threads or min(cpus, _MAX_DEFAULT_THREADS)
