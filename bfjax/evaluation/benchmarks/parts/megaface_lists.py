"""The lists of MegaFace: which images there are, and which are noise.

An image list is JSON with `path`, a list of relative paths, and for FaceScrub
`id`, the person of each. A list of noisy images has one a line, as a path or
the end of one (`12/345@N00/6.jpg`, `Some_One_7.png`); the suffix of the file
does not matter. Lines that begin with `#` are comments; of a line with tabs,
the second field counts.
"""

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bfjax import errors, text
from bfjax.evaluation import benchmarks

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.npy')


class ImageList(NamedTuple):
  """The images of a list: relative paths, each once, and whose they are."""

  paths: list[str]
  ids: list[str]  # empty if the list does not say


def read(path: str) -> ImageList:
  """Reads an image list.

  Raises:
    Absent: if there is no such file.
    UserError: if it cannot be read, is not such a list or names a path twice;
      the message gives the line or the number of the entry.
  """
  shown = text.printable(path)
  if not os.path.exists(path):
    raise benchmarks.Absent(f'There is no image list {shown}.')
  with text.reading(path, 'the image list') as file:
    content = file.read().decode('utf-8', 'surrogateescape')
  try:
    content = json.loads(content)
  except json.JSONDecodeError as error:
    raise errors.UserError(
      f'{text.place(path, error.lineno)}: no JSON ({error.msg}, column '
      f'{error.colno}). Restore the list.'
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
  numbers = {}
  for number, name in enumerate(paths, start=1):
    if not isinstance(name, str) or not name:
      raise errors.UserError(
        f'{shown}: entry {number} of `path` is {name!r}, not a path.'
      )
    first = numbers.setdefault(name, number)
    if first != number:
      raise errors.UserError(
        f'{shown}: entry {number} of `path`, {text.printable(name)!r}, is '
        f'entry {first} already. Remove one of the two.'
      )
  return ImageList(paths, list(map(str, ids)))


def noisy(path: str, names: Sequence[str]) -> np.ndarray:
  """Reads which images are noise.

  Args:
    path: of the list of noisy images.
    names: the paths of the n images.

  Returns:
    bool [n].

  Raises:
    UserError: if the list cannot be read, or none of the images is in it.
  """
  lines = [
    x.strip(' ') for _, x in text.lines(path, 'the list of noisy images')
  ]
  entries = [line for line in lines if not line.startswith('#')]
  keys = {}  # number of path components -> what the end of a path may be
  for entry in entries:
    parts = _parts(entry.split('\t')[:2][-1])
    keys.setdefault(len(parts), set()).add(parts)
  found = np.zeros(len(names), bool)
  for i, name in enumerate(names):
    parts = _parts(name)
    found[i] = any(parts[-n:] in ends for n, ends in keys.items())
  if not found.any():
    listed = 'none'
    if entries:
      listed = f'{len(entries)}, such as {text.shown(entries[0])}'
    raise errors.UserError(
      f'{text.printable(path)} matches none of the {len(names)} images: it '
      f'lists {listed}. Is it the list for these images?'
    )
  return found


def _parts(name: str) -> tuple[str, ...]:
  stem, suffix = os.path.splitext(name)
  if suffix.lower() not in _SUFFIXES:
    stem = name
  return tuple(part for part in stem.split('/') if part not in ('', '.'))
