"""A source with other rows or labels: cleaned, filtered or renamed."""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bfjax import errors
from bfjax.data import labelled, listforms
from bfjax.data.names import Names
from bfjax.text import printable


class Selection:
  """A `labelled.Source` of some rows of another one, with labels of its own.

  Classes that no label is of, given or true, are left out and the others
  numbered anew, in their order.
  """

  def __init__(
    self,
    source: labelled.Source,
    *,
    rows: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    true_labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
  ):
    """Takes what is to differ from the source.

    Args:
      source: the images.
      rows: int64 [n], which rows of `source`, in which order; None for all.
      labels: int32 [source.num_rows], None for those of `source`.
      true_labels: likewise.
      class_names: of each label; None for those of `source`.
    """
    self._source = source
    self._rows = rows
    labels = source.labels if labels is None else labels
    true_labels = source.true_labels if true_labels is None else true_labels
    names = source.class_names if class_names is None else class_names
    if rows is not None:
      labels = labels[rows]
      true_labels = None if true_labels is None else true_labels[rows]
    self.labels, self.true_labels, self.class_names = used_classes(
      labels, true_labels, names
    )

  @property
  def num_rows(self) -> int:
    return len(self.labels)

  @property
  def num_classes(self) -> int:
    return len(self.class_names)

  @functools.cached_property
  def fingerprint(self) -> str:
    return labelled.fingerprint(names_bytes(self), self.labels)

  def read(self, rows) -> list[bytes]:
    return self._source.read(self._of(rows))

  def name(self, row: int) -> str:
    return self._source.name(int(self._of(row)))

  def path(self, row: int) -> str:
    return self._source.path(int(self._of(row)))

  def _of(self, rows):
    return rows if self._rows is None else self._rows[rows]


def used_classes(
  labels: np.ndarray, true_labels: np.ndarray | None, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray | None, Sequence[str]]:
  """Leaves out the classes that no row has.

  Args:
    labels: integers [n], 0 .. len(names) - 1.
    true_labels: likewise or `labelled.NOBODY`, or None.
    names: of each class.

  Returns:
    int32 labels, int32 true labels or None, and names, numbered anew.
  """
  used = np.zeros(len(names), bool)
  used[labels] = True
  if true_labels is not None:
    used[true_labels[true_labels != labelled.NOBODY]] = True
    true_labels = true_labels.astype(np.int32, copy=False)
  labels = labels.astype(np.int32, copy=False)
  if used.all():
    return labels, true_labels, names
  number = np.cumsum(used, dtype=np.int32) - np.int32(1)
  if true_labels is not None:
    nobody = true_labels == labelled.NOBODY
    true_labels = np.where(nobody, labelled.NOBODY, number[true_labels])
  kept = Names.of(names[int(i)] for i in np.flatnonzero(used))
  return number[labels], true_labels, kept


def check_true_classes(source: labelled.Source) -> None:
  """Refuses true classes that no image is labelled with.

  In a list of true labels, those of the training list are all there are.

  Raises:
    UserError: if there is one; it is named.
  """
  if source.true_labels is None:
    return
  is_given = np.zeros(source.num_classes, bool)
  is_given[source.labels] = True
  true = source.true_labels
  lost = np.flatnonzero(~is_given[true] & (true != labelled.NOBODY))
  if len(lost):
    name = source.class_names[true[lost[0]]]
    raise errors.UserError(
      f'{len(lost)} images are truly of classes that no image is labelled with '
      f'("{printable(name)}" the first), which this format cannot tell. Write '
      'tfds, or leave --truth out.'
    )


def names_bytes(source: labelled.Source) -> Iterable[bytes]:
  """The names of the rows of a source, in order."""
  return (os.fsencode(source.name(row)) for row in range(source.num_rows))


def relabel(
  names: Iterable[bytes],
  labels: np.ndarray,
  class_names: Sequence[str],
  new: Mapping[bytes, str],
  file: str,
) -> np.ndarray:
  """`labels` with those of the images in `new` replaced.

  Args:
    names: of each row.
    labels: int32 [rows].
    class_names: of each label.
    new: image -> the name of its class.
    file: where they are from, for messages.

  Returns:
    int32 [rows].

  Raises:
    UserError: if there is no such image or no such class.
  """
  wanted = set(new.values())
  number = {name: i for i, name in enumerate(class_names) if name in wanted}
  for image, name in new.items():
    if name not in number:
      raise errors.UserError(
        f'{file}: {_shown(image)} shall have the label {name!r}, which no image'
        ' of the data set has. Is the file of this data set?'
      )
  found = _rows_of(names, new, file)
  labels = labels.copy()
  for row, image in found:
    labels[row] = number[new[image]]
  return labels


def rows_without(
  names: Iterable[bytes], dropped: Mapping[bytes, int], num_rows: int, file: str
) -> np.ndarray:
  """int64 [n], the rows whose names are not among `dropped`.

  Raises:
    UserError: if there is no image of such a name.
  """
  kept = np.ones(num_rows, bool)
  kept[[row for row, _ in _rows_of(names, dropped, file)]] = False
  return np.flatnonzero(kept)


def _rows_of(names, wanted, file) -> list[tuple[int, bytes]]:
  found = [(row, name) for row, name in enumerate(names) if name in wanted]
  missing = wanted.keys() - {name for _, name in found}
  if missing:
    raise errors.UserError(
      f'{file}: {len(missing)} of its {len(wanted)} images are not in the data '
      f'set, {_shown(min(missing))} the first. Is the file of this data set?'
    )
  return found


def read_names(path: str | os.PathLike) -> dict[bytes, int]:
  """Reads a list of images: name -> line number.

  The lines are names, or columns `row<TAB>name<TAB>...` as the logs of a run
  have them, with or without a header.

  Raises:
    UserError: if the file cannot be read or is empty.
  """
  try:
    with open(path, 'rb') as file:
      lines = [line.strip(b'\r\n') for line in file]
  except OSError as error:
    raise errors.UserError(
      f'Cannot read {str(path)!r}: {error.strerror}.'
    ) from error
  found = {}
  for number, line in enumerate(lines, 1):
    fields = line.split(b'\t')
    if len(fields) > 1 and fields[0].isdigit():
      line = fields[1]
    elif fields[:2] == [b'row', b'path']:
      continue
    if line:
      found[listforms.tidied(line)] = number
  if not found:
    raise errors.UserError(f'{path} names no images.')
  return found


def _shown(name: bytes) -> str:
  return printable(os.fsdecode(name))
