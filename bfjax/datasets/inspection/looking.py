"""A look at every image: its bytes, its size, and whether it can be read."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import io
import os
import warnings

import numpy as np
import tqdm
from PIL import Image

from bfjax import errors
from bfjax.data import images

_CHUNK = 256
_MAX_THREADS = 16
_DIGEST_BYTES = 16
_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Looks:
  """What was seen.

  Attributes:
    rows: int64 [n], the images that were read.
    digests: uint64 [n, 2], a hash of the bytes of each.
    is_read: bool [n], whether there were any.
    decoded: images that were decoded: a sample or all.
    sizes: 'width x height' as decoded, turned as EXIF says -> images, the most
      frequent first.
    modes: 'JPEG RGB' -> images, likewise.
    bad: int64 [k], the images that cannot be used, ascending.
    bad_share: their share of the sample.
    problems: (row, what is wrong) of the first of them.
  """

  rows: np.ndarray
  digests: np.ndarray
  is_read: np.ndarray
  decoded: int
  sizes: dict[str, int]
  modes: dict[str, int]
  bad: np.ndarray
  bad_share: float
  problems: list[tuple[int, str]]


def look(files, *, sample: int, compare: bool, seed: int = 0) -> Looks:
  """Looks through images; a progress bar tells how far.

  Args:
    files: what has `num_rows` images and `read(rows)`: a `labelled.Source`,
      `files.ImageFiles`, `packs.PackFiles`.
    sample: how many images to decode; 0 for all.
    compare: whether to read every image, not the sample alone.
    seed: of the sample.
  """
  num_rows = files.num_rows
  decoded = np.ones(num_rows, bool)
  if 0 < sample < num_rows:
    decoded[:] = False
    rng = np.random.default_rng(seed)
    decoded[rng.choice(num_rows, sample, replace=False)] = True
  rows = np.arange(num_rows) if compare else np.flatnonzero(decoded)
  digests = np.zeros([len(rows), _DIGEST_BYTES // 8], np.uint64)
  is_read = np.zeros(len(rows), bool)
  sizes, modes = collections.Counter(), collections.Counter()
  is_bad = np.zeros(num_rows, bool)
  problems = []
  for start, found in _look(files, rows, decoded):
    for place, one in enumerate(found, start):
      if one.problem:
        is_bad[rows[place]] = True
        if len(problems) < _SHOWN:
          problems.append((int(rows[place]), one.problem))
      if one.digest:
        digests[place] = np.frombuffer(one.digest, np.uint64)
        is_read[place] = True
      if one.size:
        sizes[one.size] += 1
        modes[one.mode] += 1
  return Looks(
    rows=rows,
    digests=digests,
    is_read=is_read,
    decoded=int(decoded.sum()),
    sizes=dict(sizes.most_common()),
    modes=dict(modes.most_common()),
    bad=np.flatnonzero(is_bad),
    bad_share=float(is_bad[decoded].mean()),
    problems=problems,
  )


@dataclasses.dataclass
class _Look:
  """What is seen of one image."""

  problem: str = ''
  digest: bytes = b''
  size: str = ''
  mode: str = ''


def _look(source, rows, decoded):
  """Yields (place, what is seen of each image) for chunks of rows."""

  def chunk(start):
    return start, [
      _look_at(source, row, decoded[row])
      for row in rows[start : start + _CHUNK]
    ]

  threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
  with (
    concurrent.futures.ThreadPoolExecutor(threads) as pool,
    tqdm.tqdm(
      total=len(rows),
      desc='Looking at the images',
      unit='image',
      unit_scale=True,
      disable=None,
    ) as bar,
  ):
    # A few chunks ahead, not all at once: memory stays bounded.
    waiting = collections.deque()
    for start in range(0, len(rows), _CHUNK):
      waiting.append(pool.submit(chunk, start))
      if len(waiting) > 4 * threads:
        yield waiting.popleft().result()
        bar.update(_CHUNK)
    for job in waiting:
      start, found = job.result()
      yield start, found
      bar.update(len(found))


def _look_at(source, row, decode) -> _Look:
  try:
    [encoded] = source.read(np.array([row]))
  except errors.UserError as error:
    return _Look(problem=str(error))
  look = _Look(
    digest=hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).digest()
  )
  if decode:
    try:
      height, width, _ = images.decode_whole(encoded).shape
      look.size, look.mode = f'{width} x {height}', _mode(encoded)
    except errors.UserError as error:
      look.problem = str(error)
  return look


def _mode(encoded: bytes) -> str:
  """'JPEG RGB': format and colour mode, as the header has them."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      with Image.open(io.BytesIO(encoded)) as image:
        return f'{image.format} {image.mode}'
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
    return 'of unknown colour'
