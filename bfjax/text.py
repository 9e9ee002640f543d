"""Text: names as they can be shown, tables, and the reader of text files.

Every list, log or table of lines that a user gives is read by `byte_lines`,
`lines` or `reading`, so that a byte-order mark, CRLF and names that are not
UTF-8 do no harm anywhere, and errors name the file and the line.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from bfjax import errors

NAMES_SHOWN = 5
BYTE_ORDER_MARK = b'\xef\xbb\xbf'
# No path is longer than 4096 bytes: what goes on without end is no list.
MAX_LINE_BYTES = 1 << 16
_MAX_SHOWN = 200  # bytes of a line in a message


@contextlib.contextmanager
def reading(
  path: str | os.PathLike, what: str = 'the file', remedy: str = ''
) -> Iterator[BinaryIO]:
  """Opens a text file for reading its bytes, after its byte-order mark.

  Args:
    path: the file.
    what: it is, for messages: 'the pair list'.
    remedy: what to do where it cannot be read, a sentence or ''.

  Raises:
    UserError: in place of any OSError, of the block too.
  """
  try:
    with open(path, 'rb') as file:
      if file.peek(len(BYTE_ORDER_MARK)).startswith(BYTE_ORDER_MARK):
        file.read(len(BYTE_ORDER_MARK))
      yield file
  except OSError as error:
    shown = printable(os.fspath(path))
    raise errors.UserError(
      f'Cannot read {what} {shown}: {error.strerror}. {remedy}'.rstrip()
    ) from error


def byte_lines(
  path: str | os.PathLike, what: str = 'the list', remedy: str = ''
) -> Iterator[tuple[int, bytes]]:
  """Yields (number from 1, line without its end) of lines that are not blank.

  Args:
    path: of the file.
    what: what a message calls it.
    remedy: what a message says to do.

  Raises:
    UserError: if the file cannot be read, or has a line that goes on for more
      than MAX_LINE_BYTES.
  """
  with reading(path, what, remedy) as file:
    whole = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b'')
    for number, line in enumerate(whole, 1):
      if len(line) > MAX_LINE_BYTES:
        raise errors.UserError(
          f'{place(path, number)}: the line {shown(line)} has more than '
          f'{MAX_LINE_BYTES} bytes; is this file a list?'
        )
      if not line.isspace():
        yield number, line.rstrip(b'\r\n')


def lines(
  path: str | os.PathLike, what: str = 'the list', remedy: str = ''
) -> Iterator[tuple[int, str]]:
  """Yields what `byte_lines` does, as strings.

  What is not UTF-8 is in them as surrogate escapes.
  """
  for number, line in byte_lines(path, what, remedy):
    yield number, line.decode('utf-8', 'surrogateescape')


def read_json(path: str | os.PathLike, remedy: str = '') -> Any:
  """What a JSON file says; `remedy` ends the message if it cannot be read.

  Raises:
    UserError: if it cannot be read.
  """
  try:
    with open(path, encoding='utf-8') as file:
      return json.load(file)
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f'{printable(os.fspath(path))} cannot be read: {error}. {remedy}'.rstrip()
    ) from error


def line_number(path: str | os.PathLike, row: int) -> int:
  """The number, from 1, of line `row`, from 0, of those that are not blank."""
  return next(itertools.islice(byte_lines(path), row, None))[0]


def place(path: str | os.PathLike, number: int) -> str:
  """A file and the number of a line of it, for messages."""
  return f'{printable(os.fspath(path))}:{number}'


def row_place(path: str | os.PathLike, row: int) -> str:
  """A file and the number of its line `row`, as `line_number` counts them."""
  return place(path, line_number(path, row))


def shown(line: str | bytes) -> str:
  """A line in quotes, cut off where it is long, for messages."""
  start = os.fsencode(line).strip()[:_MAX_SHOWN]
  return repr(start.decode('utf-8', 'backslashreplace'))


def bad_line(
  path: str | os.PathLike, number: int, line: str | bytes, expected: str
) -> errors.UserError:
  """The error of a line that is not what is expected there."""
  return errors.UserError(
    f'{place(path, number)}: expected {expected}, not {shown(line)}.'
  )


def printable(name: str) -> str:
  """`name` with bytes that are not UTF-8 shown as \\xNN."""
  return os.fsencode(name).decode('utf-8', 'backslashreplace')


def first_lines(lines: Iterable[str], count: int | None = None) -> str:
  """The first few of `lines`, printable and indented, for a message.

  `count` tells how many there are where `lines` are not all of them.
  """
  lines = iter(lines)
  shown = [f'  {printable(x)}' for x in itertools.islice(lines, NAMES_SHOWN)]
  more = sum(1 for _ in lines) if count is None else count - len(shown)
  if more:
    shown.append(f'  ... and {more} more')
  return '\n'.join(shown)


def table(rows: Sequence[Sequence[str]]) -> str:
  """A Markdown table that can be read as it stands; first row: its heading."""
  rows = [[cell.replace('|', '\\|') for cell in row] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  heading, *others = (
    '| ' + ' | '.join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + ' |'
    for r in rows
  )
  rule = '|' + '|'.join('-' * (w + 2) for w in widths) + '|'
  return '\n'.join([heading, rule, *others])
