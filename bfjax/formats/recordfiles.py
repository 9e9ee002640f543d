"""Files of records, read anywhere, and what can be wrong with a record."""

import os
import weakref

from bfjax import errors
from bfjax.formats import recordio
from bfjax.text import printable

# No image of a face is larger; a few of half a gigabyte would fill the memory.
MAX_RECORD_BYTES = 1 << 26

# Codes of what is wrong with a record.
PROBLEMS = (
  'is good',
  'lies past the end of the file: the file is cut off, or the index is that of '
  'another file',
  'is no record: the magic number of RecordIO is not there',
  'is cut off by the end of the file',
  'is in parts that do not belong together, too many or too large',
  'is too short for its header and labels',
  'overlaps the one after it',
  f'is larger than {MAX_RECORD_BYTES >> 20} MiB',
)
(GOOD, PAST_END, NO_RECORD, CUT_OFF, BROKEN, SHORT, OVERLAPS, TOO_LARGE) = (
  range(len(PROBLEMS))
)


class RecordFile:
  """Random access to the records of a file.

  It may be used from several threads and processes at once, and be pickled:
  another process opens the file anew.

  Attributes:
    path: of the file, absolute.
    size: its bytes when it was opened.
  """

  def __init__(self, path: str | os.PathLike):
    """Opens the file.

    Raises:
      UserError: if it cannot be opened, or is empty.
    """
    self.path = os.path.abspath(path)
    if not os.path.isfile(self.path) or not os.path.getsize(self.path):
      raise errors.UserError(
        f'{printable(self.path)} is no file, or an empty one.'
      )
    try:
      self._file = os.open(self.path, os.O_RDONLY)
    except OSError as error:
      raise errors.UserError(
        f'Cannot open {printable(self.path)}: {error.strerror}.'
      ) from error
    weakref.finalize(self, os.close, self._file)
    self.size = os.fstat(self._file).st_size

  def __reduce__(self):
    return RecordFile, (self.path,)

  def fetch(self, start: int, length: int) -> None:
    """Asks the system to read these bytes ahead; does not wait for them."""
    os.posix_fadvise(self._file, start, length, os.POSIX_FADV_WILLNEED)

  def bytes_at(self, start: int, length: int) -> bytes:
    """Up to `length` bytes, fewer at the end of the file.

    Raises:
      UserError: if the disk fails.
    """
    try:
      return os.pread(self._file, length, start)
    except OSError as error:
      raise errors.UserError(
        f'Cannot read {printable(self.path)} at byte {start}: {error.strerror}.'
      ) from error

  def read(self, offset: int, size: int = 0) -> recordio.Record:
    """The record at byte `offset`.

    Args:
      offset: of its first part.
      size: of its first part, if that is known: all of it is then read at once.

    Raises:
      ValueError: if no whole record starts there; the message tells what is
        wrong, and at which byte.
    """
    parts, total = [], 0
    kinds, at = (0, 1), offset
    while True:
      part, kind, after = self._part(at, size, kinds)
      parts.append(part)
      total += len(part)
      if total > MAX_RECORD_BYTES:
        raise _problem(at, TOO_LARGE)
      if len(parts) > recordio.MAX_PARTS:
        raise _problem(at, BROKEN)
      if kind in (0, 3):
        return recordio.unpack(recordio.MAGIC_BYTES.join(parts))
      kinds, at, size = (2, 3), after, 0

  def _part(self, at, size, kinds):
    """(content, kind, first byte after it) of the part at byte `at`."""
    head = recordio.PART.size
    data = self.bytes_at(at, max(size, head))
    if len(data) < head:
      raise _problem(at, PAST_END)
    magic, coded = recordio.PART.unpack_from(data)
    if magic != recordio.MAGIC or at % 4:
      raise _problem(at, NO_RECORD)
    kind, length = coded >> recordio.LENGTH_BITS, coded & recordio.MAX_LENGTH
    if kind not in kinds:
      raise _problem(at, BROKEN)
    stop = head + length
    after = at + stop + -stop % 4
    if after > self.size:
      raise _problem(at, CUT_OFF)
    if length > MAX_RECORD_BYTES:
      raise _problem(at, TOO_LARGE)
    if len(data) < stop:
      data += self.bytes_at(at + len(data), stop - len(data))
    if len(data) < stop:  # the file has become shorter
      raise _problem(at, CUT_OFF)
    return data[head:stop], kind, after


def _problem(at: int, code: int) -> ValueError:
  return ValueError(f'at byte {at}: it {PROBLEMS[code]}')
