"""Image files on disk by row number, compact enough for millions of them."""

import os
import stat
from collections.abc import Iterable, Iterator

import numpy as np

from bfjax import errors
from bfjax.data import checks, names, places
from bfjax.text import printable

# A stat on a network file system takes about a millisecond, nearly all of it
# waiting, so many of them are asked for at once.
_STAT_THREADS = 16
_STAT_CHUNK = 1024
# Of so many images one is there, or something is wrong with all of them.
_FIRST = 16

# An open or a read that would wait for a pipe's other end fails instead.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_FIRST_READ_BYTES = 1 << 16
# Whoever reads a chunk of images holds all their files in memory.
MAX_FILE_BYTES = 1 << 28


class ImageFiles:
  """Image files `root/path`, numbered 0 to num_rows - 1 in the order given.

  There is no Python object per image, see `names.Names`. All methods may be
  called from several threads, and instances can be pickled.

  Attributes:
    num_rows: the number of files.
    names: the paths as they were given, relative to the root.
    root: the folder the paths are relative to, absolute.
  """

  def __init__(self, paths: Iterable[str | bytes], root: str | os.PathLike):
    """Takes the paths, in order, and the folder they are relative to.

    An absolute path stays as it is. `names.Names` are not copied.
    """
    self.names: names.Names = (
      paths if isinstance(paths, names.Names) else names.Names.of(paths)
    )
    self.root = os.path.abspath(root)
    # Of an empty name, the root itself.
    self._prefix = os.path.join(os.fsencode(self.root), b'')
    self.num_rows = len(self.names)

  def __len__(self) -> int:
    return self.num_rows

  def _path_bytes(self, row: int) -> bytes:
    name = self.names.encoded(self._checked(row))
    return name if name.startswith(b'/') else self._prefix + name

  def _checked(self, row: int) -> int:
    if not 0 <= row < self.num_rows:
      raise IndexError(f'row {row} of {self.num_rows} image files')
    return row

  def name(self, row: int) -> str:
    """The path as it was given, relative to the root."""
    return self.names[self._checked(row)]

  def path(self, row: int) -> str:
    """The absolute path."""
    return os.fsdecode(self._path_bytes(row))

  def read(self, rows) -> list[bytes]:
    """Returns the contents of the files of `rows` (int [n]), in their order.

    Raises:
      UserError: if one is no file, is larger than MAX_FILE_BYTES, or cannot be
        read; the message names it.
    """
    rows = np.asarray(rows, np.int64).reshape(-1)
    if rows.size:
      self._checked(rows.min())
      self._checked(rows.max())
    blob, offsets, prefix = self.names.blob, self.names.offsets, self._prefix
    starts, stops = offsets[rows].tolist(), offsets[rows + 1].tolist()
    contents = []
    # All that happens once a file is in this loop: it is a tenth of decoding.
    for start, stop in zip(starts, stops, strict=True):
      name = blob[start:stop]
      path = prefix + name if name[:1] != b'/' else name
      try:
        file = os.open(path, _OPEN_FLAGS)
        try:
          content = os.read(file, _FIRST_READ_BYTES)
          if len(content) == _FIRST_READ_BYTES or not content:
            content = _rest(file, content)
        finally:
          os.close(file)
      except OSError as error:
        raise _cannot_read(path, error) from error
      contents.append(content)
    return contents

  def _problem(self, row: int, identities) -> str:
    """'' if the file is there and not empty, else what is wrong with it."""
    try:
      status = os.stat(self._path_bytes(row))
    except OSError as error:
      return error.strerror or str(error)
    if identities is not None and status.st_ino:  # not all systems have any
      identities[row] = hash((status.st_dev, status.st_ino))
    if not stat.S_ISREG(status.st_mode):
      return 'not a file'
    return '' if status.st_size else 'empty'

  def problems(
    self, identities: np.ndarray | None = None
  ) -> Iterator[tuple[int, str]]:
    """Looks every file up on disk, without reading it.

    Args:
      identities: int64 [num_rows] of zeros, or None; gets a number for each
        file that is there, the same one for the same file.

    Yields:
      (row, what is wrong) of each file that is missing, empty or no file at
      all, in order.
    """

    def look(rows):
      found = ((row, self._problem(row, identities)) for row in rows)
      return [(row, problem) for row, problem in found if problem]

    return checks.ahead(
      range(self.num_rows),
      look,
      chunk=_STAT_CHUNK,
      threads=_STAT_THREADS,
      title='Looking for the images',
    )

  def why_absent(self) -> str:
    """'' unless the first images are all missing: then what explains that."""
    first = range(min(self.num_rows, _FIRST))
    paths = [self.path(row) for row in first]
    if any(map(os.path.lexists, paths)):
      return ''
    why = places.explain(self.root, [self.name(row) for row in first])
    return why and printable(
      f'None of the first images is there, such as {paths[0]}. {why}'
    )

  def check_exist(self, identities: np.ndarray | None = None) -> None:
    """Raises if `problems` finds any.

    Args:
      identities: as `problems` takes them.

    Raises:
      UserError: tells how many images cannot be used and names the first, or
        what is wrong with the names of all.
    """
    if why := self.why_absent():
      raise errors.UserError(why)
    checks.refuse_any(
      (f'{self.path(r)}: {x}' for r, x in self.problems(identities)),
      self.num_rows,
      f'The paths are taken relative to {printable(self.root)}: is this the '
      'right root folder?',
    )


def _rest(file: int, content: bytes) -> bytes:
  """The whole file whose beginning has been read; OSError if it is no file."""
  status = os.fstat(file)
  if stat.S_ISDIR(status.st_mode):
    raise IsADirectoryError(0, 'Is a directory')
  if not stat.S_ISREG(status.st_mode):
    raise OSError(0, 'not a file')
  if status.st_size > MAX_FILE_BYTES:
    raise OSError(
      0, f'{status.st_size} bytes, and {MAX_FILE_BYTES} are the most'
    )
  parts = [content]
  left = status.st_size - len(content)
  while left > 0 and (more := os.read(file, left)):
    parts.append(more)
    left -= len(more)
  return b''.join(parts)


def _cannot_read(path: bytes, error: OSError) -> errors.UserError:
  return errors.UserError(
    f'Cannot read the image {printable(os.fsdecode(path))}: {error.strerror}. '
    'Restore the file or take it off the list.'
  )
