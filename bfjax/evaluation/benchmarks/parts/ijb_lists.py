"""The lists of IJB: media, landmarks, pairs, galleries and probes.

Most have a few columns, separated by blanks or tabs, and millions of lines.
As they are published, with one blank between any two columns, they are read by
Arrow, ten times as fast as line by line. Galleries and probes are tables with
commas:

    TEMPLATE_ID,SUBJECT_ID,FILENAME,...
    1,1,img/1.png,...

A template has a line for each of its images or one alone. The header may be
missing; then the first two columns are the template and its subject.
"""

import io
import os
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from bfjax import errors, text

# Kind of a column -> what it is, its type, and a field of it as Arrow reads it.
_KINDS = {
  'name': ('a name', pa.binary(), bytes),
  'int': ('a whole number', pa.int32(), lambda x: b'%d' % np.int32(int(x))),
  'float': ('a number', pa.float64(), lambda x: b'%r' % float(x)),
}
_WHAT = 'the list', 'Is the data set complete?'
# Columns of a list of templates and media.
MEDIA = (('image', 'name'), ('template', 'int'), ('medium', 'int'))
_POINTS = (
  ('image', 'name'),
  *((f'{axis}{i}', 'float') for i in range(1, 6) for axis in 'xy'),
  ('detector score', 'float'),
)
_PAIRS = (('template', 'int'), ('template', 'int'), ('label', 'int'))
_HEADER = (b'TEMPLATE_ID', b'SUBJECT_ID')
_PERSON = (
  'a header with TEMPLATE_ID and SUBJECT_ID, then lines with the numbers of a '
  'template and of its subject in these columns, or else in the first two, '
  'separated by commas'
)


def read(path: str, columns: Sequence[tuple[str, str]]) -> list:
  """Reads a list.

  Args:
    path: the list.
    columns: (what it is, its kind) of every column; kinds are 'name', 'int'
      (32 bits) and 'float'.

  Returns:
    for each column a binary Arrow array, int32 [n] or float64 [n].

  Raises:
    UserError: if the list cannot be read or is empty, or a line has other
      columns; the message names the list and the line.
  """
  try:
    with text.reading(path, *_WHAT) as file:
      found = _parse(file, columns)
  except pa.ArrowInvalid:
    # Other blanks, or a line that is wrong: to be found, if there is one.
    found = _parse(io.BytesIO(_plain(path, columns)), columns)
  if not len(found[0]):
    raise _empty(path)
  return found


def name(names: pa.BinaryArray, row: int) -> str:
  """A name of a column of names."""
  return os.fsdecode(names[int(row)].as_py())


def check(
  path: str,
  good: np.ndarray,
  problem: Callable[[int], str],
  lines: np.ndarray | None = None,
) -> None:
  """Checks the rows of a list.

  Args:
    path: the list.
    good: bool [n], which rows are as they should be.
    problem: row -> what is wrong with it.
    lines: int [n], the line of each row, from 1; None where each has one.

  Raises:
    UserError: for the first bad row; the message names the list and the line.
  """
  if not good.all():
    row = int(np.argmin(good))
    line = text.line_number(path, row) if lines is None else lines[row]
    raise errors.UserError(f'{text.place(path, line)}: {problem(row)}')


def read_points(
  path: str, names: pa.BinaryArray, media_list: str, to_align: bool
) -> tuple[np.ndarray, np.ndarray]:
  """Reads a list of landmarks and detector scores.

  Args:
    path: the list.
    names: the images of `media_list`.
    media_list: which they are from, for messages.
    to_align: whether faces are to be aligned by their landmarks.

  Returns:
    landmarks float64 [n, 5, 2] and detector scores float64 [n].

  Raises:
    UserError: as `read`; or if the images are others, a number is not
      finite, or a face cannot be aligned.
  """
  others, *numbers = read(path, _POINTS)
  both = 'both list all images, in the same order. Restore the lists.'
  if len(others) != len(names):
    raise errors.UserError(
      f'{text.printable(path)} has {len(others)} images, '
      f'{text.printable(media_list)} {len(names)}: {both}'
    )
  check(
    path,
    pc.equal(others, names).to_numpy(zero_copy_only=False),
    lambda row: (
      f'{text.printable(name(others, row))!r}, but '
      f'{text.place(media_list, text.line_number(media_list, row))} has '
      f'{text.printable(name(names, row))!r}: {both}'
    ),
  )
  numbers = np.stack(numbers, axis=1)
  check(
    path,
    np.isfinite(numbers).all(axis=1),
    lambda row: 'a coordinate or the detector score is not finite.',
  )
  landmarks = numbers[:, :-1].reshape(-1, 5, 2)
  if to_align:
    check(
      path,
      (landmarks != landmarks[:, :1]).any(axis=(1, 2)),
      lambda row: 'the five points are one: no face can be aligned by them.',
    )
  return landmarks, numbers[:, -1]


