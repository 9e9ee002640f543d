"""The headers of all records of a file, read in whole arrays.

A file is passed through once in its own order, window by window, and the pages
of a window are given back before the next: what is held in memory is a few
numbers a record, however large the file is.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tqdm

from bfjax.formats import recordfiles, recordio

_WINDOW_BYTES = 1 << 26
# No image of a face is larger; a few of half a gigabyte would fill the memory.
_MAX_RECORD_BYTES = 1 << 26
_MAX_SHOWN = 5
_MIN_BAR_BYTES = 1 << 30

# Codes of what is wrong with a record.
GOOD = 0
PAST_END = 1
NO_RECORD = 2
CUT_OFF = 3
BROKEN = 4
SHORT = 5
OVERLAPS = 6
TOO_LARGE = 7
PROBLEMS = (
  'is good',
  'lies past the end of the file: the file is cut off, or the index is that of '
  'another file',
  'is no record: the magic number of RecordIO is not there',
  'is cut off by the end of the file',
  'is in parts that do not belong together',
  'is too short for its header and labels',
  'overlaps the one after it',
  f'is larger than {_MAX_RECORD_BYTES >> 20} MiB',
)


class Headers(NamedTuple):
  """Of n records.

  Attributes:
    offsets: int64 [n], of the first byte.
    sizes: uint32 [n], bytes from there to the end of the (first) part.
    labels: float32 [n], the label, or the first of several.
    ids: uint64 [n], what the writer numbered them with.
    codes: uint8 [n], an index of `PROBLEMS`; where it is not 0, the other
      numbers mean nothing.
  """

  offsets: np.ndarray
  sizes: np.ndarray
  labels: np.ndarray
  ids: np.ndarray
  codes: np.ndarray


class Lost:
  """Places of a file where a record should start and none does."""

  def __init__(self):
    self.count = 0
    self.first = []  # of them, as text

  def add(self, offset: int, problem: str) -> None:
    self.count += 1
    if len(self.first) < _MAX_SHOWN:
      self.first.append(f'at byte {offset}: {problem}')


def read(
  file: recordfiles.RecordFile, offsets: np.ndarray, progress: bool = True
) -> Headers:
  """The headers at known places.

  Args:
    file: the records.
    offsets: int64 [n], ascending.
    progress: whether to show a progress bar if the file is large.
  """
  words = np.frombuffer(file.data, '<u4', file.size // 4)
  found = []
  first = 0
  for _, stop in _windows(file, 'Reading the labels', progress):
    is_end = stop == file.size
    last = len(offsets) if is_end else int(np.searchsorted(offsets, stop))
    found.append(_headers(file, words, offsets[first:last]))
    first = last
  return _mark_overlaps(_join(found))


def scan(
  file: recordfiles.RecordFile, progress: bool = True
) -> tuple[Headers, Lost]:
  """Finds the records of a file that has no index.

  Since writers cut payloads at magic numbers, each one that lies at a multiple
  of 4 bytes starts a part; that the parts follow each other without a gap is
  checked. Where they do not (a writer that does not cut, or damage), the next
  magic number is gone on with.

  Returns:
    the headers of all records in the order of the file, and where the file
    holds something else.
  """
  words = np.frombuffer(file.data, '<u4', file.size // 4)
  chain = _Chain(words)
  found = []
  for start, stop in _windows(file, 'Finding the records', progress):
    starts = chain.follow(start // 4, stop // 4)
    found.append(_headers(file, words, 4 * starts))
  chain.finish(file.size)
  return _mark_overlaps(_join(found)), chain.lost


def _windows(file, what, progress) -> Iterator[tuple[int, int]]:
  """Yields the (first byte, byte after the last) of all windows."""
  with tqdm.tqdm(
    total=file.size,
    desc=what,
    unit='B',
    unit_scale=True,
    disable=not progress or file.size < _MIN_BAR_BYTES,
  ) as bar:
    for start in range(0, file.size, _WINDOW_BYTES):
      stop = min(start + _WINDOW_BYTES, file.size)
      file.check_size()
      file.fetch(stop, _WINDOW_BYTES)
      yield start, stop
      file.release()
      bar.update(stop - start)


class _Chain:
  """Follows parts from one to the next; counts in words of 4 bytes."""

  def __init__(self, words):
    self.lost = Lost()
    self._words = words
    self._next = 0  # where the next part must start; None if not known
    self._in_parts = False  # whether the last part was no last one

  def follow(self, start, stop):
    """int64 [n]: the first words of the records that start in a window."""
    words = self._words
    found = start + np.flatnonzero(words[start:stop] == recordio.MAGIC)
    found = found[found + 1 < len(words)]
    coded = words[found + 1]
    ends = found + 2 + ((coded & recordio.MAX_LENGTH) + 3 >> 2).astype(np.int64)
    fits = ends <= len(words)
    # The last of each run of parts that follow each other.
    breaks = np.flatnonzero((ends[:-1] != found[1:]) | ~fits[:-1])
    breaks = np.append(breaks, len(found) - 1)
    runs = []
    i = self._place(found, 0, stop)
    while i < len(found):
      last = int(breaks[np.searchsorted(breaks, i)])
      if fits[last]:
        runs.append(np.arange(i, last + 1))
        self._next = int(ends[last])
        i = self._place(found, last + 1, stop)
      else:
        runs.append(np.arange(i, last))
        self.lost.add(4 * int(found[last]), PROBLEMS[CUT_OFF])
        self._next = None
        i = last + 1
    chosen = np.concatenate([np.zeros(0, np.int64), *runs])
    return found[chosen[self._starts(coded[chosen], found[chosen])]]

  def _place(self, found, i, stop):
    """The first of found[i:] that is where the next part must start."""
    if self._next is None:
      return i
    i += int(np.searchsorted(found[i:], self._next))
    if self._next < stop and (i == len(found) or found[i] != self._next):
      if self._next + 1 < len(self._words):
        self.lost.add(4 * self._next, PROBLEMS[NO_RECORD])
      else:
        self.lost.add(4 * self._next, PROBLEMS[CUT_OFF])
      self._next = None
    return i

  def _starts(self, coded, found):
    """bool [n]: which parts are the first ones of records."""
    cflags = coded >> recordio.LENGTH_BITS
    goes_on = (cflags == 1) | (cflags == 2)
    before = np.concatenate([[self._in_parts], goes_on[:-1]])
    starts = cflags <= 1
    for i in np.flatnonzero(~starts & (~before | (cflags > 3))):
      self.lost.add(4 * int(found[i]), PROBLEMS[BROKEN])
    if len(goes_on):
      self._in_parts = bool(goes_on[-1])
    return starts

  def finish(self, size):
    if size % 4:
      self.lost.add(size - size % 4, PROBLEMS[CUT_OFF])


def _headers(file, words, offsets) -> Headers:
  """Of the records at `offsets`, int64 [n]."""
  count = len(offsets)
  codes = np.zeros(count, np.uint8)
  codes[offsets % 4 != 0] = NO_RECORD
  codes[offsets + recordio.PART.size > file.size] = PAST_END
  sizes, labels = np.zeros(count, np.uint32), np.zeros(count, np.float32)
  ids = np.zeros(count, np.uint64)
  known = np.flatnonzero(codes == GOOD)
  at = offsets[known] // 4
  coded = words[at + 1]
  cflags, lengths = coded >> recordio.LENGTH_BITS, coded & recordio.MAX_LENGTH
  ends = offsets[known] + recordio.PART.size + (lengths + 3 & ~np.uint32(3))
  found = np.zeros(len(known), np.uint8)
  found[lengths < recordio.HEADER.size] = SHORT
  found[lengths > _MAX_RECORD_BYTES] = TOO_LARGE
  found[ends > file.size] = CUT_OFF
  found[(words[at] != recordio.MAGIC) | (cflags > 1)] = NO_RECORD
  sizes[known] = lengths + recordio.PART.size
  whole = np.flatnonzero((found == GOOD) & (cflags == 0))
  at, rows = at[whole], known[whole]
  flags = words[at + 2]
  room = (lengths[whole] - recordio.HEADER.size) // 4
  fits = flags <= room
  found[whole[~fits]] = SHORT
  at, rows, flags = at[fits], rows[fits], flags[fits]
  labels[rows] = words[at + np.where(flags > 0, 8, 3)].view('<f4')
  ids[rows] = words[at + 4] | words[at + 5].astype(np.uint64) << np.uint64(32)
  codes[known] = found
  is_first = (cflags == 1) & ((found == GOOD) | (found == SHORT))
  for row in known[is_first].tolist():
    try:
      record = file.read(int(offsets[row]))
      labels[row], ids[row] = record.labels[0], record.id
      is_large = len(record.image) > _MAX_RECORD_BYTES
      codes[row] = TOO_LARGE if is_large else GOOD
    except ValueError:
      codes[row] = BROKEN
  return Headers(offsets, sizes, labels, ids, codes)


def _join(parts: list[Headers]) -> Headers:
  """All parts as one; they are let go column by column, to save memory."""
  columns = [list(column) for column in zip(*parts, strict=True)]
  parts.clear()
  return Headers(*(np.concatenate(columns.pop(0)) for _ in Headers._fields))


def _mark_overlaps(headers: Headers) -> Headers:
  """Of records that overlap, none is left but the last."""
  good = np.flatnonzero(headers.codes == GOOD)
  starts = headers.offsets[good]
  ends = starts + headers.sizes[good]
  headers.codes[good[:-1][ends[:-1] > starts[1:]]] = OVERLAPS
  return headers
