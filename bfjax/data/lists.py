"""Files of lines `path label`, the list format of the field.

Others are read as if they were such: see `listforms`. Paths are tidied:
`./a//1.jpg` is `a/1.jpg`.
"""

import io
import itertools
import logging
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.data import listforms
from bfjax.text import printable

_log = logging.getLogger(__name__)

_MAX_DIGITS = 18
# No path is longer than 4096 bytes: what goes on without end is no list.
_MAX_LINE_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 22
_BYTE_ORDER_MARK = b'\xef\xbb\xbf'
# Those of bytes.strip.
_IS_BLANK = np.isin(np.arange(256), list(b' \t\n\r\v\f'))


class Lines(NamedTuple):
  """All lines of a list, without a Python object for each.

  Attributes:
    blob: the paths, one after the other; path i is
      blob[offsets[i]:offsets[i + 1]].
    offsets: int64 [n + 1].
    labels: int64 [n].
  """

  blob: bytes
  offsets: np.ndarray
  labels: np.ndarray


def read(path: str, root: str = '') -> Lines:
  """Reads the list file `path` as a whole: what `parse_lines` yields.

  A few bytes a line are kept beside the paths: 10 million lines of 30 bytes
  take 0.4 GB and some seconds.

  Args:
    path: the list.
    root: the folder of its images, or ''.

  Raises:
    UserError: as `parse_lines`.
  """
  form = _form(path, root)
  blob = io.BytesIO()
  lengths, labels = [], []
  for block in _blocks(path):
    found = _split(block, form)
    if found is None:
      # Blocks are only quicker; lines can be named.
      return _join(_parse(path, form))
    paths, block_lengths, block_labels = found
    blob.write(paths)
    lengths.append(block_lengths)
    labels.append(block_labels)
  offsets = np.zeros(1 + sum(map(len, lengths)), np.int64)
  if lengths:
    np.cumsum(np.concatenate(lengths), out=offsets[1:])
  labels = np.concatenate(labels) if labels else np.zeros(0, np.int64)
  return Lines(blob.getvalue(), offsets, labels)


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
  return _parse(path, _form(path, root))


def _form(path, root) -> listforms.Form:
  form = listforms.detect(path, root)
  if form.in_words:
    _log.warning(
      'The list %s is read as: %s.%s',
      printable(path),
      form.in_words,
      ' By its flags the images are not aligned; they are taken as they are.'
      if listforms.unaligned(path, form)
      else '',
    )
  return form


def _parse(path, form) -> Iterator[tuple[int, bytes, int]]:
  try:
    with open(path, 'rb') as file:
      lines = iter(lambda: file.readline(_MAX_LINE_BYTES + 1), b'')
      for number, line in enumerate(lines, 1):
        if number == 1:
          line = line.removeprefix(_BYTE_ORDER_MARK)
        is_long = len(line) > _MAX_LINE_BYTES
        plain = line if is_long else form.plain(line)
        parts = (line if plain is None else plain).strip().rsplit(None, 1)
        if is_long or plain is None:
          raise errors.UserError(_line_problem(path, number, line, parts, form))
        if len(parts) == 2 and _is_label(parts[1]) and b'\0' not in line:
          yield number, parts[0], int(parts[1])
        elif parts:
          raise errors.UserError(_line_problem(path, number, line, parts, form))
  except OSError as error:
    raise _cannot_read(path, error) from error


def line(path: bytes, label: int) -> bytes:
  """The line of such a file, with the two blanks of the published lists."""
  return b'%b  %d\n' % (path, label)


def line_number(path: str, row: int) -> int:
  """The number, from 1, of the line that row `row` of a list is from."""
  with open(path, 'rb') as file:
    numbers = (
      number
      for number, line in enumerate(file, 1)
      if line.removeprefix(_BYTE_ORDER_MARK).strip()
    )
    return next(itertools.islice(numbers, row, None))


