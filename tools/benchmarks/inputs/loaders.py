"""What the input stream is compared with: the reference's way, and the limit.

The workers of the reference import this file; it needs little to be imported.
"""

import concurrent.futures
import os
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch


class Faces(torch.utils.data.Dataset):
  """Reads, mirrors and scales one image as the reference does."""

  def __init__(self, paths: Sequence[str]):
    self.paths = paths

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, i):
    image = cv2.imread(self.paths[i])
    if torch.rand(()) < 0.5:
      image = cv2.flip(image, 1)
    image = image.transpose(2, 0, 1).astype(np.float32)
    return torch.from_numpy((image / 255 - 0.5) / 0.5), 0


def data_loader(
  paths: Sequence[str], batch: int, workers: int
) -> Callable[[], None]:
  """A function that takes an epoch from a DataLoader with living workers."""
  loader = torch.utils.data.DataLoader(
    Faces(paths),
    batch_size=batch,
    shuffle=True,
    num_workers=workers,
    persistent_workers=True,
    # Forking a process in which TensorFlow runs threads may hang.
    multiprocessing_context='spawn',
  )

  def epoch():
    for _ in loader:
      pass

  return epoch


def bare_decoding(encoded: Sequence[bytes]) -> Callable[[], None]:
  """A function that decodes all images, in memory, by a thread a core.

  By libjpeg-turbo as OpenCV has it. It keeps the pixels of one image at a time.
  """
  cores = len(os.sched_getaffinity(0))
  pool = concurrent.futures.ThreadPoolExecutor(cores)

  def decode(part):
    for one in part:
      cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)

  def epoch():
    list(pool.map(decode, (encoded[i::cores] for i in range(cores))))

  return epoch
