"""The heads of all records of a file, read in whole arrays.

A file is passed through once in its own order, window by window: what is held
in memory is a few numbers a record, however large the file is.
"""

import array
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tqdm

from bfjax import errors, text
from bfjax.formats import recordfiles, recordio
from bfjax.text import printable

_WINDOW_BYTES = 1 << 24
_LINE = re.compile(rb'\s*(\d{1,18})\s+(\d{1,18})\s*')  # of the index
_MAX_NUMBER = 10**18
_REMEDY = 'Remove the file: the index is then made anew.'
# A record's part head, header and first label.
_HEAD_BYTES = recordio.PART.size + recordio.HEADER.size + 4


class Heads(NamedTuple):
  """What is known of n records."""

  # int64, what they are called by; -1 where one should start and none does.
  keys: np.ndarray
  offsets: np.ndarray  # int64, of the first byte
  sizes: np.ndarray  # uint32, bytes of the record, or of its first part
  labels: np.ndarray  # float32, the label, or the first of several
  # uint8, an index of `recordfiles.PROBLEMS`; where it is not 0, sizes and
  # labels mean nothing.
  codes: np.ndarray

  def take(self, rows) -> 'Heads':
    """Some of them: a slice, or what else chooses rows of an array."""
    return Heads(*(column[rows] for column in self))


def read(file: recordfiles.RecordFile, offsets: np.ndarray) -> Heads:
  """The heads at known places; their keys are the ids that writers gave.

  Args:
    file: the records.
    offsets: int64 [n], ascending.

  Raises:
    UserError: if the disk fails, or the file becomes shorter meanwhile.
  """
  found = []
  first = 0
  for start, data in _windows(file, 'Reading the labels'):
    stop = start + _WINDOW_BYTES
    is_last = stop >= file.size
    last = len(offsets) if is_last else int(np.searchsorted(offsets, stop))
    found.append(_heads(file, start, data, offsets[first:last]))
    first = last
  return _joined(found)


def scan(file: recordfiles.RecordFile) -> Heads:
  """Finds the records of a file that has no index.

  Each is where the one before it ends. Where no record is, the next magic
  number that lies at a multiple of 4 bytes is gone on with, since writers cut
  payloads at those; what lies between counts as one place with a problem.

  Raises:
    UserError: as `read`.
  """
  found = []
  at = 0
  is_lost = False  # whether no record ends here: one may start anywhere
  goes_on = False  # whether the last part is not that of its record
  for start, data in _windows(file, 'Finding the records'):
    offsets = array.array('q')
    stop = min(start + _WINDOW_BYTES, file.size)
    while at < stop:
      if is_lost:
        at = start + _next_magic(data, at - start, stop - start)
        if at >= stop:
          break
      magic, coded = recordio.PART.unpack_from(data, at - start)
      kind, length = coded >> recordio.LENGTH_BITS, coded & recordio.MAX_LENGTH
      after = at + recordio.PART.size + length + -length % 4
      is_part = (
        magic == recordio.MAGIC
        and after <= file.size
        and kind <= (3 if goes_on else 1)
      )
      if (is_part and kind <= 1) or not (is_part or is_lost):
        offsets.append(at)  # here one starts, or one should
      is_lost, goes_on = not is_part, is_part and kind in (1, 2)
      at = after if is_part else at + 4
    places = np.array(offsets, np.int64)
    found.append(_heads(file, start, data, places))
  return _joined(found)


def _next_magic(data, place: int, stop: int) -> int:
  """Where the next magic number is that may start a part; `stop` if none is."""
  while (place := data.find(recordio.MAGIC_BYTES, place, stop + 3)) % 4:
    if place < 0:
      return stop
    place += 1
  return place


def _windows(file, what) -> Iterator[tuple[int, bytes]]:
  """Yields (first byte, the window and a head more, zeros past the end)."""
  with tqdm.tqdm(
    total=file.size, desc=what, unit='B', unit_scale=True, delay=1
  ) as bar:
    for start in range(0, file.size, _WINDOW_BYTES):
      file.fetch(start + _WINDOW_BYTES, _WINDOW_BYTES)
      length = min(_WINDOW_BYTES, file.size - start)
      data = file.bytes_at(start, length + _HEAD_BYTES)
      if len(data) < length:
        raise errors.UserError(
          f'{printable(file.path)} had {file.size} bytes and has fewer now: '
          'something writes to it. Wait until it is whole, start again.'
        )
      yield start, data.ljust(length + _HEAD_BYTES, b'\0')
      bar.update(length)