def read_pairs(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Reads a list of pairs of templates.

  Returns:
    int32 [n], the numbers of the templates on the left and on the right;
    bool [n], whether the two are of one person.

  Raises:
    UserError: as `read`; or if a label is neither 1 nor 0.
  """
  left, right, label = read(path, _PAIRS)
  check(
    path,
    (label == 0) | (label == 1),
    lambda row: (
      f'the label {label[row]} is neither 1 (one person) nor 0 (two).'
    ),
  )
  return left, right, label == 1


def read_people(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Reads a gallery, or probes.

  Returns:
    int32 [n]: the templates, each once, ascending; their subjects; and the
    line, from 1, of the first mention of each.

  Raises:
    UserError: if the list cannot be read or is empty, a line of it cannot be
      understood, or a template is of two subjects; the message names the line.
  """
  subjects, lines, places = {}, {}, (0, 1)
  for i, (number, line) in enumerate(text.byte_lines(path, *_WHAT)):
    fields = [field.strip() for field in line.split(b',')]
    try:
      if i == 0 and not fields[0].isdigit():
        upper = [field.upper() for field in fields]
        places = [upper.index(name) for name in _HEADER]
        continue
      template, subject = (_id(fields[place]) for place in places)
    except (IndexError, ValueError) as error:
      raise text.bad_line(path, number, line, _PERSON) from error
    if subjects.setdefault(template, subject) != subject:
      raise errors.UserError(
        f'{text.place(path, number)}: template {template} is of subject '
        f'{subject}, but line {lines[template]} says {subjects[template]}. '
        'Correct the list.'
      )
    lines.setdefault(template, number)
  if not subjects:
    raise _empty(path)
  templates = sorted(subjects)
  found = templates, *([x[i] for i in templates] for x in (subjects, lines))
  return tuple(np.array(x, np.int32) for x in found)  # type: ignore[return-value]


def _id(field: bytes) -> int:
  """A number of a template or subject; ValueError if it is no int32 from 0."""
  if field.isdigit() and int(field) < 2**31:
    return int(field)
  raise ValueError(field)


def _empty(path: str) -> errors.UserError:
  """The error of a list without a line."""
  return errors.UserError(f'The list {text.printable(path)} is empty.')


def _parse(file, columns) -> list:
  types = {str(i): _KINDS[kind][1] for i, (_, kind) in enumerate(columns)}
  table = csv.read_csv(
    file,
    csv.ReadOptions(column_names=list(types)),
    csv.ParseOptions(delimiter=' ', quote_char=False),
    csv.ConvertOptions(column_types=types, null_values=[]),
  )
  return [
    column.combine_chunks() if kind == 'name' else column.to_numpy()
    for column, (_, kind) in zip(table.columns, columns, strict=True)
  ]


def _plain(path, columns) -> bytes:
  """The list with one blank between any two columns, each line looked at."""
  plain = bytearray()
  for number, line in text.byte_lines(path, *_WHAT):
    try:
      plain += b' '.join(
        _KINDS[kind][2](field)
        for field, (_, kind) in zip(line.split(), columns, strict=True)
      )
    except (ValueError, OverflowError) as error:
      expected = ', '.join(f'{what} ({_KINDS[x][0]})' for what, x in columns)
      expected += ', separated by blanks'
      raise text.bad_line(path, number, line, expected) from error
    plain += b'\n'
  return bytes(plain) or b'\n'
