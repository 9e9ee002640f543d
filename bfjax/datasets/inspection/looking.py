"""A look at every image: its bytes, its size, and whether it can be read."""

import collections
import dataclasses
import hashlib
import io
import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bfjax import errors
from bfjax.data import checks, images
from bfjax.text import printable

SHOWN = 10
_CHUNK = 256
_MAX_THREADS = 16
_DIGEST_BYTES = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Looks:
  """What images are like, all of it JSON values."""

  decoded: int  # images that were decoded: a sample or all
  # 'width x height' as decoded, turned as EXIF says -> images, the most
  # frequent first.
  sizes: dict[str, int]
  modes: dict[str, int]  # 'JPEG RGB' -> images, likewise
  # How many cannot be used, their share of those decoded, and (image, what is
  # wrong) of the first.
  unreadable: dict[str, Any]


class Seen(NamedTuple):
  """What was seen of images."""

  looks: Looks
  bad: np.ndarray  # bool [num_rows], those that cannot be used
  rows: np.ndarray  # int64 [n], ascending, those whose bytes were read
  digests: np.ndarray  # uint64 [n, 2], a hash of the bytes of each


def look(files, *, sample: int, compare: bool) -> Seen:
  """Looks through images; a progress bar tells how far.

  Args:
    files: what has `num_rows` images, `read(rows)` and `name(row)`: a
      `labelled.Source`, `files.ImageFiles`, `packs.PackFiles`.
    sample: how many images to decode; 0 for all.
    compare: whether to read every image, not the sample alone.
  """
  num_rows = files.num_rows
  decoded = np.ones(num_rows, bool)
  if 0 < sample < num_rows:
    rng = np.random.default_rng(0)
    decoded[:] = False
    decoded[rng.choice(num_rows, sample, replace=False)] = True
  rows = np.arange(num_rows) if compare else np.flatnonzero(decoded)
  digests = np.zeros([num_rows, _DIGEST_BYTES // 8], np.uint64)
  is_read, bad = np.zeros(num_rows, bool), np.zeros(num_rows, bool)
  sizes, modes = collections.Counter(), collections.Counter()
  first = []

  def look_at(some):
    return [(row, _look_at(files, row, decoded[row])) for row in some.tolist()]

  images.use_one_thread()
  for row, one in checks.ahead(
    rows,
    look_at,
    chunk=_CHUNK,
    threads=min(len(os.sched_getaffinity(0)), _MAX_THREADS),
    title='Looking at the images',
  ):
    if one.problem:
      bad[row] = True
      if len(first) < SHOWN:
        first.append((printable(files.name(row)), one.problem))
    if one.digest:
      digests[row] = np.frombuffer(one.digest, np.uint64)
      is_read[row] = True
    if one.size:
      sizes[one.size] += 1
      modes[one.mode] += 1
  looks = Looks(
    decoded=int(decoded.sum()),
    sizes=dict(sizes.most_common()),
    modes=dict(modes.most_common()),
    unreadable={
      'images': int(bad.sum()),
      'share': float(bad[decoded].mean()),
      'first': first,
    },
  )
  return Seen(looks, bad, np.flatnonzero(is_read), digests[is_read])


class _Look(NamedTuple):
  """What is seen of one image."""

  digest: bytes = b''
  size: str = ''
  mode: str = ''
  problem: str = ''


def _look_at(files, row, decode) -> _Look:
  try:
    [encoded] = files.read(np.array([row]))
  except errors.UserError as error:
    return _Look(problem=str(error))
  digest = hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).digest()
  if not decode:
    return _Look(digest)
  try:
    height, width, _ = images.decode_whole(encoded).shape
  except errors.UserError as error:
    return _Look(digest, problem=str(error))
  return _Look(digest, f'{width} x {height}', _mode(encoded))


def _mode(encoded: bytes) -> str:
  """'JPEG RGB': format and colour mode, as the header has them."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      with Image.open(io.BytesIO(encoded)) as image:
        return f'{image.format} {image.mode}'
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
    return 'of unknown colour'