def _heads(file, start, data, offsets) -> Heads:
  """Of the records at `offsets`, int64 [n], of a window from byte `start`."""
  words = np.frombuffer(data, '<u4', len(data) // 4)
  ends_head = offsets + recordio.PART.size
  is_past = ends_head > file.size
  at = np.where(is_past, 0, offsets - start) // 4
  coded, flags = words[at + 1], words[at + 2].astype(np.int64)
  kinds = coded >> recordio.LENGTH_BITS
  lengths = (coded & recordio.MAX_LENGTH).astype(np.int64)
  problems = {
    recordfiles.PAST_END: is_past,
    recordfiles.NO_RECORD: (offsets % 4 != 0) | (words[at] != recordio.MAGIC),
    recordfiles.BROKEN: kinds > 1,
    recordfiles.CUT_OFF: ends_head + lengths + -lengths % 4 > file.size,
    recordfiles.TOO_LARGE: lengths > recordfiles.MAX_RECORD_BYTES,
    recordfiles.SHORT: (
      (kinds == 0) & (lengths < recordio.HEADER.size + 4 * flags)
    ),
  }
  codes = np.select([*problems.values()], [*problems], recordfiles.GOOD)
  heads = Heads(
    (words[at + 4] | words[at + 5].astype(np.int64) << 32),
    offsets,
    (lengths + recordio.PART.size).astype(np.uint32),
    words[at + np.where(flags > 0, 8, 3)].view('<f4'),
    codes.astype(np.uint8),
  )
  for row in np.flatnonzero((codes == recordfiles.GOOD) & (kinds == 1)):
    try:
      record = file.read(int(offsets[row]))
      heads.keys[row] = np.uint64(record.id).view(np.int64)
      heads.labels[row] = record.labels[0]
    except ValueError:
      heads.codes[row] = recordfiles.BROKEN
  return heads


def _joined(parts: list[Heads]) -> Heads:
  """All parts as one; of records that overlap, only the last is good."""
  columns = [list(column) for column in zip(*parts, strict=True)]
  parts.clear()  # each is let go when it has been joined, to save memory
  heads = Heads(*(np.concatenate(columns.pop(0)) for _ in Heads._fields))
  good = np.flatnonzero(heads.codes == recordfiles.GOOD)
  starts = heads.offsets[good]
  ends = starts + heads.sizes[good]
  heads.codes[good[:-1][ends[:-1] > starts[1:]]] = recordfiles.OVERLAPS
  return heads


def parse(path: str) -> tuple[np.ndarray, np.ndarray]:
  """Reads a file of lines `key<TAB>offset`.

  Blanks, empty lines, CRLF and a missing last line end do no harm.

  Returns:
    (keys, offsets), int64 [n] each, in the order of the lines.

  Raises:
    UserError: if it cannot be read or a line is wrong; the message names it.
  """
  pairs = _parse_plain(path)
  if pairs is None:
    found = array.array('q')
    for number, line in text.byte_lines(path, 'the index', _REMEDY):
      pair = _LINE.fullmatch(line)
      if not pair:
        what = '`key, tab, offset`, two integers from 0'
        raise text.bad_line(path, number, line, what)
      found.extend(map(int, pair.groups()))
    pairs = np.array(found, np.int64).reshape([-1, 2])
  return tuple(np.ascontiguousarray(pairs.T))


def _parse_plain(path) -> np.ndarray | None:
  """int64 [n, 2], quickly; None unless all lines are as MXNet writes them."""
  parts = [np.zeros([0, 2], np.int64)]
  with text.reading(path, 'the index', _REMEDY) as file:
    while lines := file.read(_WINDOW_BYTES):
      lines += file.readline(text.MAX_LINE_BYTES)
      lines = lines.removesuffix(b'\n') + b'\n'
      num_lines = lines.count(b'\n')
      if lines.translate(None, b'0123456789') != b'\t\n' * num_lines:
        return None
      values = np.fromstring(lines, np.int64, sep=' ')
      if len(values) != 2 * num_lines or values.max() >= _MAX_NUMBER:
        return None
      parts.append(values.reshape([-1, 2]))
  return np.concatenate(parts)