def _blocks(path: str) -> Iterator[bytes]:
  """Some whole lines at a time; only a line without end is broken."""
  try:
    with open(path, 'rb', opener=_open_file) as file:
      rest = file.read(len(_BYTE_ORDER_MARK)).removeprefix(_BYTE_ORDER_MARK)
      while block := file.read(_BLOCK_BYTES):
        block = rest + block
        end = block.rfind(b'\n') + 1
        if not end and len(block) > _MAX_LINE_BYTES:
          yield block
        rest = block[end:]
        if end:
          yield block[:end]
      if rest:
        yield rest + b'\n'
  except OSError as error:
    raise _cannot_read(path, error) from error


def _open_file(path, flags):
  """An `opener` that does not wait for the other end of a pipe."""
  file = os.open(path, flags | os.O_NONBLOCK)
  mode = os.fstat(file).st_mode
  if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
    os.close(file)
    raise OSError(0, 'it is a pipe or a device; make it a file')
  return file


def _split(block: bytes, form: listforms.Form):
  """(paths joined, their lengths int32, labels int64) of whole lines.

  None if something is wrong with one of them.
  """
  text = np.frombuffer(block, np.uint8)
  newlines = np.flatnonzero(text == ord('\n'))
  too_long = np.diff(newlines, prepend=-1).max(initial=0) > _MAX_LINE_BYTES
  if too_long or text[-1] != ord('\n') or b'\0' in block:
    return None
  plain = form.plain(block)
  if plain is None:
    return None
  if plain is not block:
    text = np.frombuffer(plain, np.uint8)
    newlines = np.flatnonzero(text == ord('\n'))
  is_blank = _IS_BLANK[text]
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
  labels = _numbers(text, starts[last], ends[last])
  if labels is None:
    return None
  # 1 where a path starts, -1 where it has ended: the sum tells what is inside.
  steps = np.zeros(len(text), np.int8)
  steps[starts[first]] = 1
  steps[ends[last - 1]] = -1
  inside = np.cumsum(steps, dtype=np.int8, out=steps).view(bool)
  lengths = (ends[last - 1] - starts[first]).astype(np.int32)
  return text[inside].tobytes(), lengths, labels


def _numbers(text, starts, ends):
  """int64 [n], the numbers text[starts:ends]; None if one is no number."""
  num_digits = ends - starts
  most = num_digits.max(initial=0)
  if most > _MAX_DIGITS:
    return None
  values = np.zeros(len(starts), np.int64)
  for place in range(most):
    is_in = place < num_digits
    digits = text[np.where(is_in, starts + place, 0)] - ord('0')
    if (digits[is_in] > 9).any():
      return None
    values = np.where(is_in, 10 * values + digits, values)
  return values


def _join(lines) -> Lines:
  paths, labels = [], []
  for _, path, label in lines:
    paths.append(path)
    labels.append(label)
  offsets = np.cumsum([0, *map(len, paths)], dtype=np.int64)
  return Lines(b''.join(paths), offsets, np.array(labels, np.int64))


def _cannot_read(path, error):
  return errors.UserError(
    f'Cannot read the list {printable(path)}: {error.strerror}.'
  )


def _is_label(word: bytes) -> bool:
  return word.isdigit() and len(word) <= _MAX_DIGITS


def _line_problem(path, number, line, parts, form) -> str:
  shown = line.strip()[:200].decode('utf-8', 'backslashreplace')
  if len(line) > _MAX_LINE_BYTES:
    reason = f'has more than {_MAX_LINE_BYTES} bytes; is this file a list?'
  elif b'\0' in line:
    reason = 'holds zero bytes; save the list as UTF-8 text'
  elif form != listforms.Form():
    reason = f'is not as the first ones are: {form.in_words}'
  elif len(parts) == 1:
    reason = 'has no label'
  elif parts[1][:1] == b'-' and parts[1][1:].isdigit():
    reason = 'has a negative label'
  else:
    reason = 'has a label that is not an integer'
  place = f'{printable(path)}:{number}'
  hint = ' If it is a heading, remove it.' if number == 1 else ''
  if number == 1 and line.count(b'\t') > 1:
    hint += (
      " If the columns have another order, awk -F'\\t' '{print $2, $3}' LIST >"
      ' NEW_LIST takes the second for the path and the third for the label.'
    )
  return (
    f'{place}: the line {shown!r} {reason}. Expected: path, blanks, label (an '
    f'integer from 0), or a form that docs/data.md has.{hint}'
  )
