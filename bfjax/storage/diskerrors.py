"""Full, read-only and failing disks, each told in one message."""

import atexit
import contextlib
import errno
import functools
import gc
import logging
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator

from bfjax import errors

_LARGEST_FILE = 1 << 31  # that TensorStore writes
_OVERHEAD = 1 << 20  # of a checkpoint, beside its arrays, in bytes


@contextlib.contextmanager
def writing_to(
  folder: str | os.PathLike,
  remedy: str = '',
  also: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
  """Makes an error of the body, which writes to a folder, one message.

  Args:
    folder: errors of files elsewhere pass.
    remedy: sentences at the end of the message.
    also: what libraries raise in place of OSError.

  Raises:
    UserError: for OSErrors and for `also`.
  """
  try:
    yield
  except (OSError, *also) as error:  # type: ignore[misc]
    name = getattr(error, 'filename', None)
    path = pathlib.Path(name if isinstance(name, str) else folder).absolute()
    if not path.is_relative_to(pathlib.Path(folder).absolute()):
      raise
    raise errors.UserError(
      f'Cannot write to {folder}: {_reason(error)}. {remedy}'.rstrip()
    ) from error


def _reason(error) -> str:
  """In the system's words, where it has any."""
  code = re.search(r"os_error_code='(\d+)'", str(error))  # of TensorStore
  if code:
    return os.strerror(int(code[1]))
  return getattr(error, 'strerror', None) or str(error).splitlines()[0]


def check_room(folder: str | os.PathLike, num_bytes: int) -> None:
  """Makes sure that a checkpoint of so many bytes can be written to a folder.

  To know it before is worth it: what TensorStore leaves behind when the disk
  is full in the middle of a save is not seen through.

  Raises:
    OSError: if there is no room, the folder is read-only, or files may not
      grow so large.
  """
  with tempfile.TemporaryFile(dir=os.fspath(folder)) as file:
    file.truncate(min(num_bytes, _LARGEST_FILE))
  needed, free = num_bytes + _OVERHEAD, shutil.disk_usage(folder).free
  if free < needed:
    raise OSError(
      errno.ENOSPC,
      f'{os.strerror(errno.ENOSPC)} ({needed / 1e6:.1f} MB are needed,'
      f' {free / 1e6:.1f} MB free)',
    )


@functools.cache
def quieten() -> None:
  """Keeps off standard error what a failed save makes libraries say there.

  They raise it, too: Orbax logs it in each of its threads, asyncio once more
  for every array, and TensorStore's threads find that nobody listens.
  """

  def is_wanted(record):
    return record.name != 'asyncio' and 'orbax' not in record.pathname

  for name in ('absl', 'asyncio'):
    logging.getLogger(name).addFilter(is_wanted)
  show = sys.unraisablehook

  def hook(unraisable):
    if str(unraisable.exc_value) != 'Event loop is closed':
      show(unraisable)

  sys.unraisablehook = hook
  # What is found in memory later, Python itself complains of.
  atexit.register(gc.collect)
