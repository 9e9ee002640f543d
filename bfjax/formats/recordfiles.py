"""Files of records, read anywhere through a memory map."""

import mmap
import os
import stat
import weakref

from bfjax import errors
from bfjax.formats import recordio
from bfjax.text import printable

# Pages of the file that a reader has touched are given back after as many
# bytes, or the whole file would in time count as memory of the process.
_RELEASE_BYTES = 1 << 29
# To touch a page is to get all that the system holds in one piece around it.
_TOUCHED_BYTES = 1 << 21


def payload_at(data, offset: int) -> bytes:
  """The payload of the record that starts at byte `offset`.

  Args:
    data: the whole file, as bytes or a memory map.
    offset: of the first part.

  Raises:
    ValueError: if no whole record starts there; the message tells what is
      wrong, and at which byte.
  """
  parts = []
  total = 0
  expected = (0, 1)
  at = offset
  while True:
    start, stop, cflag = _part_at(data, at, expected)
    parts.append(data[start:stop])
    total += stop - start + 4
    if total > recordio.MAX_LENGTH + 4 or len(parts) > recordio.MAX_PARTS:
      raise ValueError(
        f'at byte {at}: {len(parts)} parts of {total} bytes together, more '
        'than a record may have'
      )
    if cflag in (0, 3):
      return parts[0] if len(parts) == 1 else recordio.MAGIC_BYTES.join(parts)
    expected = (2, 3)
    at = stop + -stop % 4


def _part_at(data, at: int, expected) -> tuple[int, int, int]:
  """(first byte, byte after the last, cflag) of the part at byte `at`."""
  size = len(data)
  if at < 0 or at % 4:
    raise ValueError(f'at byte {at}: records start at multiples of 4')
  if at + recordio.PART.size > size:
    raise ValueError(f'at byte {at}: the file ends at byte {size}')
  magic, coded = recordio.PART.unpack_from(data, at)
  if magic != recordio.MAGIC:
    raise ValueError(
      f'at byte {at}: {magic:#010x} instead of the magic number '
      f'{recordio.MAGIC:#010x}'
    )
  cflag, length = coded >> recordio.LENGTH_BITS, coded & recordio.MAX_LENGTH
  if cflag not in expected:
    kinds = ' or '.join(map(str, expected))
    raise ValueError(f'at byte {at}: a part of kind {cflag}; expected {kinds}')
  start = at + recordio.PART.size
  if start + length + -length % 4 > size:
    raise ValueError(
      f'at byte {at}: a part of {length} bytes, cut off by the end of the file '
      f'at byte {size}'
    )
  return start, start + length, cflag


class RecordFile:
  """Random access to the records of a file through a memory map.

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
    self._open()

  def _open(self):
    self._unreleased = 0
    try:
      # A pipe is refused below; without the flag, to open it would wait.
      self._file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
      self._close_file = weakref.finalize(self, os.close, self._file)
      status = os.fstat(self._file)
      self.size = status.st_size
      if stat.S_ISREG(status.st_mode) and self.size:
        self.data = mmap.mmap(self._file, 0, prot=mmap.PROT_READ)
        return
    except OSError as error:
      raise errors.UserError(
        f'Cannot open {printable(self.path)}: {error.strerror}.'
      ) from error
    raise errors.UserError(
      f'{printable(self.path)} is no file, or an empty one.'
    )

  def close(self) -> None:
    """Closes the file; nothing can be read after it."""
    self._close_file()
    self.data.close()

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()

  def __getstate__(self):
    return self.path

  def __setstate__(self, path):
    self.path = path
    self._open()

  def fetch(self, start: int, length: int) -> None:
    """Asks the system to read these bytes ahead; does not wait for them."""
    os.posix_fadvise(self._file, start, length, os.POSIX_FADV_WILLNEED)

  def release(self) -> None:
    """Takes the pages read so far off the memory of this process."""
    self._unreleased = 0
    self.data.madvise(mmap.MADV_DONTNEED)

  def check_size(self) -> None:
    """Raises UserError if the file has become shorter since it was opened.

    To read a memory map past the end of its file ends the process.
    """
    size = os.fstat(self._file).st_size
    if size < self.size:
      raise errors.UserError(
        f'{printable(self.path)} had {self.size} bytes and has {size} '
        'now: something writes to it. Wait until it is whole, start again.'
      )

  def read(self, offset: int) -> recordio.Record:
    """The record at byte `offset`.

    Call `check_size` shortly before.

    Raises:
      ValueError: if there is none; the message tells what is wrong.
    """
    return recordio.unpack(self._payload(offset))

  def read_image(self, offset: int) -> bytes:
    """The image of that record, likewise; quicker than `read`."""
    return recordio.image(self._payload(offset))

  def _payload(self, offset):
    payload = payload_at(self.data, offset)
    self._unreleased += len(payload) + _TOUCHED_BYTES
    if self._unreleased > _RELEASE_BYTES:
      self.release()
    return payload
