"""The images of several benchmarks, each once, and the way back."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from bfjax.data import files as image_files

# Up to so many images, a benchmark's are looked for in the others' one by one.
_MAX_KNOWN = 200_000


class Distinct:
  """The images of several `Files` as one, those that are the same once.

  Two image files are the same if their absolute paths are, two other objects
  if they are equal; images of one object are all distinct.
  """

  def __init__(self, all_files: Iterable):
    """Takes the files of the benchmarks."""
    all_files = list(dict.fromkeys(all_files))
    # files -> slice or int [files.num_rows], rows in self
    self._rows_of: dict[Any, slice | np.ndarray] = {}
    known, parts, owns, count = {}, [], [], 0
    for part, files in enumerate(all_files):
      new = range(files.num_rows)
      self._rows_of[files] = slice(count, count + len(new))
      if isinstance(files, image_files.ImageFiles) and len(new) <= _MAX_KNOWN:
        paths = [os.fsencode(files.path(row)) for row in new]
        new = []
        for row, path in enumerate(paths):
          if path not in known:
            known[path] = count + len(new)
            new.append(row)
        self._rows_of[files] = np.array([known[path] for path in paths], int)
      parts.append(np.full(len(new), part, np.int32))
      owns.append(np.asarray(new, int))
      count += len(new)
    self._files, self.num_rows = all_files, count
    # Of each row, whose it is and its row there.
    self._part, self._own = np.r_[0:0, *parts], np.r_[0:0, *owns]

  def read(self, rows) -> list[bytes]:
    """See `labelled.Images`."""
    rows = np.asarray(rows)
    out = [b''] * len(rows)
    for part in np.unique(self._part[rows]):
      places = np.flatnonzero(self._part[rows] == part)
      found = self._files[part].read(self._own[rows[places]])
      for place, content in zip(places, found, strict=True):
        out[place] = content
    return out

  def name(self, row: int) -> str:
    """See `labelled.Images`."""
    return self._files[self._part[row]].name(int(self._own[row]))

  def path(self, row: int) -> str:
    """See `labelled.Images`."""
    return self._files[self._part[row]].path(int(self._own[row]))

  def rows_of(self, files) -> slice | np.ndarray:
    """Where the images of one of the files are among all."""
    return self._rows_of[files]
