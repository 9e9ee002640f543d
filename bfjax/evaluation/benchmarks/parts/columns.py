"""Lists of millions of lines with a few columns each, as arrays.

Columns are separated by blanks or tabs. Lists as they are published, with one
blank between any two columns, are read by Arrow, ten times as fast as line by
line.
"""

import io
import os
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from bfjax import errors, text

# Kind of a column -> what it is, its type, and a field of it as Arrow reads it.
_KINDS = {
  'name': ('a name', pa.binary(), bytes),
  'int': ('a whole number', pa.int32(), lambda x: b'%d' % np.int32(int(x))),
  'float': ('a number', pa.float64(), lambda x: b'%r' % float(x)),
}
WHAT = 'the list', 'Is the data set complete?'


def read(path: str, columns: Sequence[tuple[str, str]]) -> list:
  """Reads a list.

  Args:
    path: the list.
    columns: (what it is, its kind) of every column; kinds are 'name', 'int'
      (32 bits) and 'float'.

  Returns:
    for each column a binary Arrow array, int32 [n] or float64 [n].

  Raises:
    UserError: if the list cannot be read or is empty, or a line has other
      columns; the message names the list and the line.
  """
  kinds = [kind for _, kind in columns]
  try:
    with text.reading(path, *WHAT) as file:
      found = _parse(file, kinds)
  except pa.ArrowInvalid:
    # Other blanks, or a line that is wrong: to be found, if there is one.
    found = _parse(io.BytesIO(_plain(path, columns)), kinds)
  if not len(found[0]):
    raise empty(path)
  return found


def name(names: pa.BinaryArray, row: int) -> str:
  """A name of a column of names."""
  return os.fsdecode(names[int(row)].as_py())


def check(
  path: str,
  good: np.ndarray,
  problem: Callable[[int], str],
  lines: np.ndarray | None = None,
) -> None:
  """Checks the rows of a list.

  Args:
    path: the list.
    good: bool [n], which rows are as they should be.
    problem: row -> what is wrong with it.
    lines: int [n], the line of each row, from 1; None where each has one.

  Raises:
    UserError: for the first bad row; the message names the list and the line.
  """
  if not good.all():
    row = int(np.argmin(good))
    line = text.line_number(path, row) if lines is None else lines[row]
    raise errors.UserError(f'{text.place(path, line)}: {problem(row)}')


def empty(path: str) -> errors.UserError:
  """The error of a list without a line."""
  return errors.UserError(f'The list {text.printable(path)} is empty.')


def _parse(file, kinds) -> list:
  types = {str(i): _KINDS[kind][1] for i, kind in enumerate(kinds)}
  table = csv.read_csv(
    file,
    csv.ReadOptions(column_names=list(types)),
    csv.ParseOptions(delimiter=' ', quote_char=False),
    csv.ConvertOptions(column_types=types, null_values=[]),
  )
  return [
    column.combine_chunks() if kind == 'name' else column.to_numpy()
    for column, kind in zip(table.columns, kinds, strict=True)
  ]


def _plain(path, columns) -> bytes:
  """The list with one blank between any two columns, each line looked at."""
  plain = bytearray()
  for number, line in text.byte_lines(path, *WHAT):
    try:
      plain += b' '.join(
        _KINDS[kind][2](field)
        for field, (_, kind) in zip(line.split(), columns, strict=True)
      )
    except (ValueError, OverflowError) as error:
      expected = ', '.join(f'{what} ({_KINDS[x][0]})' for what, x in columns)
      expected += ', separated by blanks'
      raise text.bad_line(path, number, line, expected) from error
    plain += b'\n'
  return bytes(plain) or b'\n'
