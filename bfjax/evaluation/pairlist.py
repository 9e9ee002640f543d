"""Lists of image pairs, in the formats of the field.

There are three, with paths relative to the root folder of the images:

    lfw     a header line, `folds<blank>n` or `n`: n same and n different pairs
            in each fold. Then lines as in rfw.
    rfw     `name a b` (the same person) or `name1 a name2 b` (different ones);
            the file of image number a is `name/name_%04d.jpg`.
    flags   `left right flag`, flag 1 for one person, -1 or 0 for two.

Fields are separated by tabs, and may then hold blanks, or by any blanks.
"""

import itertools
import math
import re
from typing import NamedTuple

from bfjax import errors, text
from bfjax.data import folders

_SNIFFED_LINES = 1000  # of a file that may be a list of pairs
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
  lines = _lines(path)
  if not lines:
    raise errors.UserError(f'The pair list {text.printable(path)} is empty.')
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
    lines = _lines(path, _SNIFFED_LINES)
    found = _parse(path, lines, _detect(path, lines), '.jpg') if lines else []
  except errors.UserError:
    return False  # where it cannot be read, who reads it says so
  return bool(found) and all(
    name.lower().endswith(folders.SUFFIXES)
    for pair in found
    for name in (pair.left, pair.right)
  )


def _lines(path: str, most: int | None = None) -> list[tuple[int, str]]:
  """All lines that are not blank, or the first, with their numbers."""
  remedy = 'A relative path is taken from the root folder of the images.'
  lines = text.lines(path, 'the pair list', remedy)
  return [(n, line.strip(' \t\r')) for n, line in itertools.islice(lines, most)]


def _detect(path: str, lines: list[tuple[int, str]]) -> str:
  """The format, by the first line that only one format can have."""
  if _is_header(lines[0][1]):
    return 'lfw'
  for number, line in lines:
    fitting = [x for x in _EXPECTED if _pair(number, line, x, '')]
    if not fitting:
      expected = ' or '.join(_EXPECTED.values())
      raise text.bad_line(path, number, line, expected)
    if len(fitting) == 1:
      return fitting[0]
  raise errors.UserError(
    f'{text.printable(path)} can be read in two ways, as a list of `name a b` '
    "and of `left right flag`: say which by format='rfw' or format='flags'."
  )


def _parse(path: str, lines, format: str, suffix: str) -> list[Pair]:
  """The pairs of lines (number, text), less the header of LFW's format."""
  kind, found = 'flags' if format == 'flags' else 'rfw', []
  for number, line in lines[1 if format == 'lfw' else 0 :]:
    pair = _pair(number, line, kind, suffix)
    if not pair:
      raise text.bad_line(path, number, line, _EXPECTED[kind])
    found.append(pair)
  return found


def _pair(number: int, line: str, kind: str, suffix: str) -> Pair | None:
  """What a line of kind 'flags' or 'rfw' says; None if it is none."""
  fields = _fields(line)
  if kind == 'flags':
    if len(fields) != 3 or fields[2] not in _FLAGS:
      return None
    return Pair(number, fields[0], fields[1], _FLAGS[fields[2]])
  same = len(fields) == 3
  if same:
    fields.insert(2, fields[0])
  if len(fields) != 4 or not (_is_number(fields[1]) and _is_number(fields[3])):
    return None
  left, right = (
    f'{name}/{name}_{int(image):04d}{suffix}'
    for name, image in (fields[:2], fields[2:])
  )
  return Pair(number, left, right, same)


def _check_header(path: str, number: int, line: str, num_pairs: int) -> None:
  if not _is_header(line):
    expected = (
      'the header, `folds n` or `n` (a list without one has the format rfw)'
    )
    raise text.bad_line(path, number, line, expected)
  expected = 2 * math.prod(map(int, _fields(line)))
  if num_pairs != expected:
    raise errors.UserError(
      f'{text.place(path, number)}: the header {line!r} promises '
      f'{expected} pairs, half of them of one person, but {num_pairs} follow. '
      'Restore the list, or correct its header.'
    )


def _fields(line: str) -> list[str]:
  """Splits at tabs if that gives a line of a list, otherwise at blanks."""
  fields = [field.strip(' ') for field in line.split('\t')]
  if len(fields) in (3, 4) and all(fields):
    return fields
  return re.split(r'[ \t]+', line)


def _is_number(field: str) -> bool:
  return re.fullmatch('[0-9]{1,9}', field) is not None


def _is_header(line: str) -> bool:
  fields = _fields(line)
  return len(fields) <= 2 and all(map(_is_number, fields))
