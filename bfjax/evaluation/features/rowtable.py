"""Tables that say which image each row of a feature array is of.

    rows.tsv      lines `row<TAB>path<TAB>label` below a header line
    rows.parquet  the same three columns: read, but no longer written

The label is as the user's list writes it, '' where there is none. A path may
hold tabs, as neither rows nor labels do, and bytes that are not UTF-8.
"""

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from bfjax import errors

NAME = 'rows.tsv'
_HEADER = b'row\tpath\tlabel\n'
_CHUNK = 65536


def lines(
  num_rows: int, name: Callable[[int], str], label: Callable[[int], str]
) -> Iterator[bytes]:
  """Yields the lines of the TSV, some at a time, header first.

  Args:
    num_rows: how many rows.
    name: row -> path.
    label: row -> label, '' for none.

  Raises:
    UserError: if a path or a label cannot be in a line of a table.
  """
  yield _HEADER
  for start in range(0, num_rows, _CHUNK):
    rows = range(start, min(start + _CHUNK, num_rows))
    chunk = [f'{row}\t{name(row)}\t{label(row)}' for row in rows]
    text = os.fsencode('\n'.join(chunk) + '\n')
    if text.count(b'\n') != len(rows) or any('\t' in label(r) for r in rows):
      bad = next(r for r in rows if '\n' in name(r) or '\t' in label(r))
      raise errors.UserError(
        f'Row {bad}: a line break in the path {name(bad)!r}, or a tab in the '
        f'label {label(bad)!r}, cannot be in a table of rows. Rename it.'
      )
    yield text


def read(path: pathlib.Path) -> tuple[Sequence[str], Sequence[str]]:
  """Returns the paths and the labels of a table.

  Those of a TSV are looked up when asked for.

  Raises:
    UserError: if the file cannot be read or is no such table.
  """
  try:
    if path.suffix == '.parquet':
      table = parquet.read_table(path, columns=['path', 'label'])
      return tuple(column.to_pylist() for column in table.columns)
    data = np.memmap(path, np.uint8, 'r')
  except (OSError, ValueError, pa.ArrowException) as error:
    raise errors.UserError(
      f'Cannot read the row table {path}: {error}.'
    ) from error
  if bytes(data[: len(_HEADER)]) != _HEADER or data[-1] != ord('\n'):
    raise errors.UserError(
      f'{path} is no table of rows: expected lines `row<TAB>path<TAB>label` '
      'below a header that says so.'
    )
  ends = np.flatnonzero(data == ord('\n'))
  return _Field(data, ends, 0), _Field(data, ends, 1)


class _Field(Sequence):
  """Path (0) or label (1) of the lines of a TSV, which end at `ends`."""

  def __init__(self, data, ends, field: int):
    self._data, self._ends, self._field = data, ends, field

  def __len__(self):
    return len(self._ends) - 1

  def __getitem__(self, row):
    row = range(len(self))[row]
    line = self._data[self._ends[row] + 1 : self._ends[row + 1]].tobytes()
    return os.fsdecode(line).split('\t', 1)[1].rsplit('\t', 1)[self._field]
