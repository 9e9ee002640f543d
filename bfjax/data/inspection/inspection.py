"""What a data set holds: counts, labels, image sizes, duplicates, broken files.

Images with the same bytes under two labels are closed-set noise that needs no
training to be found.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import io
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from bfjax import errors
from bfjax.data import images, sources
from bfjax.data.files import printable

_CHUNK = 256
_MAX_THREADS = 16
_DIGEST_BYTES = 16
_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Inspection:
  """What was found; counts unless told otherwise, all of it JSON values.

  Attributes:
    images: in the set.
    classes: in the set.
    per_class: fewest, median, mean and most images of a class.
    histogram: (fewest, most, classes) for classes of 1, 2 to 3, 4 to 7, ...
      images.
    label_gaps: labels from 0 to the largest that no image has: how many, and
      the first; {} if labels are names.
    wrong_labels: rows whose label is not the true one, None where not known.
    decoded: images that were decoded: a sample or all.
    sizes: 'width x height' -> images, the most frequent first.
    modes: 'JPEG RGB' -> images, likewise.
    read: images that were read and compared: all, or the sample.
    unreadable: how many, and (image, what is wrong) of the first.
    left_out: damaged records, which do not count as images.
    duplicates: images that have the bytes of another one: groups of equal
      ones, images in them, and of these the groups that go across classes.
    across_classes: rows of each group across classes, the first groups.
  """

  images: int
  classes: int
  per_class: dict[str, float]
  histogram: list[tuple[int, int, int]]
  label_gaps: dict[str, Any]
  wrong_labels: int | None
  decoded: int
  sizes: dict[str, int]
  modes: dict[str, int]
  read: int
  unreadable: dict[str, Any]
  left_out: int
  duplicates: dict[str, int]
  across_classes: list[list[int]]


def inspect(
  source: sources.Source, *, sample: int, compare: bool = True, seed: int = 0
) -> Inspection:
  """Looks through a data set; a progress bar tells how far.

  Args:
    source: the data set.
    sample: how many images to decode; 0 for all.
    compare: whether to read every image, to find equal ones.
    seed: of the sample.
  """
  num_rows = source.num_rows
  decoded = np.ones(num_rows, bool)
  if 0 < sample < num_rows:
    decoded[:] = False
    rng = np.random.default_rng(seed)
    decoded[rng.choice(num_rows, sample, replace=False)] = True
  rows = np.arange(num_rows) if compare else np.flatnonzero(decoded)
  digests = np.zeros([len(rows), _DIGEST_BYTES // 8], np.uint64)
  is_read = np.zeros(len(rows), bool)
  sizes, modes = collections.Counter(), collections.Counter()
  bad = []
  for start, found in _look(source, rows, decoded):
    part = slice(start, start + len(found))
    for place, one in zip(range(part.start, part.stop), found, strict=True):
      if one.problem:
        bad.append((int(rows[place]), one.problem))
      if one.digest:
        digests[place] = np.frombuffer(one.digest, np.uint64)
        is_read[place] = True
      if one.size:
        sizes[one.size] += 1
        modes[one.mode] += 1
  groups = _groups(digests, rows, is_read)
  across = [group for group in groups if len(set(source.labels[group])) > 1]
  counts = np.bincount(source.labels, minlength=source.num_classes)
  true = source.true_labels
  return Inspection(
    images=num_rows,
    classes=source.num_classes,
    per_class={
      'fewest': int(counts.min()),
      'median': float(np.median(counts)),
      'mean': float(counts.mean()),
      'most': int(counts.max()),
    },
    histogram=_histogram(counts),
    label_gaps=_gaps(source.class_names),
    wrong_labels=None if true is None else int((true != source.labels).sum()),
    decoded=int(decoded.sum()),
    sizes=dict(sizes.most_common()),
    modes=dict(modes.most_common()),
    read=len(rows),
    unreadable={
      'images': len(bad),
      'first': [
        (printable(source.name(row)), problem) for row, problem in bad[:_SHOWN]
      ],
    },
    left_out=getattr(source, 'num_left_out', 0),
    duplicates={
      'groups': len(groups),
      'images': sum(map(len, groups)),
      'groups_across_classes': len(across),
      'images_across_classes': sum(map(len, across)),
    },
    across_classes=[group.tolist() for group in across],
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
      look.size, look.mode = header(encoded)
      images.decode(encoded, 1)
    except errors.UserError as error:
      look.problem = str(error)
  return look


def header(encoded: bytes) -> tuple[str, str]:
  """('112 x 112', 'JPEG RGB'): width, height, format and colour mode.

  Nothing is decoded but the header. ('', '') if it is no image at all.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      with Image.open(io.BytesIO(encoded)) as image:
        width, height = image.size
        return f'{width} x {height}', f'{image.format} {image.mode}'
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
    return '', ''


def _groups(digests, rows, is_read) -> list[np.ndarray]:
  """Rows of equal digests, ascending, where there are two or more."""
  digests, rows = digests[is_read], rows[is_read]
  order = np.lexsort(digests.T)
  ordered = digests[order]
  differs = np.any(ordered[1:] != ordered[:-1], axis=1)
  starts = np.r_[0, np.flatnonzero(differs) + 1, len(rows)]
  several = np.flatnonzero(np.diff(starts) > 1)
  groups = [np.sort(rows[order[starts[i] : starts[i + 1]]]) for i in several]
  return sorted(groups, key=lambda group: group[0])


def _histogram(counts: np.ndarray) -> list[tuple[int, int, int]]:
  """(fewest, most, classes): none, 1, 2 to 3, 4 to 7, ... images."""
  power = np.frexp(counts)[1]
  return [
    (2 ** (p - 1) if p else 0, 2**p - 1, int(np.sum(power == p)))
    for p in range(int(power.min()), int(power.max()) + 1)
  ]


def _gaps(class_names: Sequence[str]) -> dict[str, Any]:
  if not all(name.isdecimal() for name in class_names):
    return {}
  used = np.sort(np.fromiter(map(int, class_names), np.int64))
  jumps = np.flatnonzero(np.diff(used, prepend=-1) > 1)
  first = []
  for i in jumps[:_SHOWN]:
    start = used[i - 1] + 1 if i else 0
    first += range(int(start), int(min(used[i], start + _SHOWN)))
  missing = int(used[-1]) + 1 - len(used)
  return {'largest': int(used[-1]), 'missing': missing, 'first': first[:_SHOWN]}
