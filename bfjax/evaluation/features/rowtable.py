"""Tables that say which image each row of a feature array is of.

    rows.tsv      lines `row<TAB>path<TAB>label` below a header line
    rows.parquet  the same three columns

The label is as the user's list writes it, '' where there is none. A path may
hold tabs, as neither rows nor labels do, and bytes that are not UTF-8 (in a
TSV: Parquet cannot hold them).
"""

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from bfjax import atomic, errors

KINDS = ('tsv', 'parquet')
_HEADER = b'row\tpath\tlabel\n'
_CHUNK = 65536
_SCHEMA = pa.schema(
  [('row', pa.int64()), ('path', pa.string()), ('label', pa.string())]
)


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


def write(
  path: pathlib.Path,
  num_rows: int,
  name: Callable[[int], str],
  label: Callable[[int], str],
) -> None:
  """Writes a table; the suffix of `path`, .tsv or .parquet, says which kind.

  Arguments after the path as in `lines`.

  Raises:
    UserError: if a path or a label cannot be in such a table.
  """
  found = lines(num_rows, name, label)
  with atomic.writing(path) as draft:
    if path.suffix == '.tsv':
      with draft.open('wb') as file:
        file.writelines(found)
      return
    next(found)  # the header
    with parquet.ParquetWriter(draft, _SCHEMA) as table:
      for text in found:
        table.write_table(_arrow(text))


def read(path: pathlib.Path) -> tuple[Sequence[str], Sequence[str]]:
  """Returns the paths and the labels of a table, looked up when asked for.

  Raises:
    UserError: if the file cannot be read or is no such table.
  """
  try:
    if path.suffix == '.parquet':
      table = parquet.read_table(path, schema=_SCHEMA)
      return _Column(table['path']), _Column(table['label'])
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
  return _Field(data, ends, 1), _Field(data, ends, 2)


def _arrow(text: bytes) -> pa.Table:
  try:
    fields = [_split(line) for line in text.decode()[:-1].split('\n')]
  except UnicodeDecodeError as error:
    line = text[text.rfind(b'\n', 0, error.start) + 1 :].split(b'\n')[0]
    raise errors.UserError(
      f'No UTF-8: {line!r}. A Parquet file cannot hold such a path: write the '
      'table of rows as a TSV.'
    ) from error
  rows, paths, labels = zip(*fields, strict=True)
  return pa.table([list(map(int, rows)), paths, labels], schema=_SCHEMA)


def _split(line: str) -> tuple[str, str, str]:
  row, rest = line.split('\t', 1)
  return row, *rest.rsplit('\t', 1)


class _Column(Sequence):
  """A column of a Parquet table, as strings."""

  def __init__(self, column):
    self._column = column

  def __len__(self):
    return len(self._column)

  def __getitem__(self, row):
    return self._column[int(row)].as_py()


class _Field(Sequence):
  """A field of the lines of a TSV; `ends` are where the lines end."""

  def __init__(self, data, ends, field: int):
    self._data, self._ends, self._field = data, ends, field

  def __len__(self):
    return len(self._ends) - 1

  def __getitem__(self, row):
    row = range(len(self))[row]
    line = self._data[self._ends[row] + 1 : self._ends[row + 1]].tobytes()
    return _split(os.fsdecode(line))[self._field]
