"""Lists of millions of lines with a few columns each, as arrays.

Columns are separated by blanks or tabs. A line may end in blanks, and blank
lines do not count. Lists as they are published, with one blank between any
two columns, are read by Arrow, ten times as fast as line by line.
"""

import array
import itertools
import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from bfjax import errors
from bfjax.text import printable

_KINDS = {'name': pa.binary(), 'int': pa.int32(), 'float': pa.float64()}
_MARK = b'\xef\xbb\xbf'
_IN_WORDS = {'name': 'a name', 'int': 'a whole number', 'float': 'a number'}
_BLOCK_BYTES = 1 << 24


class Names:
  """Names: number i is blob[offsets[i]:offsets[i + 1]]."""

  def __init__(self, blob: bytes, offsets: np.ndarray):
    self.blob, self.offsets = blob, offsets

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, row) -> str:
    start, stop = self.offsets[row], self.offsets[row + 1]
    return os.fsdecode(self.blob[start:stop])

  def rank(self) -> np.ndarray:
    """int64 [n]: how many names come before each, in the order of bytes."""
    whole = np.array(
      [self.blob[a:b] for a, b in itertools.pairwise(self.offsets)]
    )
    rank = np.empty(len(whole), np.int64)
    rank[np.argsort(whole, kind='stable')] = np.arange(len(whole))
    return rank


def read(path: str, columns: Sequence[tuple[str, str]]) -> list:
  """Reads a list.

  Args:
    path: the list.
    columns: (what it is, its kind) of every column; kinds are 'name', 'int'
      (32 bits) and 'float'.

  Returns:
    for each column `Names`, int32 [n] or float64 [n].

  Raises:
    UserError: if the list cannot be read or is empty, or a line has other
      columns; the message names the list and the line.
  """
  try:
    with open(path, 'rb') as file:
      if not file.read(1):
        raise errors.UserError(f'The list {printable(path)} is empty.')
    return _fast(path, columns)
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the list {printable(path)}: {error.strerror}. Is the '
      'data set complete?'
    ) from error
  except pa.ArrowInvalid:
    # Other blanks, or a line that is wrong: to be found, if there is one.
    return _line_by_line(path, columns)


def line_of(path: str, row: int) -> int:
  """The number, from 1, of the line that has row `row` of a list, from 0."""
  with open(path, 'rb') as file:
    for number, line in enumerate(file, start=1):
      row -= bool(line.removeprefix(_MARK).strip())
      if row < 0:
        return number
  raise ValueError('there are not as many rows')


def bad_line(path: str, row: int, problem: str) -> errors.UserError:
  """An error about row `row` of a list: names the file and the line."""
  where = f'{printable(path)}:{line_of(path, row)}'
  return errors.UserError(f'{where}: {problem}')


def _fast(path, columns) -> list:
  names = [str(i) for i in range(len(columns))]
  parts = [[] for _ in columns]
  reader = csv.open_csv(
    path,
    csv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES),
    csv.ParseOptions(delimiter=' ', quote_char=False),
    csv.ConvertOptions(
      column_types={
        name: _KINDS[kind]
        for name, (_, kind) in zip(names, columns, strict=True)
      },
      null_values=[],
    ),
  )
  with reader:
    for batch in reader:
      for part, column, (_, kind) in zip(parts, batch, columns, strict=True):
        part.append(column if kind == 'name' else column.to_numpy())
  return [
    _names(part) if kind == 'name' else np.concatenate(part)
    for part, (_, kind) in zip(parts, columns, strict=True)
  ]


def _names(parts) -> Names:
  blobs, ends, total = [], [np.zeros(1, np.int64)], 0
  for part in parts:
    _, offsets, data = part.buffers()
    some = np.frombuffer(offsets, np.int32)[part.offset :][: len(part) + 1]
    blobs.append(bytes(memoryview(data)[some[0] : some[-1]]))
    ends.append(some[1:].astype(np.int64) - some[0] + total)
    total += int(some[-1] - some[0])
  return Names(b''.join(blobs), np.concatenate(ends))


def _line_by_line(path, columns) -> list:
  blob = bytearray()
  found = [
    array.array({'name': 'q', 'int': 'i', 'float': 'd'}[kind])
    for _, kind in columns
  ]
  with open(path, 'rb') as file:
    for number, line in enumerate(file, start=1):
      fields = line.removeprefix(_MARK).split()
      if not fields:
        continue
      try:
        for out, field, (_, kind) in zip(found, fields, columns, strict=True):
          if kind == 'name':
            blob += field
            out.append(len(blob))
          else:
            out.append(int(field) if kind == 'int' else float(field))
      except (ValueError, OverflowError) as error:
        expected = ', '.join(
          f'{what} ({_IN_WORDS[kind]})' for what, kind in columns
        )
        text = line.rstrip(b'\r\n').decode(errors='backslashreplace')
        raise errors.UserError(
          f'{printable(path)}:{number}: {text!r} is not a line of this '
          f'list. Expected: {expected}, separated by blanks.'
        ) from error
  if not len(found[0]):
    raise errors.UserError(f'The list {printable(path)} is empty.')
  return [
    Names(bytes(blob), np.r_[0, np.array(out)])
    if kind == 'name'
    else np.array(out)
    for out, (_, kind) in zip(found, columns, strict=True)
  ]
