"""Sets that are being written: `OUT.partial`, until they are whole.

The set grows in a folder with a journal that says what it is and how far it
has come, and is renamed in the end. Whoever finds `OUT` finds a set that is
complete; the same command, started again, goes on with `OUT.partial`.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

from bfjax import atomic, errors
from bfjax.text import printable

JOURNAL = 'bfjax-pack.json'
# For what is needed while the set is checked.
SCRATCH = '.bfjax-scratch'
# What a kill leaves of files that are written aside and renamed.
_DRAFT = re.compile(r'[.].+[.]([0-9a-f]{32}|draft)')


@contextlib.contextmanager
def folder(out: pathlib.Path, record: dict) -> Iterator[pathlib.Path]:
  """Gives the folder in which `out` grows, locked against other processes.

  If the body raises, the folder stays, to be gone on with; if nothing was
  saved in it, it is removed.

  Args:
    out: what shall be made; must not be there.
    record: what makes this set another one than others: JSON.

  Raises:
    UserError: if `out` is there, the folder is of another set or in use, or
      it or what the body writes cannot be written.
  """
  if os.path.lexists(out):
    if read_journal(out).get('complete'):
      (out / JOURNAL).unlink()
    raise errors.UserError(
      f'There is {printable(str(out))} already. Give another --out, or remove '
      'it first.'
    )
  partial = out.with_name(f'{out.name}.partial')
  with contextlib.ExitStack() as stack:
    try:
      partial.mkdir(parents=True, exist_ok=True)
      lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
      stack.callback(os.close, lock)
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
      stack.callback(_remove_unsaved, partial)
      for path in partial.iterdir():
        if _DRAFT.fullmatch(path.name):
          path.unlink()
      _claim(partial, record)
      yield partial
    except BlockingIOError as error:
      raise errors.UserError(
        f'Another process is writing {printable(str(partial))}.'
      ) from error
    except OSError as error:
      name = printable(os.fsdecode(error.filename or partial))
      raise errors.UserError(
        f'Cannot write {name}: {error.strerror or error}. If the disk is full, '
        'make room and start the same command again: it goes on.'
      ) from error


def _remove_unsaved(partial: pathlib.Path) -> None:
  with contextlib.suppress(OSError, errors.UserError):
    if read_journal(partial).keys() == {'record'}:
      shutil.rmtree(partial)


def _claim(partial: pathlib.Path, record: dict) -> None:
  """Writes the journal, or finds the same one there."""
  if not any(partial.iterdir()):
    write_journal(partial, {'record': record})
    return
  other = read_journal(partial).get('record') or {}
  if other != record:
    keys = [*record, *(key for key in other if key not in record)]
    differing = [key for key in keys if other.get(key) != record.get(key)]
    raise errors.UserError(
      f'There is {printable(str(partial))} already, of another set or another '
      f'command: {", ".join(differing)} differ. Remove it, or give another '
      '--out.'
    )


def read_journal(partial: pathlib.Path) -> dict:
  """The journal of a partial set; {} if there is none.

  Raises:
    UserError: if it is damaged.
  """
  path = partial / JOURNAL
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (FileNotFoundError, NotADirectoryError):
    return {}
  except ValueError as error:
    raise errors.UserError(
      f'{printable(str(path))} is damaged. Remove the folder and start again.'
    ) from error


def is_incomplete(folder: str | os.PathLike) -> bool:
  """Whether a set is still being written in this folder."""
  folder = pathlib.Path(folder)
  return (folder / JOURNAL).exists() and not read_journal(folder).get(
    'complete'
  )


def write_journal(partial: pathlib.Path, journal: dict) -> None:
  """Replaces the journal."""
  atomic.write_text(partial / JOURNAL, json.dumps(journal))


def complete(partial: pathlib.Path, out: pathlib.Path, file: str = '') -> None:
  """Makes a partial set, or one file of it, `out`; raises OSError."""
  shutil.rmtree(partial / SCRATCH, ignore_errors=True)
  # What is renamed must be on the disk before its new name is.
  os.sync()
  if file:
    os.rename(partial / file, out)
    shutil.rmtree(partial)
    return
  write_journal(partial, read_journal(partial) | {'complete': True})
  os.rename(partial, out)
  (out / JOURNAL).unlink()
