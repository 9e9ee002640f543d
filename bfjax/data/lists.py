"""Files of lines `path label`, the list format of the field."""

from collections.abc import Iterator

from bfjax import errors

_MAX_DIGITS = 18


def parse_lines(path: str) -> Iterator[tuple[int, bytes, int]]:
  """Yields (line number from 1, image path, label) of the list file `path`.

  The last run of blanks or tabs separates the two. A byte-order mark, CRLF and
  empty lines do no harm.

  Raises:
    UserError: if the file cannot be read or a line is not `path label`.
  """
  try:
    with open(path, 'rb') as file:
      for number, line in enumerate(file, 1):
        if number == 1:
          line = line.removeprefix(b'\xef\xbb\xbf')
        parts = line.strip().rsplit(None, 1)
        if len(parts) == 2 and _is_label(parts[1]) and b'\0' not in line:
          yield number, parts[0], int(parts[1])
        elif parts:
          raise errors.UserError(_line_problem(path, number, line, parts))
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the list {path!r}: {error.strerror}.'
    ) from error


def line(path: bytes, label: int) -> bytes:
  """The line of such a file, with the two blanks of the published lists."""
  return b'%b  %d\n' % (path, label)


def _is_label(word: bytes) -> bool:
  return word.isdigit() and len(word) <= _MAX_DIGITS


def _line_problem(path, number, line, parts) -> str:
  shown = line.strip()[:200].decode('utf-8', 'backslashreplace')
  if b'\0' in line:
    reason = 'holds zero bytes; save the list as UTF-8 text'
  elif len(parts) == 1:
    reason = 'has no label'
  elif parts[1][:1] == b'-' and parts[1][1:].isdigit():
    reason = 'has a negative label'
  else:
    reason = 'has a label that is not an integer'
  return (
    f'{path}:{number}: the line {shown!r} {reason}. Expected: path, blanks, '
    'label (an integer from 0).'
  )
