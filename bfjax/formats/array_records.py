"""Random access to ArrayRecord files, from any number of threads."""

import bisect
import functools
import itertools
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

from array_record.python import array_record_module

from bfjax import errors
from bfjax.text import printable

# Without read-ahead and parallel decoding a read costs 6 us of CPU time
# instead of 40, and no threads: the callers are many already.
_RANDOM = 'readahead_buffer_size:0,max_parallelism:1'
# Open files. Those of some sets have a thousand parts.
_MAX_OPEN = 512
# How the format's library says that a file is not as it should be.
_PROBLEMS = (RuntimeError, ValueError, IndexError)


class Part(NamedTuple):
  """Records skip .. skip + take - 1 of a file."""

  path: str
  skip: int
  take: int


class Records:
  """The records of parts of files, numbered through.

  All methods may be called from several threads; instances can be pickled,
  and be used after a fork.
  """

  def __init__(self, parts: Sequence[Part]):
    """Takes the parts, in order. Files are opened when they are first read."""
    self._parts = tuple(parts)
    takes = (part.take for part in self._parts)
    self._starts = list(itertools.accumulate(takes, initial=0))
    self._reset()

  def _reset(self):
    self._pid = os.getpid()
    # The reader of a part, and its lock: a reader has a position.
    self._reader = functools.lru_cache(_MAX_OPEN)(
      lambda number: (_open(self._parts[number]), threading.Lock())
    )

  def __reduce__(self):
    return Records, (self._parts,)

  def __len__(self) -> int:
    return self._starts[-1]

  def _find(self, row) -> tuple[int, int]:
    """The number of the part that has a record, and its number in the file."""
    if not 0 <= row < len(self):
      raise IndexError(f'row {row} of {len(self)} records')
    number = bisect.bisect_right(self._starts, row) - 1
    return number, self._parts[number].skip + row - self._starts[number]

  def place(self, row: int) -> tuple[str, int]:
    """(file, number of the record in it) of record `row`."""
    number, at = self._find(int(row))
    return self._parts[number].path, at

  def read(self, rows) -> list[bytes]:
    """The records `rows`, int [n], in their order.

    Raises:
      UserError: if one cannot be read; the message names file and record.
    """
    return [self._read_one(*self._find(int(row))) for row in rows]

  def _read_one(self, number: int, at: int) -> bytes:
    if self._pid != os.getpid():
      self._reset()
    try:
      reader, lock = self._reader(number)
      with lock:
        reader.seek(at)
        return reader.read()
    except _PROBLEMS as error:
      raise _unreadable(self._parts[number], f'record {at}', error) from error


def _open(part: Part):
  reader = array_record_module.ArrayRecordReader(part.path, options=_RANDOM)
  count = reader.num_records()
  if reader.ok() and count >= part.skip + part.take:
    return reader
  problem = f'it has {count} records, not {part.skip + part.take}'
  if not reader.ok():
    try:
      reader.read()
    except _PROBLEMS as error:
      problem = error
  raise _unreadable(part, 'its index', problem)


def _unreadable(part: Part, place: str, problem) -> errors.UserError:
  return errors.UserError(
    f'Cannot read the ArrayRecord file {printable(part.path)}, {place}: '
    f'{problem}. It is damaged or not complete: restore it.'
  )
