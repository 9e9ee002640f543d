"""Which file each image of a source becomes when it is written to a folder."""

import os
import pathlib
import re
from collections.abc import Callable, Iterable

import numpy as np
import tqdm

from bfjax import errors
from bfjax.data import checks, folders, labelled
from bfjax.text import printable

_STARTS = ((b'\x89PNG', '.png'), (b'BM', '.bmp'), (b'RIFF', '.webp'))
# Names of images that were no files: `train.rec#17`.
_NUMBERED = re.compile(r'.*#[0-9]+', re.DOTALL)
_MAX_NAME_BYTES = 255


def of(
  source: labelled.Source,
  row: int,
  folder: str,
  rename: bool,
  encoded: bytes = b'',
) -> str:
  """The name of an image, or its number in `folder` if it has none.

  Args:
    source: has the image.
    row: which.
    folder: where those go that have no name of their own.
    rename: whether all are to go there.
    encoded: the image, whose content tells how a file called by its number
      ends; b'' where it is not known yet.
  """
  name = source.name(row)
  if not rename and not _NUMBERED.fullmatch(name):
    return name
  endings = (ending for start, ending in _STARTS if encoded.startswith(start))
  return f'{folder}/{row:08d}{next(endings, ".jpg")}'


def write(folder: pathlib.Path, path: str, encoded: bytes) -> None:
  """Writes an image below a folder, and the folders on its way."""
  whole = os.path.join(folder, path)
  os.makedirs(os.path.dirname(whole), exist_ok=True)
  with open(whole, 'wb') as file:
    file.write(encoded)


def check_folders(names: Iterable[str]) -> None:
  """Refuses class names that cannot be folders.

  Raises:
    UserError: if one cannot be, or two differ in upper and lower case alone;
      they are named.
  """
  seen = {}
  for name in names:
    problem = _problem(name)
    if name != name.strip():
      problem = 'it starts or ends with a blank'
    if '/' in name:
      problem = 'it has a slash'
    if folders.is_system(name):
      problem = 'it is that of a hidden or system folder, which is not read'
    other = seen.setdefault(name.casefold(), name)
    if not problem and other != name:
      problem = (
        f'"{printable(other)}" and "{printable(name)}" differ in upper and'
        ' lower case alone, and would be one folder on many systems'
      )
    if problem:
      raise errors.UserError(
        f'The class "{printable(name)}" cannot be a folder: {problem}. Rename '
        'it, or write another format.'
      )


def check(
  source: labelled.Source,
  path_of: Callable[[int], str],
  problem_of: Callable[[str], str],
) -> None:
  """Refuses names of files that some system or reader could not cope with.

  Args:
    source: the images.
    path_of: row -> path below the new folder.
    problem_of: path -> why it cannot be one of the format, or ''.

  Raises:
    UserError: if there is such a path, or two images would become one file,
      also where case does not count; they are named.
  """
  hashes = np.empty(source.num_rows, np.int64)
  for row in tqdm.trange(
    source.num_rows, desc='Naming the files', unit_scale=True, delay=1
  ):
    path = path_of(row)
    problem = _path_problem(path) or problem_of(path)
    if problem:
      raise _cannot_be(source.name(row), path, problem)
    hashes[row] = hash(path.casefold())
  if twice := checks.first_twice(hashes, lambda i: path_of(i).casefold()):
    first, second = twice
    path, other = map(path_of, twice)
    problem = f'it is that of {printable(source.name(first))}'
    if path != other:
      problem += f', {printable(path)}, where case does not count'
    raise _cannot_be(source.name(second), other, problem)


def _cannot_be(name, path, problem) -> errors.UserError:
  return errors.UserError(
    f'The image {printable(name)} cannot become the file {printable(path)}: '
    f'{problem}. --rename calls the files by their numbers instead.'
  )


def _path_problem(path: str) -> str:
  if os.path.isabs(path):
    return 'it is an absolute path'
  if path != path.strip():
    return 'it starts or ends with a blank'
  return next(filter(None, map(_problem, path.split('/'))), '')


def _problem(part: str) -> str:
  if part in ('', '.', '..'):
    return f'{part!r} is no name'
  if '\0' in part or '\n' in part or '\r' in part:
    return 'it has line ends or zero bytes'
  if len(os.fsencode(part)) > _MAX_NAME_BYTES:
    return f'it has more than {_MAX_NAME_BYTES} bytes'
  return ''
