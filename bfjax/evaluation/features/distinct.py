"""The images of several benchmarks, each once, and the way back."""

import os
from collections.abc import Iterable

import numpy as np

from bfjax.data import files as image_files

# Up to so many images, a benchmark's are looked for in the others' one by one.
_MAX_LOOKED_UP = 200_000


class Distinct:
  """The images of several `Files` as one, those that are the same once.

  Two image files are the same if their absolute paths are, two other objects
  if they are equal; images of one object are all distinct.

  Attributes:
    num_rows: how many distinct images there are.
  """

  def __init__(self, all_files: Iterable):
    """Takes the files of the benchmarks."""
    self._parts = []  # (files, int32: its rows that are new)
    self._rows_of = {}  # files -> slice or int [files.num_rows], rows in self
    self.num_rows = 0
    known = {}
    for files in all_files:
      if files in self._rows_of:
        continue
      looked_up = (
        isinstance(files, image_files.ImageFiles)
        and files.num_rows <= _MAX_LOOKED_UP
      )
      if looked_up:
        paths = [os.fsencode(files.path(i)) for i in range(files.num_rows)]
        new = []
        for i, path in enumerate(paths):
          if path not in known:
            known[path] = self.num_rows + len(new)
            new.append(i)
        self._rows_of[files] = np.array([known[path] for path in paths], int)
      else:
        new = np.arange(files.num_rows)
        self._rows_of[files] = slice(
          self.num_rows, self.num_rows + files.num_rows
        )
      self._parts.append((files, np.asarray(new, int)))
      self.num_rows += len(new)
    sizes = [len(rows) for _, rows in self._parts]
    self._starts = np.r_[0, np.cumsum(sizes)].astype(int)

  def rows_of(self, files) -> slice | np.ndarray:
    """Where the images of one of the files are among all."""
    return self._rows_of[files]

  def read(self, rows) -> list[bytes]:
    rows = np.asarray(rows)
    out = [b''] * len(rows)
    part = np.searchsorted(self._starts, rows, side='right') - 1
    for k in np.unique(part):
      places = np.flatnonzero(part == k)
      files, own = self._parts[k]
      found = files.read(own[rows[places] - self._starts[k]])
      for place, content in zip(places, found, strict=True):
        out[place] = content
    return out

  def name(self, row: int) -> str:
    files, own = self._locate(row)
    return files.name(own)

  def path(self, row: int) -> str:
    files, own = self._locate(row)
    return files.path(own)

  def _locate(self, row):
    part = int(np.searchsorted(self._starts, row, side='right')) - 1
    files, own = self._parts[part]
    return files, int(own[row - self._starts[part]])
