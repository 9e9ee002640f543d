"""Digests of a folder's files: written with it, checked before it is read.

A list is a file `sha256sums` of lines `digest  path`, of files beside it and
below, as sha256sum(1) writes and checks them. Folders below may have lists of
their own; together they name every file but the list of the folder itself.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator

from bfjax import atomic

LIST = 'sha256sums'
_LINE = re.compile(r'([0-9a-f]{64})  (.+)', re.DOTALL)


def write(folder: str | os.PathLike) -> None:
  """Writes the list of all files in a folder that no list below it names.

  Raises:
    OSError: if a file cannot be read, or the list not be written.
  """
  folder = pathlib.Path(folder)
  listed, _ = _listed(folder)
  lines = [
    f'{of_file(folder / file)}  {file}\n'
    for file in sorted(set(_files(folder)) - listed.keys())
  ]
  atomic.write_text(folder / LIST, ''.join(lines))


def problems(
  folder: str | os.PathLike, share: int = 0, shares: int = 1
) -> list[str]:
  """What is wrong with a folder, a short text each; none if it is whole.

  Wrong is a file that is missing, cannot be read or is not what was written,
  one that no list names, and a folder without a list. Files whose names begin
  with a dot may be added: file systems and desktops leave such.

  Args:
    folder: one that `write` was the last to write to.
    share: which part of the files' contents is read, where several processes
      share the work.
    shares: into how many parts.
  """
  folder = pathlib.Path(folder)
  try:
    there = set(_files(folder))
    listed, wrong = _listed(folder)
  except OSError as error:
    return [_unreadable(error.filename, error)]
  if LIST not in there:
    return [f'no {LIST}: cut short, or of a version that wrote none']
  wrong += [f'{file}: missing' for file in sorted(listed.keys() - there)]
  wrong += [
    f'{file}: not in {LIST}'
    for file in sorted(there - listed.keys() - {LIST})
    if not pathlib.PurePosixPath(file).name.startswith('.')
  ]

  def check(file):
    try:
      if of_file(folder / file) != listed[file]:
        return f'{file}: not what was written'
    except OSError as error:
      return _unreadable(file, error)
    return None

  mine = sorted(there & listed.keys())[share::shares]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return wrong + [problem for problem in pool.map(check, mine) if problem]


def _listed(folder) -> tuple[dict[str, str], list[str]]:
  """Path -> digest, of all lists in a folder; and what is wrong with them."""
  listed, wrong = {}, []
  for file in map(pathlib.PurePosixPath, _files(folder)):
    if file.name != LIST:
      continue
    text = (folder / file).read_bytes().decode(errors='replace')
    *lines, rest = text.split('\n')
    matches = [_LINE.fullmatch(line) for line in lines]
    if rest or not all(matches):
      wrong.append(f'{file}: not what was written')
    for match in filter(None, matches):
      listed[(file.parent / match[2]).as_posix()] = match[1]
  return listed, wrong


def _files(folder: pathlib.Path) -> Iterator[str]:
  """Paths of the files in a folder and below, from it on, with slashes."""
  for path in folder.rglob('*'):
    if path.is_file():
      yield path.relative_to(folder).as_posix()


def of_file(path: pathlib.Path) -> str:
  """SHA-256, in hexadecimal."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _unreadable(file: str, error: OSError) -> str:
  return f'{file}: cannot be read ({error.strerror})'
