"""Labelled images by row number: what a source gives, and its classes."""

import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from bfjax import atomic, errors, text
from bfjax.data.names import Names

NOBODY = -1  # the true label of an image of nobody in the set
_CHUNK = 4096


class Images(Protocol):
  """Encoded images by row number, such as `files.ImageFiles`."""

  @property
  def num_rows(self) -> int:
    """How many."""

  def read(self, rows: np.ndarray) -> list[bytes]:
    """The encoded images of `rows`, int [n]; may be called from any thread.

    Raises:
      UserError: if one cannot be read; the message names it.
    """

  def name(self, row: int) -> str:
    """What the user calls this image: its path as listed."""

  def path(self, row: int) -> str:
    """Where it lies, for messages: its absolute path."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
  """Training images by row number, with labels; itself `Images`.

  A row's number is its identity for good: it indexes the label table.

  Attributes:
    images: those of the rows; what they call `names`, where they do, are the
      names of all.
    labels: int32 [num_rows], the labels as given, 0 .. num_classes - 1.
    true_labels: int32 [num_rows], `NOBODY` for an image of nobody in the set;
      or None where they are not known.
    class_names: of each class, the label as the user wrote it.
    digest: what tells these data from others; '' for that of names and labels.
    num_left_out: images that are damaged, and are no rows.
  """

  images: Images
  labels: np.ndarray
  true_labels: np.ndarray | None
  class_names: Sequence[str]
  digest: str = ''
  num_left_out: int = 0

  @property
  def num_rows(self) -> int:
    """How many rows there are."""
    return len(self.labels)

  @property
  def num_classes(self) -> int:
    """How many classes there are."""
    return len(self.class_names)

  @property
  def names(self) -> Names:
    """The names of all rows, in order."""
    known = getattr(self.images, 'names', None)
    return known or Names.of(self.name(row) for row in range(self.num_rows))

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hexadecimal digest; a run is not resumed on other data."""
    return self.digest or fingerprint(self.names.all_encoded(), self.labels)

  def read(self, rows: np.ndarray) -> list[bytes]:
    """See `labelled.Images`."""
    return self.images.read(rows)

  def name(self, row: int) -> str:
    """See `labelled.Images`."""
    return self.images.name(row)

  def path(self, row: int) -> str:
    """See `labelled.Images`."""
    return self.images.path(row)


def fingerprint(paths: Iterable[bytes], labels: np.ndarray) -> str:
  """SHA-256, in hexadecimal, of names and labels in row order.

  Args:
    paths: the name of each row; `names.Names.all_encoded()` gives them.
    labels: int32 [num_rows].
  """
  digest = hashlib.sha256()
  paths = iter(paths)
  while len(chunk := list(itertools.islice(paths, _CHUNK))) == _CHUNK:
    digest.update(b'\n'.join(chunk) + b'\n')
  digest.update(b'\n'.join(chunk))
  digest.update(np.ascontiguousarray(labels, '<i4').data)
  return digest.hexdigest()


def dense(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Numbers labels without gaps, in ascending order.

  Args:
    given: integers from 0, [n].

  Returns:
    int32 [n], the numbers, and int64, the label as given of each number.
  """
  largest = int(given.max(initial=0))
  if largest > 8 * len(given):
    values, labels = np.unique(given, return_inverse=True)
    return labels.astype(np.int32), values
  # Much quicker, and smaller, than sorting.
  is_used = np.zeros(largest + 1, bool)
  is_used[given] = True
  number = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
  return number[given], np.flatnonzero(is_used)


def used_classes(
  labels: np.ndarray, true_labels: np.ndarray | None, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray | None, Sequence[str]]:
  """Leaves out the classes that no row has, given or truly.

  Args:
    labels: integers [n], 0 .. len(names) - 1.
    true_labels: likewise or `NOBODY`, or None.
    names: of each class.

  Returns:
    int32 labels, int32 true labels or None, and names, numbered anew.
  """
  given = labels
  if true_labels is not None:
    true_labels = true_labels.astype(np.int32)
    is_member = true_labels != NOBODY
    given = np.concatenate([labels, true_labels[is_member]])
  numbers, used = dense(given)
  if true_labels is not None:
    true_labels[is_member] = numbers[len(labels) :]
  if len(used) < len(names):
    names = Names.of(names[int(i)] for i in used)
  return numbers[: len(labels)], true_labels, names


def save_class_names(
  path: str | os.PathLike, class_names: Iterable[str]
) -> None:
  """Writes the lines `class<TAB>label as given`, in order of the classes."""
  with (
    atomic.writing(path) as draft,
    draft.open('w', encoding='utf-8', errors='surrogateescape') as file,
  ):
    file.writelines(f'{i}\t{x}\n' for i, x in enumerate(class_names))


def read_class_names(
  path: str | os.PathLike, labels: Iterable[int] | None = None
) -> list[str]:
  """The names in such a file.

  Args:
    path: of the file.
    labels: whose names are wanted; None for 0, 1, ..., as many as there are.

  Raises:
    UserError: if the file cannot be read, a line is not `label<TAB>name`, two
      are of one label or have one name, or a label has none.
  """
  names = {}
  for number, line in text.lines(path, 'the class names in'):
    label, tab, name = line.partition('\t')
    if not (tab and label.isdecimal() and name) or int(label) in names:
      expected = '`label<TAB>name`, each label once'
      raise text.bad_line(path, number, line, expected)
    names[int(label)] = name
  shown = text.printable(os.fspath(path))
  if len(set(names.values())) < len(names):
    raise errors.UserError(f'{shown}: two classes have one name.')
  wanted = range(len(names)) if labels is None else list(labels)
  for label in wanted:
    if label not in names:
      raise errors.UserError(
        f'{shown} has no line for the label {label}. It tells the names of the '
        'classes: complete it, or remove it to go without names.'
      )
  return [names[label] for label in wanted]
