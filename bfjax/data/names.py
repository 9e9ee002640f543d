"""Many names in little memory, as sequences of strings.

Names need not be UTF-8: they are bytes here and, as is usual in Python, strings
with surrogate escapes (`os.fsdecode`) outside.
"""

import array
import io
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

_CHUNK = 1 << 16


class Names(Sequence):
  """Strings in one bytes object beside an int64 array of offsets.

  6 million paths of 30 bytes take 230 MB.

  Attributes:
    blob: all of them, one after the other, nothing in between.
    offsets: int64 [n + 1]; number i is blob[offsets[i]:offsets[i + 1]].
  """

  def __init__(self, blob: bytes, offsets: np.ndarray):
    self.blob, self.offsets = blob, offsets

  @classmethod
  def of(cls, names: Iterable[str | bytes]) -> 'Names':
    """Takes the names one at a time."""
    blob = io.BytesIO()
    offsets = array.array('q', [0])
    for name in names:
      blob.write(os.fsencode(name))
      offsets.append(blob.tell())
    return cls(blob.getvalue(), np.frombuffer(offsets, np.int64))

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, i):
    if isinstance(i, slice):
      return [self[k] for k in range(*i.indices(len(self)))]
    return os.fsdecode(self.encoded(range(len(self))[i]))

  def __eq__(self, other):
    return _equal(self, other)

  def encoded(self, i: int) -> bytes:
    """Number `i`, 0 .. n - 1."""
    return self.blob[self.offsets[i] : self.offsets[i + 1]]

  def all_encoded(self) -> Iterator[bytes]:
    """Yields all of them, in order."""
    blob = self.blob
    for start in range(0, len(self), _CHUNK):
      ends = self.offsets[start : start + _CHUNK + 1].tolist()
      for i in range(len(ends) - 1):
        yield blob[ends[i] : ends[i + 1]]

  def hashes(self) -> np.ndarray:
    """int64 [n]: equal where names are, and hardly ever elsewhere."""
    return np.fromiter(map(hash, self.all_encoded()), np.int64, len(self))


class Numbers(Sequence):
  """The decimal notation of the integers of an array, int64 [n]."""

  def __init__(self, values: np.ndarray):
    self.values = values

  def __len__(self) -> int:
    return len(self.values)

  def __getitem__(self, i):
    if isinstance(i, slice):
      return [str(value) for value in self.values[i].tolist()]
    return str(self.values[i])

  def __eq__(self, other):
    return _equal(self, other)


def _equal(names, other):
  if not isinstance(other, Sequence) or isinstance(other, str):
    return NotImplemented
  return len(names) == len(other) and all(
    a == b for a, b in zip(names, other, strict=True)
  )
