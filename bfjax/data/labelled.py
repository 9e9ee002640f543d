"""Labelled images by row number: what a source gives; names of its classes."""

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from bfjax import atomic, errors

NOBODY = -1  # the true label of an image of nobody in the set
_CHUNK = 4096


class Source(Protocol):
  """Training images by row number, with labels.

  A row's number is its identity for good: it indexes the label table.

  Attributes:
    num_rows: the number of images.
    num_classes: the number of classes.
    labels: int32 [num_rows], the labels as given, 0 .. num_classes - 1.
    true_labels: int32 [num_rows], `NOBODY` for an image of nobody in the set;
      or None where they are not known.
    class_names: of each class, the label as the user wrote it.
    fingerprint: hexadecimal digest of names and labels; a run is not resumed
      on other data.
  """

  num_rows: int
  num_classes: int
  labels: np.ndarray
  true_labels: np.ndarray | None
  class_names: Sequence[str]
  fingerprint: str

  def read(self, rows: np.ndarray) -> list[bytes]:
    """The encoded images of `rows`, int [n]; may be called from any thread.

    Raises:
      UserError: if one cannot be read; the message names it.
    """

  def name(self, row: int) -> str:
    """What the user calls this image: its path as listed."""

  def path(self, row: int) -> str:
    """Where it lies, for messages: its absolute path."""


def fingerprint(paths: Iterable[bytes], labels: np.ndarray) -> str:
  """SHA-256, in hexadecimal, of names and labels in row order.

  Args:
    paths: the name of each row; `ImageFiles.names_bytes()` gives them.
    labels: int32 [num_rows].
  """
  digest = hashlib.sha256()
  paths = iter(paths)
  while len(chunk := list(itertools.islice(paths, _CHUNK))) == _CHUNK:
    digest.update(b'\n'.join(chunk) + b'\n')
  digest.update(b'\n'.join(chunk))
  digest.update(np.ascontiguousarray(labels, '<i4'))
  return digest.hexdigest()


def save_class_names(
  path: str | os.PathLike, class_names: Iterable[str]
) -> None:
  """Writes the lines `class<TAB>label as given`, in order of the classes."""
  with (
    atomic.writing(path) as draft,
    draft.open('w', encoding='utf-8', errors='surrogateescape') as file,
  ):
    file.writelines(f'{i}\t{x}\n' for i, x in enumerate(class_names))


def read_class_names(path: str | os.PathLike) -> list[str]:
  """The names in such a file, in order of the classes.

  Raises:
    UserError: if a line is not `class<TAB>name` with its own number.
  """
  names = []
  with open(path, encoding='utf-8', errors='surrogateescape') as file:
    for number, line in enumerate(file):
      index, tab, name = line.removesuffix('\n').partition('\t')
      if not tab or index != str(number):
        raise errors.UserError(
          f'{path}:{number + 1}: expected `{number}<TAB>name`, not {line!r}.'
        )
      names.append(name)
  return names
