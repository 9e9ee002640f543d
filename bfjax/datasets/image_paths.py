"""Which file each image of a source becomes when it is written to a folder."""

import os
import re
from collections.abc import Iterable, Iterator

import numpy as np
import tqdm

from bfjax import errors
from bfjax.data import folders, labelled
from bfjax.text import printable

_STARTS = ((b'\x89PNG', '.png'), (b'BM', '.bmp'), (b'RIFF', '.webp'))
# Names of images that were no files: `train.rec#17`.
_NUMBERED = re.compile(r'.*#[0-9]+', re.DOTALL)
_MAX_NAME_BYTES = 255
# So many images take seconds.
_MANY = 100_000
_NUMBERS = '--rename calls the files by their numbers instead.'


def suffix(encoded: bytes) -> str:
  """The ending for a file of this content."""
  for start, ending in _STARTS:
    if encoded.startswith(start):
      return ending
  return '.jpg'


def numbered(folder: str, row: int) -> str:
  """The path, without its ending, of an image that has no name of its own."""
  return f'{folder}/{row:08d}'


def is_numbered(name: str) -> bool:
  """Whether an image has no name of its own, only a number in some file."""
  return _NUMBERED.fullmatch(name) is not None


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
    if problem:
      raise errors.UserError(
        f'The class "{printable(name)}" cannot be a folder: {problem}. Rename '
        'it, or write another format.'
      )
    other = seen.setdefault(name.casefold(), name)
    if other != name:
      raise errors.UserError(
        f'The classes "{printable(other)}" and "{printable(name)}" differ in '
        'upper and lower case alone, and would be one folder on many systems. '
        'Rename one, or write another format.'
      )


def check_path(path: str, name: str) -> None:
  """Refuses a path below a folder that some file system could not hold.

  Raises:
    UserError: if it is one; the message names the image, `name`.
  """
  problem = ''
  for part in path.split('/'):
    problem = problem or _problem(part)
  if os.path.isabs(path):
    problem = 'it is an absolute path'
  if path != path.strip():
    problem = 'it starts or ends with a blank'
  if problem:
    raise errors.UserError(
      f'The image {printable(name)} cannot be written to a file of that name: '
      f'{problem}. {_NUMBERS}'
    )


def _problem(part: str) -> str:
  if part in ('', '.', '..'):
    return f'{part!r} is no name'
  if '\0' in part or '\n' in part or '\r' in part:
    return 'it has line ends or zero bytes'
  if len(os.fsencode(part)) > _MAX_NAME_BYTES:
    return f'it has more than {_MAX_NAME_BYTES} bytes'
  return ''


class Collisions:
  """Finds images that would be one file, also where case does not count.

  Hashes are sorted, and only paths of equal ones compared: a set of all paths
  would take gigabytes.
  """

  def __init__(self, num_rows: int):
    self._hashes = np.empty(num_rows, np.int64)
    self._bar = tqdm.tqdm(
      total=num_rows,
      desc='Naming the files',
      unit='image',
      unit_scale=True,
      disable=num_rows < _MANY,
    )

  def add(self, row: int, path: str) -> None:
    """Notes that the image `row` becomes `path`."""
    self._hashes[row] = hash(path.casefold())
    self._bar.update()

  def check(self, source: labelled.Source, path_of) -> None:
    """Raises a UserError that names two images if there are such.

    Args:
      source: the images.
      path_of: row -> path, as added.
    """
    self._bar.close()
    for first, second in self._equal():
      path, other = path_of(first), path_of(second)
      if path.casefold() == other.casefold():
        raise errors.UserError(
          f'The images {printable(source.name(first))} and '
          f'{printable(source.name(second))} would both become the file '
          f'{printable(path)}'
          + ('' if path == other else f' or {printable(other)}, which are one')
          + ('.' if path == other else ' where case does not count.')
          + f' {_NUMBERS}'
        )

  def _equal(self) -> Iterator[tuple[int, int]]:
    order = np.argsort(self._hashes, kind='stable')
    for i in np.flatnonzero(
      self._hashes[order[1:]] == self._hashes[order[:-1]]
    ):
      yield int(order[i]), int(order[i + 1])


class Folders:
  """Writes files below a folder, and makes the folders on their way."""

  def __init__(self, root: str):
    self._root = root
    self._made = set()

  def write(self, path: str, content: bytes) -> None:
    """Writes `content` to `path` below the root; raises OSError."""
    folder = os.path.dirname(path)
    if folder not in self._made:
      os.makedirs(os.path.join(self._root, folder), exist_ok=True)
      self._made.add(folder)
    with open(os.path.join(self._root, path), 'wb') as file:
      file.write(content)
