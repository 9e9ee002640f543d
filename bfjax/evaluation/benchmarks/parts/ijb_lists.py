"""The lists of IJB: media, landmarks, pairs, galleries and probes.

Most are `columns`. Galleries and probes are tables with commas:

    TEMPLATE_ID,SUBJECT_ID,FILENAME,...
    1,1,img/1.png,...

A template has a line for each of its images or one alone. The header may be
missing; then the first two columns are the template and its subject.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bfjax import errors, text
from bfjax.evaluation.benchmarks.parts import columns

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
    UserError: as `columns.read`; or if the images are others, a number is not
      finite, or a face cannot be aligned.
  """
  others, *numbers = columns.read(path, _POINTS)
  both = 'both list all images, in the same order. Restore the lists.'
  if len(others) != len(names):
    raise errors.UserError(
      f'{text.printable(path)} has {len(others)} images, '
      f'{text.printable(media_list)} {len(names)}: {both}'
    )
  columns.check(
    path,
    pc.equal(others, names).to_numpy(zero_copy_only=False),
    lambda row: (
      f'{text.printable(columns.name(others, row))!r}, but '
      f'{text.place(media_list, text.line_number(media_list, row))} has '
      f'{text.printable(columns.name(names, row))!r}: {both}'
    ),
  )
  numbers = np.stack(numbers, axis=1)
  columns.check(
    path,
    np.isfinite(numbers).all(axis=1),
    lambda row: 'a coordinate or the detector score is not finite.',
  )
  landmarks = numbers[:, :-1].reshape(-1, 5, 2)
  if to_align:
    columns.check(
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
    UserError: as `columns.read`; or if a label is neither 1 nor 0.
  """
  left, right, label = columns.read(path, _PAIRS)
  columns.check(
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
  for i, (number, line) in enumerate(text.byte_lines(path, *columns.WHAT)):
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
    raise columns.empty(path)
  templates = sorted(subjects)
  found = templates, *([x[i] for i in templates] for x in (subjects, lines))
  return tuple(np.array(x, np.int32) for x in found)


def _id(field: bytes) -> int:
  """A number of a template or subject.

  Raises:
    ValueError: if it is none, or has more than 31 bits.
  """
  if field.isdigit() and int(field) < 2**31:
    return int(field)
  raise ValueError(field)
