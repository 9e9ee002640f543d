"""The lists of MegaFace: which images there are, and which are noise.

An image list is JSON with `path`, a list of relative paths, and for FaceScrub
`id`, the person of each. A list of noisy images has one a line, as a path or
the end of one (`12/345@N00/6.jpg`, `Some_One_7.png`); the suffix of the file
does not matter. Lines that begin with `#` are comments; of a line with tabs,
the second field counts.
"""

import json
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.evaluation import benchmarks
from bfjax.text import printable

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.npy')


class ImageList(NamedTuple):
  """Attributes:
  paths: relative ones, each once.
  ids: the person of each; empty if the list does not say.
  """

  paths: list[str]
  ids: list[str]


def read(path: str) -> ImageList:
  """Reads an image list.

  Raises:
    Absent: if there is no such file.
    UserError: if it cannot be read, is not such a list or names a path twice;
      the message gives the line or the number of the entry.
  """
  shown = printable(path)
  try:
    with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:
      content = json.load(file)
  except FileNotFoundError as error:
    raise benchmarks.Absent(f'There is no image list {shown}.') from error
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the image list {shown}: {error.strerror}.'
    ) from error
  except json.JSONDecodeError as error:
    raise errors.UserError(
      f'{shown}:{error.lineno}: no JSON ({error.msg}, column {error.colno}). '
      'Restore the list.'
    ) from error
  paths = content.get('path') if isinstance(content, dict) else None
  if not isinstance(paths, list) or not paths:
    raise errors.UserError(
      f'{shown}: expected JSON with a list `path` of images, as of MegaFace.'
    )
  ids = content.get('id', [])
  if not isinstance(ids, list) or len(ids) not in (0, len(paths)):
    raise errors.UserError(
      f'{shown}: `id` must be a list with an entry for each of the '
      f'{len(paths)} entries of `path`.'
    )
  _check_paths(paths, shown)
  return ImageList(paths, list(map(str, ids)))


def _check_paths(paths, shown) -> None:
  numbers = {}
  for number, name in enumerate(paths, start=1):
    if not isinstance(name, str) or not name:
      raise errors.UserError(
        f'{shown}: entry {number} of `path` is {name!r}, not a path.'
      )
    first = numbers.setdefault(name, number)
    if first != number:
      raise errors.UserError(
        f'{shown}: entry {number} of `path`, {printable(name)!r}, is '
        f'entry {first} already. Remove one of the two.'
      )


def noisy(path: str, names: Iterable[str], num_names: int) -> np.ndarray:
  """Reads which images are noise.

  Args:
    path: of the list of noisy images.
    names: the paths of the images.
    num_names: how many there are.

  Returns:
    bool [num_names].

  Raises:
    UserError: if the list cannot be read, or none of the images is in it.
  """
  shown = printable(path)
  try:
    with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:
      lines = [line.strip('\r\n ') for line in file]
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the list of noisy images {shown}: {error.strerror}.'
    ) from error
  entries = [x.split('\t') for x in lines if x and not x.startswith('#')]
  keys = {}  # number of path components -> what the end of a path may be
  for fields in entries:
    parts = _parts(fields[min(1, len(fields) - 1)])
    keys.setdefault(len(parts), set()).add(parts)
  found = np.zeros(num_names, bool)
  for i, name in enumerate(names):
    parts = _parts(name)
    found[i] = any(parts[-n:] in ends for n, ends in keys.items())
  if not found.any():
    listed = 'none'
    if entries:
      example = printable('\t'.join(entries[0]))
      listed = f'{len(entries)}, such as {example!r}'
    raise errors.UserError(
      f'{shown} matches none of the {num_names} images: it lists {listed}. Is '
      'it the list for these images?'
    )
  return found


def _parts(name: str) -> tuple[str, ...]:
  stem, suffix = os.path.splitext(name)
  if suffix.lower() not in _SUFFIXES:
    stem = name
  return tuple(part for part in stem.split('/') if part not in ('', '.'))
