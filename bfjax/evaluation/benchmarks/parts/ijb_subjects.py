"""Lists of templates and whose they are: IJB's galleries and probes.

    TEMPLATE_ID,SUBJECT_ID,FILENAME,...
    1,1,img/1.png,...

A template has a line for each of its images or one alone. The header may be
missing; then the first two columns are the template and its subject.
"""

import numpy as np

from bfjax import errors
from bfjax.text import printable

_COLUMNS = (b'TEMPLATE_ID', b'SUBJECT_ID')
_LARGEST = 2**31


def read(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Reads a list of templates.

  Args:
    path: the list.

  Returns:
    int32 [n]: the templates, each once, ascending; their subjects; and the
    line, from 1, of the first mention of each.

  Raises:
    UserError: if the list cannot be read or is empty, a line of it cannot be
      understood, or a template is of two subjects; the message names the line.
  """
  subjects, lines = {}, {}
  try:
    with open(path, 'rb') as file:
      places = (0, 1)
      for number, line in enumerate(file, start=1):
        fields = [
          field.strip()
          for field in line.removeprefix(b'\xef\xbb\xbf').split(b',')
        ]
        if number == 1 and not fields[0].isdigit():
          places = _places(path, fields)
          continue
        if fields == [b'']:
          continue
        template, subject = _parse(path, number, line, fields, places)
        if subjects.setdefault(template, subject) != subject:
          raise errors.UserError(
            f'{printable(path)}:{number}: template {template} is of '
            f'subject {subject}, but line {lines[template]} says '
            f'{subjects[template]}. Correct the list.'
          )
        lines.setdefault(template, number)
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the list {printable(path)}: {error.strerror}. Is the '
      'data set complete?'
    ) from error
  if not subjects:
    raise errors.UserError(f'The list {printable(path)} has no templates.')
  templates = sorted(subjects)
  return tuple(
    np.array(x, np.int32)
    for x in (
      templates,
      [subjects[template] for template in templates],
      [lines[template] for template in templates],
    )
  )


def _places(path, fields) -> tuple[int, int]:
  upper = [field.upper() for field in fields]
  if not all(column in upper for column in _COLUMNS):
    raise errors.UserError(
      f'{printable(path)}:1: expected is a header with TEMPLATE_ID and '
      f'SUBJECT_ID, or a template and its subject, not {b",".join(fields)!r}.'
    )
  return tuple(upper.index(column) for column in _COLUMNS)


def _parse(path, number, line, fields, places) -> tuple[int, int]:
  try:
    template, subject = (int(fields[place]) for place in places)
  except (IndexError, ValueError):
    template = subject = -1
  if not (0 <= template < _LARGEST and 0 <= subject < _LARGEST):
    text = line.rstrip(b'\r\n').decode(errors='backslashreplace')
    raise errors.UserError(
      f'{printable(path)}:{number}: {text!r} is not a line of this list. '
      'Expected: the numbers of a template and of its subject, in columns '
      f'{places[0] + 1} and {places[1] + 1}, separated by commas.'
    )
  return template, subject
