"""What a run's own logs say of its rows: since when and how often corrected."""

import pathlib
import re

import numpy as np

from bfjax import errors, text

_LOG = re.compile(r'epoch_([0-9]+)[.]tsv')


def read(
  workdir: pathlib.Path | None, num_rows: int
) -> tuple[np.ndarray, np.ndarray]:
  """Reads `corrections/epoch_*.tsv`.

  Args:
    workdir: of the run; None for none. There may be no logs.
    num_rows: n.

  Returns:
    int32 [n], the first epoch in which each row was corrected, 0 for never; and
    int32 [n], in how many epochs.

  Raises:
    UserError: if a log cannot be read or is of other rows.
  """
  since, count = np.zeros((2, num_rows), np.int32)
  if workdir is None:
    return since, count
  folder = workdir / 'corrections'
  logs = {
    int(found[1]): path
    for path in (folder.iterdir() if folder.is_dir() else ())
    if (found := _LOG.fullmatch(path.name))
  }
  for epoch in sorted(logs):
    rows = _rows(logs[epoch], num_rows)
    count[rows] += 1
    since[rows] = np.where(since[rows] == 0, epoch, since[rows])
  return since, count


def _rows(path, num_rows) -> np.ndarray:
  numbers = []
  for number, line in text.byte_lines(path, 'the log'):
    row = line.split(b'\t', 1)[0]
    if row == b'row':
      continue
    if not row.isdigit():
      raise text.bad_line(path, number, line, 'a row number, then a tab')
    numbers.append(int(row))
  rows = np.array(numbers, np.int64)
  if rows.max(initial=0) >= num_rows:
    raise errors.UserError(
      f'{path} has the row {rows.max()}, but the data set has {num_rows}: it'
      ' is of another set.'
    )
  return rows
