"""Many names in little memory, as sequences of strings.

Names need not be UTF-8: they are bytes here and, as is usual in Python, strings
with surrogate escapes (`os.fsdecode`) outside.
"""

import array
import io
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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

  @classmethod
  def of_numbers(cls, values: np.ndarray) -> 'Names':
    """The decimal notation of integers."""
    _, offsets, blob = pa.array(values).cast(pa.large_string()).buffers()
    return cls(blob.to_pybytes(), np.frombuffer(offsets, np.int64))

  @property
  def arrow(self) -> pa.LargeBinaryArray:
    """The same names, in the same memory, for the functions of Arrow."""
    buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.blob)]
    return pa.Array.from_buffers(pa.large_binary(), len(self), buffers)

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, i):
    if isinstance(i, slice):
      return [self[k] for k in range(*i.indices(len(self)))]
    return os.fsdecode(self.encoded(range(len(self))[i]))

  def __eq__(self, other):
    if not isinstance(other, Sequence) or isinstance(other, str):
      return NotImplemented
    return len(self) == len(other) and all(
      a == b for a, b in zip(self, other, strict=True)
    )

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

  def places(self, wanted: 'Names') -> np.ndarray:
    """int64 [len(wanted)]: where each of `wanted` is among these, -1 if not.

    No name may be among these twice; `wanted` may have some more than once.
    """
    place = pc.index_in(self.arrow, value_set=wanted.arrow)
    there = np.flatnonzero(place.is_valid())
    found = np.full(len(wanted), -1, np.int64)
    found[place.drop_null()] = there
    return found[pc.index_in(wanted.arrow, value_set=wanted.arrow)]
