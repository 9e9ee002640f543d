"""Damage done to files on purpose."""

import os
import pathlib

import numpy as np


def flip(path: pathlib.Path) -> None:
  """Another bit at a byte that the file's name and size decide."""
  content = bytearray(path.read_bytes())
  generator = np.random.default_rng([len(content), *os.fsencode(path.name)])
  place = generator.integers(len(content))
  content[place] ^= 1 << generator.integers(8)
  path.write_bytes(content)


def cut(path: pathlib.Path) -> None:
  """A byte less."""
  os.truncate(path, path.stat().st_size - 1)


def empty(path: pathlib.Path) -> None:
  os.truncate(path, 0)


def remove(path: pathlib.Path) -> None:
  path.unlink()


def make_unreadable(path: pathlib.Path) -> None:
  """For root too, to whom permissions mean nothing."""
  path.unlink()
  path.symlink_to(path.name)


def files(folder: pathlib.Path) -> list[str]:
  """All files of a folder, from it on."""
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob('*')
    if path.is_file()
  )


ALL = (flip, cut, empty, remove, make_unreadable)
