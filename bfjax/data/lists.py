"""Files of lines `path label`, the list format of the field.

Others are read as if they were such: see `listforms`. Paths are tidied:
`./a//1.jpg` is `a/1.jpg`.
"""

import io
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bfjax import errors, text
from bfjax.data import listforms
from bfjax.data.names import Names

_MAX_DIGITS = 18
_BLOCK_BYTES = 1 << 22
_BLANKS = ' \t\r\v\f'  # with the end of a line, those of bytes.strip


class Lines(NamedTuple):
  """All lines of a list, without a Python object for each."""

  names: Names  # the paths
  labels: np.ndarray  # int64 [n]


def read(path: str, root: str = '') -> Lines:
  """Reads the list file `path` as a whole: what `parse_lines` yields.

  A few bytes a line are kept beside the paths: 10 million lines of 30 bytes
  take 0.4 GB and some seconds.

  Args:
    path: the list.
    root: the folder of its images, or ''.

  Raises:
    UserError: as `parse_lines`, or if it is no regular file.
  """
  form = listforms.detect(path, root)
  if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
    raise errors.UserError(
      f'Cannot read the list {text.printable(path)}: it is a folder, a pipe or '
      'a device; make it a file.'
    )
  blob = io.BytesIO()
  lengths, labels = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)]
  with text.reading(path, 'the list') as file:
    while block := file.read(_BLOCK_BYTES):
      block += file.readline(text.MAX_LINE_BYTES + 1)
      found = _split(block, form)
      if found is None:
        # Blocks are only quicker; lines can be named.
        found = list(_parse(path, form))
        names = Names.of(name for _, name, _ in found)
        return Lines(names, np.array([x for *_, x in found], np.int64))
      paths, block_labels = found
      blob.write(paths.buffers()[2] or b'')
      lengths.append(pc.binary_length(paths).to_numpy())
      labels.append(block_labels)
  offsets = np.cumsum(np.concatenate(lengths), dtype=np.int64)
  return Lines(Names(blob.getvalue(), offsets), np.concatenate(labels))


def parse_lines(path: str, root: str = '') -> Iterator[tuple[int, bytes, int]]:
  """Yields (line number from 1, image path, label) of the list file `path`.

  The last run of blanks or tabs separates the two. A byte-order mark, CRLF and
  empty lines do no harm. If the list is of another form, that is said.

  Args:
    path: the list.
    root: the folder of its images, which may tell its form, or ''.

  Raises:
    UserError: if the file cannot be read or a line is not `path label`, or not
      of the form of the first ones.
  """
  return _parse(path, listforms.detect(path, root))


def line(path: bytes, label: int) -> bytes:
  """The line of such a file, with the two blanks of the published lists."""
  return b'%b  %d\n' % (path, label)


def _parse(path, form) -> Iterator[tuple[int, bytes, int]]:
  for number, line in text.byte_lines(path):
    plain = form.plain(line)
    parts = (line if plain is None else plain).strip().rsplit(None, 1)
    is_good = plain is not None and len(parts) == 2 and b'\0' not in line
    if not (is_good and parts[1].isdigit() and len(parts[1]) <= _MAX_DIGITS):
      raise errors.UserError(_line_problem(path, number, line, parts, form))
    yield number, parts[0], int(parts[1])


def _split(
  block: bytes, form: listforms.Form
) -> tuple[pa.Array, np.ndarray] | None:
  """(paths, labels int64) of whole lines; None if one of them is wrong."""
  ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord('\n'))
  longest = np.diff(ends, prepend=-1, append=len(block)).max()
  plain = None if b'\0' in block else form.plain(block)
  if plain is None or longest >= text.MAX_LINE_BYTES:
    return None
  # Arrow's functions of ASCII take any bytes for strings.
  whole = pa.array([plain], pa.large_binary()).view(pa.large_string())
  lines = pc.ascii_trim(pc.split_pattern(whole, '\n').flatten(), _BLANKS)
  lines = lines.filter(pc.not_equal(lines, ''))
  words = pc.ascii_split_whitespace(lines, max_splits=1, reverse=True)
  if not pc.all(pc.equal(pc.list_value_length(words), 2), min_count=0).as_py():
    return None
  paths, digits = (pc.list_element(words, i) for i in range(2))
  is_number = pc.and_(
    pc.ascii_is_decimal(digits),
    pc.less_equal(pc.binary_length(digits), _MAX_DIGITS),
  )
  if not pc.all(is_number, min_count=0).as_py():
    return None
  return paths, digits.cast(pa.int64()).to_numpy()


def _line_problem(path, number, line, parts, form) -> str:
  if b'\0' in line:
    reason = 'holds zero bytes; save the list as UTF-8 text'
  elif form != listforms.Form():
    reason = f'is not as the first ones are: {form.in_words}'
  elif len(parts) == 1:
    reason = 'has no label'
  elif parts[1][:1] == b'-' and parts[1][1:].isdigit():
    reason = 'has a negative label'
  else:
    reason = 'has a label that is not an integer'
  hint = ' If it is a heading, remove it.' if number == 1 else ''
  if number == 1 and line.count(b'\t') > 1:
    hint += (
      " If the columns have another order, awk -F'\\t' '{print $2, $3}' LIST >"
      ' NEW_LIST takes the second for the path and the third for the label.'
    )
  return (
    f'{text.place(path, number)}: the line {text.shown(line)} {reason}. '
    'Expected: path, blanks, label (an integer from 0), or a form that '
    f'docs/data.md has.{hint}'
  )
