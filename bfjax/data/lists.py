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

from bfjax import errors, text
from bfjax.data import listforms
from bfjax.data.names import Names

_MAX_DIGITS = 18
_BLOCK_BYTES = 1 << 22
# Those of bytes.strip.
_IS_BLANK = np.isin(np.arange(256), list(b' \t\n\r\v\f'))


class Lines(NamedTuple):
  """All lines of a list, without a Python object for each.

  Attributes:
    names: the paths.
    labels: int64 [n].
  """

  names: Names
  labels: np.ndarray


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
  lengths, labels = [np.zeros(1, np.int32)], [np.zeros(0, np.int64)]
  with text.reading(path, 'the list') as file:
    while block := file.read(_BLOCK_BYTES):
      block += file.readline(text.MAX_LINE_BYTES + 1)
      found = _split(block, form)
      if found is None:
        # Blocks are only quicker; lines can be named.
        found = list(_parse(path, form))
        names = Names.of(name for _, name, _ in found)
        return Lines(names, np.array([x for *_, x in found], np.int64))
      paths, block_lengths, block_labels = found
      blob.write(paths)
      lengths.append(block_lengths)
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


def _split(block: bytes, form: listforms.Form):
  """(paths joined, their lengths int32, labels int64) of whole lines.

  None if something is wrong with one of them.
  """
  if not block.endswith(b'\n'):  # the last line, or one that is too long
    block += b'\n'
  chars = np.frombuffer(block, np.uint8)
  newlines = np.flatnonzero(chars == ord('\n'))
  if np.diff(newlines, prepend=-1).max() > text.MAX_LINE_BYTES:
    return None
  plain = None if b'\0' in block else form.plain(block)
  if plain is None:
    return None
  if plain is not block:
    chars = np.frombuffer(plain, np.uint8)
    newlines = np.flatnonzero(chars == ord('\n'))
  is_blank = _IS_BLANK[chars]
  edges = np.flatnonzero(is_blank[1:] != is_blank[:-1]) + 1
  if not is_blank[0]:
    edges = np.insert(edges, 0, 0)
  starts, ends = edges[::2], edges[1::2]  # of words
  line_of = np.searchsorted(newlines, starts)
  is_new = line_of[1:] != line_of[:-1]
  first = np.flatnonzero(np.concatenate([[len(starts) > 0], is_new]))
  last = np.flatnonzero(np.concatenate([is_new, [len(starts) > 0]]))
  if (first == last).any():
    return None
  labels = _numbers(*_joined(chars, starts[last], ends[last]))
  if labels is None:
    return None
  paths, lengths = _joined(chars, starts[first], ends[last - 1])
  return paths.tobytes(), lengths, labels


def _joined(chars, starts, ends):
  """chars[starts:ends], one after the other, and their lengths, int32."""
  # 1 where one starts, -1 where it has ended: the sum tells what is inside.
  steps = np.zeros(len(chars), np.int8)
  steps[starts] = 1
  steps[ends] = -1
  inside = np.cumsum(steps, dtype=np.int8, out=steps).view(bool)
  return chars[inside], (ends - starts).astype(np.int32)


def _numbers(digits, lengths):
  """int64 [n] of digits, uint8, and their lengths; None if one is no number."""
  if lengths.max(initial=0) > _MAX_DIGITS or (digits - ord('0') > 9).any():
    return None
  offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int32)])
  buffers = [pa.py_buffer(x) for x in (offsets.astype(np.int32), digits)]
  words = pa.StringArray.from_buffers(len(lengths), *buffers)
  return words.cast(pa.int64()).to_numpy()


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
