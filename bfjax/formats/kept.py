"""Arrays that take long to be read out of a data set, kept in a file.

The file is one of `np.savez`, with a member of JSON that tells what the arrays
are of. It is read without pickle: nothing in it is run.
"""

import json
import logging
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

from bfjax import atomic
from bfjax.text import printable

_log = logging.getLogger(__name__)

# What `np.load` and `json` say of files that are none of ours.
_DAMAGED = (
  *(OSError, ValueError, KeyError, EOFError, TypeError),
  zipfile.BadZipFile,
)


def state(path: str | os.PathLike) -> list[int] | None:
  """Size and time of a file, by which a change is noticed; None without it."""
  try:
    status = os.stat(path)
  except OSError:
    return None
  return [status.st_size, status.st_mtime_ns]


def read_once(
  read: Callable[[], dict[str, np.ndarray]],
  paths: Sequence[pathlib.Path],
  member: str,
  about: dict,
  fits: Callable[[dict[str, np.ndarray]], bool],
) -> dict[str, np.ndarray]:
  """What `read` returns, from the file that it was kept in if there is one.

  Args:
    read: takes long; name -> array.
    paths: where they may be kept, best first. It is the first that can be
      written to; a warning tells if there is none.
    member: the name of the JSON beside the arrays.
    about: what they are to be of: that JSON has these items.
    fits: whether arrays can be those that were kept.
  """
  for path in paths:
    try:
      with path.open('rb') as opened, np.load(opened) as file:
        if (found := json.loads(bytes(file[member]))) | about != found:
          continue
        arrays = {name: file[name] for name in file.files if name != member}
      if fits(arrays):
        return arrays
      raise ValueError('its arrays do not belong together')
    except (FileNotFoundError, NotADirectoryError):
      continue
    except _DAMAGED as error:
      shown = printable(str(path))
      _log.warning('%s is damaged (%s) and is made anew.', shown, error)
  arrays = read()
  encoded = np.frombuffer(json.dumps(about).encode(), np.uint8)
  problems = []
  for path in paths:
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      with atomic.writing(path) as draft, draft.open('wb') as file:
        np.savez(file, allow_pickle=False, **{member: encoded}, **arrays)
      return arrays
    except OSError as error:
      problems.append(f'{printable(str(path))}: {error.strerror}')
  _log.warning(
    'What was read cannot be kept and is read anew the next time (%s).',
    '; '.join(problems),
  )
  return arrays
