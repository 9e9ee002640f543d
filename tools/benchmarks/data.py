"""The input stream from each format, and opening data sets of millions.

Streams are measured beside the reference's way and the bare decoding of the
same bytes. CPU time of this process and its children is measured, as what the
stream takes is missing elsewhere, and time on the clock with all cores at work.
"""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import psutil

from benchmarks import timing
from benchmarks.inputs import loaders, opening, sets
from bfjax.data import images, labelled, order, pipeline

BATCH = 64
WORKERS = 2
# A stream works ahead. It has come to rest when no CPU time passes.
_LOOK_SECS = 0.005
_REST_SECS = 0.1


class Took(NamedTuple):
  """What an epoch took.

  Attributes:
    cpu: CPU seconds an image.
    wall: seconds an image on the clock.
  """

  cpu: float
  wall: float


def run(
  *, repeats: int = 5, num_images: int = 4096, num_rows: int = 10_000_000
) -> list[timing.Row]:
  """Times all formats in turn, then the opening.

  Raises:
    AssertionError: if the pixels of ours are not those of OpenCV.
  """
  with (
    tempfile.TemporaryDirectory() as folder,
    contextlib.ExitStack() as stack,
  ):
    formats = sets.write_all(pathlib.Path(folder), num_images)
    listed = formats['list']
    encoded = listed.read(range(num_images))
    for source in formats.values():
      check_pixels(source)
    paths = [listed.path(row) for row in range(num_images)]
    works = {
      'theirs': loaders.data_loader(paths, BATCH, WORKERS),
      'limit': loaders.bare_decoding(encoded),
    }
    for name, source in formats.items():
      works[name] = stack.enter_context(stream(source))
    took = measure(works, num_images, repeats)
  size = sum(map(len, encoded)) / num_images / 1000
  found = []
  for name in formats:
    found += rows(name, took[name], took['theirs'], took['limit'], size)
  return found + opening.rows(num_rows)


def rows(
  name: str,
  ours: Sequence[Took],
  theirs: Sequence[Took],
  limit: Sequence[Took],
  size: float,
) -> list[timing.Row]:
  """The lines of one format; `size` is that of an image in kB."""
  what = f'{name} to batches of {BATCH}, mirrored, an image of {size:.1f} kB'
  found = []
  for unit, note in (
    ('cpu', 'CPU time, by which a core makes {:,.0f} images/s'),
    ('wall', 'on the clock, all cores at work: {:,.0f} images/s'),
  ):
    values, loader, decoding = (
      [getattr(one, unit) for one in side] for side in (ours, theirs, limit)
    )
    note = note.format(1 / timing.quartiles(values)[1])
    found += [
      timing.Row(
        *(what, 'tf.data', f'DataLoader + OpenCV, {WORKERS} workers'),
        *(values, loader, 'at least 1.5'),
        f'{note}; theirs gives float32, ours uint8',
      ),
      timing.Row(
        *(what, 'tf.data', 'bare decoding, a thread a core'),
        *(values, decoding, 'at least 0.8'),
        f'{note}; theirs does not read, mirror or batch',
      ),
    ]
  return found


def check_pixels(source: labelled.Source) -> None:
  """Compares the first images with OpenCV's."""
  batches = pipeline.ordered_batches(
    source, batch=8, image_size=sets.IMAGE_SIZE
  )
  with contextlib.closing(batches):
    found = next(batches)['image']
  expected = [
    cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)
    for one in source.read(np.arange(8))
  ]
  np.testing.assert_array_equal(found, np.stack(expected)[..., ::-1])


@contextlib.contextmanager
def stream(source: labelled.Source) -> Iterator[Callable[[], None]]:
  """A function that takes the batches of an epoch from a running stream."""
  with pipeline.train_batches(
    source,
    source.labels,
    order.TrainOrder(num_rows=source.num_rows, batch=BATCH, seed=0),
    range(10**9),
    images.Reading(image_size=sets.IMAGE_SIZE),
  ) as batches:

    def epoch():
      for _ in range(source.num_rows // BATCH):
        next(batches)

    yield epoch


def measure(
  works: Mapping[str, Callable[[], None]], num_images: int, repeats: int
) -> dict[str, list[Took]]:
  """One call of each in turn, after one to warm up.

  A stream is full before and after, so that it makes as many images as it
  gives away.
  """
  for work in works.values():
    work()
    _wait_for_rest()
  took = {name: [] for name in works}
  for _ in range(repeats):
    for name, work in works.items():
      cpu, clock = _cpu_now(), time.perf_counter()
      work()
      wall = _wait_for_rest() - clock
      cpu = _cpu_now() - cpu
      took[name].append(Took(cpu / num_images, wall / num_images))
  return took


def _wait_for_rest() -> float:
  """Waits until this process works no more; the time when it stopped."""
  end, before = time.perf_counter(), time.process_time()
  while time.perf_counter() - end < _REST_SECS:
    time.sleep(_LOOK_SECS)
    now = time.process_time()
    if now - before > _LOOK_SECS / 5:
      end = time.perf_counter()
    before = now
  return end


def _cpu_now() -> float:
  """CPU seconds of this process and of its living children."""
  children = psutil.Process().children(recursive=True)
  times = [child.cpu_times() for child in children]
  return time.process_time() + sum(t.user + t.system for t in times)
