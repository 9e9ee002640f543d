"""Lists of image pairs, in the formats of the field.

There are three, with paths relative to the root folder of the images:

    lfw     a header line, `folds<blank>n` or `n`: n same and n different pairs
            in each fold. Then lines as in rfw.
    rfw     `name a b` (the same person) or `name1 a name2 b` (different ones);
            the file of image number a is `name/name_%04d.jpg`.
    flags   `left right flag`, flag 1 for one person, -1 or 0 for two.

Fields are separated by tabs, and may then hold blanks, or by any blanks.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.data import folders
from bfjax.text import printable

_SNIFFED_BYTES = 1 << 16  # of a file that may be a list of pairs
_FORMATS = ('auto', 'lfw', 'rfw', 'flags')
_FLAGS = {'1': True, '-1': False, '0': False}
_EXPECTED = {
  'rfw': '`name a b` or `name1 a name2 b` with whole numbers a and b',
  'flags': '`left right flag` with flag 1 (same person), -1 or 0 (different)',
}


class Pair(NamedTuple):
  """A line of a pair list: its number in the file, from 1, and what it says."""

  line: int
  left: str
  right: str
  same: bool


def read(path: str, format: str = 'auto', suffix: str = '.jpg') -> list[Pair]:
  """Reads a pair list.

  Args:
    path: the list.
    format: 'lfw', 'rfw' or 'flags' (above); 'auto' tells by the content.
    suffix: the ending of the files that lfw and rfw lists name by number.

  Returns:
    the pairs, in order.

  Raises:
    UserError: if the list cannot be read or is empty, a line of it cannot be
      understood, or there are not as many pairs as its header says; the
      message names the list and the line.
  """
  errors.choose('format of pair lists', format, dict.fromkeys(_FORMATS))
  lines = _read_lines(path)
  if not lines:
    raise errors.UserError(f'The pair list {printable(path)} is empty.')
  if format == 'auto':
    format = _detect(path, lines)
  found = _parse(path, lines, format, suffix)
  if format == 'lfw':
    _check_header(path, *lines[0], len(found))
  return found


def is_pair_list(path: str) -> bool:
  """Whether a file begins as a list of pairs, and not as one of images.

  `a.jpg b.jpg 1` can be a path with a blank and a label; it is taken for a
  pair, since both are called as images are.
  """
  try:
    with open(path, 'rb') as file:
      start = file.read(_SNIFFED_BYTES)
  except OSError:
    return False  # who reads it says so
  start = start[: start.rfind(b'\n') + 1] or start
  lines = _numbered(start.decode('utf-8-sig', 'surrogateescape').split('\n'))
  try:
    found = lines and _parse(path, lines, _detect(path, lines), '.jpg')
  except errors.UserError:
    return False
  return bool(found) and all(
    name.lower().endswith(folders.SUFFIXES)
    for pair in found
    for name in (pair.left, pair.right)
  )


def _read_lines(path: str) -> list[tuple[int, str]]:
  try:
    with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:
      return _numbered(file)
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the pair list {printable(path)}: {error.strerror}. '
      'A relative path is taken from the root folder of the images.'
    ) from error


def _numbered(lines: Iterable[str]) -> list[tuple[int, str]]:
  """Those that are not blank, with their numbers from 1."""
  stripped = (line.strip(' \t\r\n') for line in lines)
  return [(i, line) for i, line in enumerate(stripped, start=1) if line]


def _detect(path: str, lines: list[tuple[int, str]]) -> str:
  """The format, by the first line that only one format can have."""
  if _is_header(lines[0][1]):
    return 'lfw'
  for number, text in lines:
    fields = _fields(text)
    if len(fields) == 4 and _is_number(fields[1]) and _is_number(fields[3]):
      return 'rfw'
    numbered = len(fields) == 3 and all(map(_is_number, fields[1:]))
    flagged = len(fields) == 3 and fields[2] in _FLAGS
    if not (numbered or flagged):
      raise _bad_line(path, number, text, ' or '.join(_EXPECTED.values()))
    if not (numbered and flagged):
      return 'rfw' if numbered else 'flags'
  raise errors.UserError(
    f'{printable(path)} can be read in two ways, as a list of `name a b` '
    "and of `left right flag`: say which by format='rfw' or format='flags'."
  )


def _parse(path: str, lines, format: str, suffix: str) -> list[Pair]:
  """The pairs of lines (number, text), less the header of LFW's format."""
  if format == 'flags':
    return [_parse_flags(path, number, text) for number, text in lines]
  return [
    _parse_numbered(path, number, text, suffix)
    for number, text in lines[1 if format == 'lfw' else 0 :]
  ]


def _parse_flags(path: str, number: int, text: str) -> Pair:
  fields = _fields(text)
  if len(fields) != 3 or fields[2] not in _FLAGS:
    raise _bad_line(path, number, text, _EXPECTED['flags'])
  return Pair(number, fields[0], fields[1], _FLAGS[fields[2]])


def _parse_numbered(path: str, number: int, text: str, suffix: str) -> Pair:
  fields = _fields(text)
  if len(fields) == 3:
    fields.insert(2, fields[0])
  if len(fields) != 4 or not (_is_number(fields[1]) and _is_number(fields[3])):
    raise _bad_line(path, number, text, _EXPECTED['rfw'])
  name1, a, name2, b = fields
  return Pair(
    number,
    f'{name1}/{name1}_{int(a):04d}{suffix}',
    f'{name2}/{name2}_{int(b):04d}{suffix}',
    len(_fields(text)) == 3,
  )


def _check_header(path: str, number: int, text: str, num_pairs: int) -> None:
  if not _is_header(text):
    raise _bad_line(
      path,
      number,
      text,
      'the header, `folds n` or `n` (a list without one has the format rfw)',
    )
  expected = 2 * int(np.prod([int(field) for field in _fields(text)]))
  if num_pairs != expected:
    raise errors.UserError(
      f'{printable(path)}:{number}: the header {text!r} promises '
      f'{expected} pairs, half of them of one person, but {num_pairs} follow. '
      'Restore the list, or correct its header.'
    )


def _fields(text: str) -> list[str]:
  """Splits at tabs if that gives a line of a list, otherwise at blanks."""
  fields = [field.strip(' ') for field in text.split('\t')]
  if len(fields) in (3, 4) and all(fields):
    return fields
  return re.split(r'[ \t]+', text)


def _is_number(field: str) -> bool:
  return re.fullmatch('[0-9]{1,9}', field) is not None


def _is_header(text: str) -> bool:
  fields = _fields(text)
  return len(fields) <= 2 and all(map(_is_number, fields))


def _bad_line(path, number: int, text: str, expected: str) -> errors.UserError:
  return errors.UserError(
    f'{printable(path)}:{number}: {printable(text)!r} is not a '
    f'line of a pair list. Expected: {expected}.'
  )
