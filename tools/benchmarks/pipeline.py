"""The input pipeline alone, beside the reference's way and the bare decoding.

CPU time of this process and its children is measured, not time on the clock:
what the pipeline takes is missing elsewhere, and it hides behind the training
step otherwise.
"""

import contextlib
import os
import tempfile
import time

import cv2
import numpy as np
import psutil
import torch

from benchmarks import timing
from bfjax.data import files, pipeline

IMAGE_SIZE = 112
BATCH = 64
WORKERS = 2
# What is being prefetched when the last batch is taken belongs to the work.
_SETTLE_SECS = 0.2


def run(*, repeats: int = 5, num_images: int = 2048) -> list[timing.Row]:
  """Times all three on the same JPEG files, in turn.

  Raises:
    AssertionError: if the pixels of ours are not those of OpenCV.
  """
  with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
    names = make_images(root, num_images)
    images = files.ImageFiles(names, root)
    encoded = images.read(range(num_images))
    check_pixels(images, encoded)
    works = {
      'ours': stack.enter_context(ours(images)),
      'theirs': reference(images),
      'decoding': lambda: decode(encoded),
    }
    secs = cpu_secs(works, num_images, repeats)
  size = sum(map(len, encoded)) / num_images / 1000
  what = f'JPEG list to batches of {BATCH}, {IMAGE_SIZE}x{IMAGE_SIZE}, an image'
  return [
    timing.Row(
      what,
      'tf.data',
      f'DataLoader + OpenCV, {WORKERS} workers',
      secs['ours'],
      secs['theirs'],
      '',
      f'CPU time of all processes; {size:.1f} kB an image; theirs gives '
      'float32, ours uint8',
    ),
    timing.Row(
      what,
      'tf.data',
      'bare cv2.imdecode',
      secs['ours'],
      secs['decoding'],
      '',
      'CPU time; theirs does not read, mirror or batch',
    ),
  ]


def make_images(root: str, num_images: int) -> list[str]:
  """Writes smooth random pictures with sensor noise, about 6.7 kB each."""
  random = np.random.default_rng(0)
  names = [f'{i}.jpg' for i in range(num_images)]
  for name in names:
    coarse = random.uniform(0, 255, [7, 7, 3]).astype(np.float32)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    picture += random.normal(0, 6, picture.shape)
    pixels = picture.clip(0, 255).astype(np.uint8)
    cv2.imwrite(
      os.path.join(root, name), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
  return names


def check_pixels(images: files.ImageFiles, encoded: list[bytes]) -> None:
  batches = pipeline.ordered_batches(images, batch=8, image_size=IMAGE_SIZE)
  with contextlib.closing(batches):
    found = next(batches)['image']
  expected = [
    cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)
    for one in encoded[:8]
  ]
  np.testing.assert_array_equal(found, np.stack(expected)[..., ::-1])


@contextlib.contextmanager
def ours(images: files.ImageFiles):
  """A function that takes the batches of an epoch from a running stream."""
  num_batches = images.num_rows // BATCH
  with pipeline.train_batches(
    images,
    np.zeros(images.num_rows, np.int32),
    batch=BATCH,
    image_size=IMAGE_SIZE,
    seed=0,
    first_step=0,
    num_steps=10**9,
  ) as stream:

    def epoch():
      for _ in range(num_batches):
        next(stream)
      time.sleep(_SETTLE_SECS)

    yield epoch


class Faces(torch.utils.data.Dataset):
  """Reads, mirrors and scales one image as the reference does."""

  def __init__(self, paths: list[str]):
    self.paths = paths

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, i):
    image = cv2.imread(self.paths[i])
    if torch.rand(()) < 0.5:
      image = cv2.flip(image, 1)
    image = image.transpose(2, 0, 1).astype(np.float32)
    return torch.from_numpy((image / 255 - 0.5) / 0.5), 0


def reference(images: files.ImageFiles):
  """A function that takes an epoch from a DataLoader with living workers."""
  loader = torch.utils.data.DataLoader(
    Faces([images.path(row) for row in range(images.num_rows)]),
    batch_size=BATCH,
    shuffle=True,
    num_workers=WORKERS,
    persistent_workers=True,
    # Forking a process in which TensorFlow runs threads may hang.
    multiprocessing_context='spawn',
  )

  def epoch():
    for _ in loader:
      pass

  return epoch


def decode(encoded: list[bytes]) -> None:
  for one in encoded:
    cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)


def cpu_secs(works, num_images, repeats) -> dict[str, list[float]]:
  """CPU seconds an image, one call of each in turn, after one to warm up."""
  for work in works.values():
    work()
  secs = {name: [] for name in works}
  for _ in range(repeats):
    for name, work in works.items():
      start = _cpu_now()
      work()
      secs[name].append((_cpu_now() - start) / num_images)
  return secs


def _cpu_now() -> float:
  """CPU seconds of this process and of its living children."""
  children = psutil.Process().children(recursive=True)
  times = [child.cpu_times() for child in children]
  return time.process_time() + sum(t.user + t.system for t in times)
