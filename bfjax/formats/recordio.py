"""RecordIO, the format of `train.rec`: its records, and a writer of them.

A record is one part, or several where its payload holds the magic number:

    part:    u32 magic, u32 cflag << 29 | length, bytes, zeros up to 4 bytes
    payload: u32 flag, f32 label, u64 id, u64 id2, flag x f32 label, image

all little-endian. cflag is 0 for a record of one part, and 1, 2 and 3 for the
first, middle and last of several: the payload is cut at every magic number
that lies at a multiple of 4 bytes, which is left out there and put back by the
reader. So the magic number at a multiple of 4 is always the start of a part.

The format is that of dmlc-core and MXNet, https://github.com/dmlc/dmlc-core
(recordio.h) and https://mxnet.apache.org (mxnet.recordio), written anew. What
follows holds what they write and refuses what they cannot have written.
"""

import contextlib
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.text import printable

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack('<I', MAGIC)
PART = struct.Struct('<II')
HEADER = struct.Struct('<IfQQ')
LENGTH_BITS = 29
MAX_LENGTH = (1 << LENGTH_BITS) - 1
# Labels are float32: larger integers are not told from their neighbours.
MAX_LABEL = 2**24 - 1
# Random bytes hold a magic number once in 16 GiB; a file made to waste time
# could have one in every 4 bytes.
MAX_PARTS = 1 << 12


class Record(NamedTuple):
  """A record taken apart."""

  labels: np.ndarray  # float32 [n]; one where the header holds the label itself
  is_scalar: bool  # whether it does (flag 0), or an array of labels follows
  id: int  # what the writer numbered it with, as a rule its key
  image: bytes  # encoded; empty for records of data about the set


class Position(NamedTuple):
  """How far a writer has come: where to go on after a kill."""

  record_bytes: int
  index_bytes: int


def index_path(path: str | os.PathLike) -> str:
  """`set/train.rec` -> `set/train.idx`."""
  return os.path.splitext(os.fspath(path))[0] + '.idx'


def pack(labels: float | Sequence[float], id: int, image: bytes) -> bytes:
  """The payload of a record, as `mxnet.recordio.pack` makes it.

  A number lies in the header (flag 0); a sequence follows it (flag n).
  """
  if np.ndim(labels) == 0:
    return HEADER.pack(0, labels, id, 0) + image
  array = np.asarray(labels, '<f4')
  return HEADER.pack(len(array), 0.0, id, 0) + array.tobytes() + image


def unpack(payload: bytes) -> Record:
  """The inverse of `pack`.

  Raises:
    ValueError: if the payload is too short for what it declares.
  """
  size = len(payload)
  if size < HEADER.size:
    raise ValueError(
      f'it has {size} bytes, and its header alone takes {HEADER.size}'
    )
  flag, label, id, _ = HEADER.unpack_from(payload)
  start = HEADER.size + 4 * flag
  if start > size:
    raise ValueError(f'it declares {flag} labels, and has {size} bytes')
  labels = np.frombuffer(payload, '<f4', flag, HEADER.size) if flag else [label]
  return Record(np.asarray(labels, np.float32), not flag, id, payload[start:])


def frame(payload: bytes) -> bytes:
  """The parts that a payload is stored as.

  Raises:
    ValueError: if it is longer than the format can tell, or has to be cut
      into thousands of parts.
  """
  if len(payload) > MAX_LENGTH:
    raise ValueError(
      f'a record of {len(payload)} bytes; at most {MAX_LENGTH} fit'
    )
  padding = bytes(-len(payload) % 4)
  if MAGIC_BYTES not in payload:
    return PART.pack(MAGIC, len(payload)) + payload + padding
  words = np.frombuffer(payload, '<u4', len(payload) // 4)
  cuts = (4 * np.flatnonzero(words == MAGIC)).tolist()
  if len(cuts) >= MAX_PARTS:
    raise ValueError(f'it holds the magic number {len(cuts)} times')
  kinds = [1, *[2] * (len(cuts) - 1), 3] if cuts else [0]
  starts, stops = [0, *(cut + 4 for cut in cuts)], [*cuts, len(payload)]
  parts = (
    PART.pack(MAGIC, kind << LENGTH_BITS | stop - start) + payload[start:stop]
    for kind, start, stop in zip(kinds, starts, stops, strict=True)
  )
  return b''.join(parts) + padding


class Writer:
  """Writes records and their index, byte for byte as MXNet does.

      with recordio.Writer('set/train.rec') as writer:
        writer.write(1, 0.0, jpeg)

  The index is `train.idx` beside `train.rec`: lines `key<TAB>offset`.
  """

  def __init__(self, path: str | os.PathLike, position: Position | None = None):
    """Starts new files, or goes on with files that there are.

    Args:
      path: of the records, ending in `.rec`; that of the index follows.
      position: None to start anew; else where an earlier writer stood
        (`position`) when it was flushed: what comes after is cut off.

    Raises:
      UserError: if the files are shorter than `position` says.
      OSError: if they cannot be written to; so do the other methods.
    """
    self.path = os.path.abspath(path)
    paths = (self.path, index_path(self.path))
    mode = 'r+b' if position else 'wb'
    with contextlib.ExitStack() as opened:
      files = [opened.enter_context(open(path, mode)) for path in paths]
      for file, size in zip(files, position or (0, 0), strict=True):
        found = file.seek(0, os.SEEK_END)
        if found < size:
          raise errors.UserError(
            f'{printable(file.name)} has {found} bytes; {size} were written. '
            'Remove it and start again.'
          )
        file.seek(size)
        file.truncate()
      opened.pop_all()
    self._records, self._index = files

  @property
  def position(self) -> Position:
    """Where to go on from; good after `flush`."""
    return Position(self._records.tell(), self._index.tell())

  def write(
    self, key: int, labels: float | Sequence[float], image: bytes
  ) -> None:
    """Appends a record under `key`, which is its id too.

    Args:
      key: 0 .. 2^63 - 1, not used before.
      labels: a number, or several that are stored as an array.
      image: the encoded image; b'' for a record of data about the set.

    Raises:
      UserError: if a single label is an integer that float32 does not hold, or
        the image is too large for the format.
    """
    if np.ndim(labels) == 0 and np.abs(labels) > MAX_LABEL:
      raise errors.UserError(
        f'{printable(self.path)}: key {key} has the label {labels}. '
        f'RecordIO keeps labels as float32, which tells integers up to '
        f'{MAX_LABEL} apart: renumber the classes.'
      )
    try:
      framed = frame(pack(labels, key, image))
    except ValueError as error:
      raise errors.UserError(
        f'{printable(self.path)}: key {key} cannot be written: {error}.'
      ) from error
    place = self._records.tell()
    self._records.write(framed)
    self._index.write(b'%d\t%d\n' % (key, place))

  def write_identities(
    self, num_images: int, ranges: Sequence[tuple[int, int]]
  ) -> None:
    """Appends what InsightFace's sets say about their identities.

    Record 0 holds [num_images + 1, num_images + 1 + number of identities];
    after it, each identity has a record, with keys from num_images + 1, of
    the keys [first, last) of its images. The images have the keys
    1 .. num_images.
    """
    start = num_images + 1
    self.write(0, [start, start + len(ranges)], b'')
    for key, labels in enumerate(ranges, start):
      self.write(key, labels, b'')

  def flush(self) -> None:
    """Brings all to the disk, so that it is there after a power cut."""
    for file in (self._records, self._index):
      file.flush()
      os.fsync(file.fileno())

  def close(self) -> None:
    """Writes out and closes both files."""
    with self._records, self._index:
      pass

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()
