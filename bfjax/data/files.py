"""Image files on disk by row number, compact enough for millions of them."""

import concurrent.futures
import itertools
import os
import stat
from collections.abc import Iterable, Iterator

import numpy as np
import tqdm

from bfjax import errors

# A stat on a network file system takes about a millisecond, nearly all of it
# waiting, so many of them are asked for at once.
_STAT_THREADS = 16
_STAT_CHUNK = 1024
_NAMES_SHOWN = 5


class ImageFiles:
  """Image files `root/path`, numbered 0 to num_rows - 1 in the order given.

  The paths lie in one bytes object beside an int64 array of offsets: 6 million
  paths of 30 bytes take 230 MB, and there is no Python object per image. Paths
  need not be UTF-8: they are bytes here and, as is usual in Python, strings
  with surrogate escapes (`os.fsdecode`) outside.

  All methods may be called from several threads, and instances can be pickled.

  Attributes:
    num_rows: the number of files.
    root: the folder the paths are relative to, absolute.
  """

  def __init__(self, paths: Iterable[str | bytes], root: str | os.PathLike):
    """Takes the paths, in order, and the folder they are relative to.

    An absolute path stays as it is.
    """
    blob = bytearray()
    offsets = [0]
    for path in paths:
      blob += os.fsencode(path)
      offsets.append(len(blob))
    self._set(bytes(blob), np.asarray(offsets, np.int64), root)

  @classmethod
  def from_blob(
    cls, blob: bytes, offsets: np.ndarray, root: str | os.PathLike
  ) -> 'ImageFiles':
    """Takes paths already joined: number i is blob[offsets[i]:offsets[i + 1]].

    Args:
      blob: all paths, one after the other, nothing in between.
      offsets: int64 [num_rows + 1].
      root: the folder the paths are relative to.
    """
    files = cls.__new__(cls)
    files._set(blob, offsets, root)
    return files

  def _set(self, blob, offsets, root):
    self._blob = blob
    self._offsets = offsets
    self.root = os.path.abspath(root)
    self._root_bytes = os.fsencode(self.root)
    self.num_rows = len(offsets) - 1

  def __len__(self) -> int:
    return self.num_rows

  def _name_bytes(self, row: int) -> bytes:
    if not 0 <= row < self.num_rows:
      raise IndexError(f'row {row} of {self.num_rows} image files')
    return self._blob[self._offsets[row] : self._offsets[row + 1]]

  def _path_bytes(self, row: int) -> bytes:
    return os.path.join(self._root_bytes, self._name_bytes(row))

  def name(self, row: int) -> str:
    """The path as it was given, relative to the root."""
    return os.fsdecode(self._name_bytes(row))

  def path(self, row: int) -> str:
    """The absolute path."""
    return os.fsdecode(self._path_bytes(row))

  def names_bytes(self) -> Iterator[bytes]:
    """Yields the paths as given, in order."""
    for start, stop in itertools.pairwise(self._offsets.tolist()):
      yield self._blob[start:stop]

  def read(self, rows) -> list[bytes]:
    """Returns the contents of the files of `rows` (int [n]), in their order.

    Raises:
      UserError: if a file cannot be read; the message names it.
    """
    return [self._read_one(int(row)) for row in rows]

  def _read_one(self, row: int) -> bytes:
    try:
      return _contents(self._path_bytes(row))
    except OSError as error:
      raise errors.UserError(
        f'Cannot read the image {printable(self.path(row))}: '
        f'{error.strerror}. Restore the file or take it off the list.'
      ) from error

  def _problem(self, row: int) -> str:
    """'' if the file is there and not empty, else what is wrong with it."""
    try:
      status = os.stat(self._path_bytes(row))
    except OSError as error:
      return error.strerror
    if not stat.S_ISREG(status.st_mode):
      return 'not a file'
    return '' if status.st_size else 'empty'

  def _problems(self, start: int) -> list[tuple[int, str]]:
    rows = range(start, min(start + _STAT_CHUNK, self.num_rows))
    found = ((row, self._problem(row)) for row in rows)
    return [(row, problem) for row, problem in found if problem]

  def check_exist(self, progress: bool = True) -> None:
    """Looks every file up on disk, without reading it.

    Args:
      progress: whether to show a progress bar, with the time left.

    Raises:
      UserError: if files are missing, empty or no files at all; the message
        tells how many and names the first.
    """
    bad = []
    with (
      concurrent.futures.ThreadPoolExecutor(_STAT_THREADS) as pool,
      tqdm.tqdm(
        total=self.num_rows,
        desc='Looking for the images',
        unit='file',
        unit_scale=True,
        disable=not progress or self.num_rows < 10_000,
      ) as bar,
    ):
      starts = range(0, self.num_rows, _STAT_CHUNK)
      for start, found in zip(
        starts, pool.map(self._problems, starts), strict=True
      ):
        bad += found
        bar.update(min(_STAT_CHUNK, self.num_rows - start))
    if bad:
      raise errors.UserError(
        f'{len(bad)} of {self.num_rows} images cannot be used:\n'
        + first_lines(f'{self.path(r)}: {problem}' for r, problem in bad)
        + f'\nThe paths are taken relative to {printable(self.root)}: is this '
        'the right root folder?'
      )


def _contents(path: bytes) -> bytes:
  # Half the CPU time of `open`, which is a tenth of the decoding.
  file = os.open(path, os.O_RDONLY)
  try:
    size = os.fstat(file).st_size
    content = os.read(file, size)
    while len(content) < size and (more := os.read(file, size - len(content))):
      content += more
    return content
  finally:
    os.close(file)


def printable(name: str) -> str:
  """`name` with bytes that are not UTF-8 shown as \\xNN."""
  return os.fsencode(name).decode('utf-8', 'backslashreplace')


def first_lines(lines: Iterable[str]) -> str:
  """The first few of `lines`, printable and indented, for a message."""
  lines = iter(lines)
  shown = [f'  {printable(x)}' for x in itertools.islice(lines, _NAMES_SHOWN)]
  more = sum(1 for _ in lines)
  if more:
    shown.append(f'  ... and {more} more')
  return '\n'.join(shown)
