"""What is wrong with the images of a list as a whole: twice, or no images."""

import logging
import os
from collections.abc import Callable, Iterator

import numpy as np

from bfjax import errors
from bfjax.data import files, folders, names
from bfjax.text import line_number, printable, row_place

_log = logging.getLogger(__name__)

# A path without one of these has hardly a part that `folders.is_system` knows.
_SYSTEM_TRACES = (b'/.', b'__MACOSX/', b'@eaDir/')


def refuse_duplicates(path: str, listed: names.Names) -> None:
  """Raises UserError if the list `path` names an image twice.

  Hashes are sorted first, and only paths of equal hashes compared: a set of
  all paths would take a gigabyte where there are 6 million.
  """
  ascending = listed.hashes()
  ascending.sort()
  if (ascending[1:] != ascending[:-1]).all():
    return
  for first, second in _same(listed.hashes(), listed.encoded):
    raise errors.UserError(
      f'{row_place(path, second)}: {printable(listed[second])} is listed '
      f'already in line {line_number(path, first)}. Remove one of the '
      'two.'
    )


def refuse_links(
  images: files.ImageFiles, identities: np.ndarray, path: str = ''
) -> None:
  """Raises UserError if two names are one file by a link or a spelling.

  Hard links are files of their own, like copies.

  Args:
    images: the files.
    identities: int64 [num_rows], as `files.ImageFiles.problems` gives them.
    path: the list that names them; '' if none does.
  """
  known = np.flatnonzero(identities)
  pairs = _same(
    identities[known], lambda i: os.path.realpath(images.path(int(known[i])))
  )
  for i, k in pairs:
    first, second = int(known[i]), int(known[k])
    where = f'{row_place(path, second)}: ' if path else ''
    line = f' in line {line_number(path, first)}' if path else ''
    raise errors.UserError(
      f'{where}{printable(images.path(second))} is the same file as '
      f'{printable(images.path(first))}{line}, by a link or another '
      'spelling. Remove one of the two.'
    )


def log_system_files(path: str, listed: names.Names) -> None:
  """Warns of hidden and system files; a list is a user's word, so they stay."""
  if not any(trace in listed.blob for trace in _SYSTEM_TRACES):
    return
  found = [name for name in listed if _is_system(name)]
  if found:
    _log.warning(
      '%s lists %d hidden or system files, such as %s. They are used as all '
      'others are: take them off the list if they are not meant.',
      printable(path),
      len(found),
      printable(found[0]),
    )


def _is_system(name: str) -> bool:
  parts = name.split('/')
  parts = parts[-1:] if name.startswith('/') else parts
  return any(part != '..' and folders.is_system(part) for part in parts)


def _same(hashes, key: Callable[[int], object]) -> Iterator[tuple[int, int]]:
  """Yields (i, k), i < k, of equal hashes and equal keys."""
  order = np.argsort(hashes, kind='stable')
  ascending = hashes[order]
  repeated = np.unique(ascending[1:][ascending[1:] == ascending[:-1]])
  starts = np.searchsorted(ascending, repeated, side='left')
  stops = np.searchsorted(ascending, repeated, side='right')
  for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
    seen = {}
    for i in order[start:stop].tolist():
      first = seen.setdefault(key(i), i)
      if first != i:
        yield first, i
