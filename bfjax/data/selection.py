"""A source with other rows or labels: cleaned, filtered or renamed."""

import functools
import os
from collections.abc import Callable, Sequence

import numpy as np

from bfjax import errors, text
from bfjax.data import checks, labelled, listforms, lists
from bfjax.data.names import Names
from bfjax.text import printable


class Rows:
  """Some of the rows of `labelled.Images`, in any order, and more than once."""

  def __init__(self, images: labelled.Images, rows: np.ndarray):
    """Takes the images and which of them: int64 [n]."""
    self._images, self._rows = images, rows
    self.num_rows = len(rows)

  def read(self, rows) -> list[bytes]:
    """See `labelled.Images`."""
    return self._images.read(self._rows[rows])

  def name(self, row: int) -> str:
    """See `labelled.Images`."""
    return self._images.name(int(self._rows[row]))

  def path(self, row: int) -> str:
    """See `labelled.Images`."""
    return self._images.path(int(self._rows[row]))


def select(
  source: labelled.Source,
  *,
  rows: np.ndarray | None = None,
  labels: np.ndarray | None = None,
  class_names: Sequence[str] | None = None,
) -> labelled.Source:
  """Some rows of a source, with labels of its own.

  Classes that no label is of, given or true, are left out and the others
  numbered anew, in their order.

  Args:
    source: the images.
    rows: int64 [n], which rows of `source`, in which order; None for all.
    labels: int32 [source.num_rows], None for those of `source`.
    class_names: of each label; None for those of `source`.
  """
  labels = source.labels if labels is None else labels
  true = source.true_labels
  if rows is not None:
    labels = labels[rows]
    true = None if true is None else true[rows]
  return labelled.Source(
    source if rows is None else Rows(source, rows),
    *labelled.used_classes(labels, true, class_names or source.class_names),
  )


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


def find_rows(
  names: Names | Callable[[Names], np.ndarray],
  listed: Names,
  where: Callable[[int], str],
) -> np.ndarray:
  """The rows of the images that a file lists, int64 [n].

  Args:
    names: of all images, none twice; or what finds rows, -1 where there is no
      such image.
    listed: the names in the file.
    where: tells the place of one of them in it, for messages.

  Raises:
    UserError: if one is not in the data set, or is listed twice.
  """
  rows = names(listed) if callable(names) else names.places(listed)
  absent = np.flatnonzero(rows < 0)
  if len(absent):
    first = int(absent[0])
    raise errors.UserError(
      f'{where(first)}: {printable(listed[first])} is not in the data set '
      f'({len(absent)} of the {len(rows)} images listed are not). Is it the '
      'list of this data set?'
    )
  if twice := checks.first_twice(rows, rows.__getitem__):
    first, again = twice
    raise errors.UserError(
      f'{where(again)}: {printable(listed[again])} is listed already in '
      f'{where(first)}. Remove one of the two.'
    )
  return rows


def relabel(
  labels: np.ndarray,
  rows: np.ndarray,
  new: Names,
  class_names: Sequence[str],
  where: Callable[[int], str],
) -> np.ndarray:
  """`labels` with those of some rows replaced.

  Args:
    labels: int32 [n].
    rows: int64 [k], which.
    new: the names of their classes.
    class_names: of each label, none twice.
    where: tells where one of them is from, for messages.

  Returns:
    int32 [n].

  Raises:
    UserError: if there is no such class.
  """
  if not isinstance(class_names, Names):
    class_names = Names.of(class_names)
  numbers = class_names.places(new)
  if len(rows) and numbers.min() < 0:
    first = int(np.argmin(numbers))
    raise errors.UserError(
      f'{where(first)}: no image of the data set has the label '
      f'"{printable(new[first])}". Is it the list of this data set?'
    )
  labels = labels.copy()
  labels[rows] = numbers
  return labels


def read_truth(
  path: str,
  root: str,
  labels: np.ndarray,
  *,
  names: Names | Callable[[Names], np.ndarray],
  class_names: Sequence[str],
) -> np.ndarray:
  """`labels` with those in a list of flipped images replaced, int32.

  Args:
    path: the list, with TRUE labels.
    root: the folder of the images, or ''; see `lists.read`.
    labels: int32 [n], as given.
    names: of all images, see `find_rows`.
    class_names: of each label, as the list calls them.

  Raises:
    UserError: as `lists.read`, `find_rows` and `relabel`.
  """
  truth = lists.read(path, root)
  where = functools.partial(text.row_place, path)
  rows = find_rows(names, truth.names, where)
  new = Names.of_numbers(truth.labels)
  return relabel(labels, rows, new, class_names, where)


def read_names(path: str | os.PathLike) -> Names:
  """Reads a list of images, each once.

  The lines are names, or columns `row<TAB>name<TAB>...` as the logs of a run
  have them, with or without a header.

  Raises:
    UserError: if the file cannot be read or is empty.
  """
  found, after = {}, None
  for _, line in text.byte_lines(path):
    fields = line.split(b'\t')
    if fields[:2] == [b'row', b'path']:
      after = len(fields) - 2  # columns after the path, which may hold tabs
      continue
    if len(fields) > 1 and fields[0].isdigit():
      end = 2 if after is None else max(2, len(fields) - after)
      line = b'\t'.join(fields[1:end])
    found[listforms.tidied(line)] = None
  if not found:
    raise errors.UserError(f'{path} names no images.')
  return Names.of(found)


def to_train_on(
  source: labelled.Source, kind: str
) -> tuple[labelled.Source, np.ndarray]:
  """Returns a source and int32 [num_rows], the labels that training is given.

  Args:
    source: of all rows.
    kind: 'given', 'true' for the true ones without the rows of nobody in the
      set, or 'right' for the rows alone whose given label is the true one.

  Raises:
    UserError: if true labels are asked for and not known.
  """
  if kind == 'given':
    return source, source.labels
  true = source.true_labels
  if true is None:
    raise errors.UserError(
      f'data.labels={kind!r}, but this data set does not say what its true'
      ' labels are. Give data.truth, or train on the given labels.'
    )
  kept = true == source.labels if kind == 'right' else true != labelled.NOBODY
  if not kept.all():
    source = select(source, rows=np.flatnonzero(kept))
  assert source.true_labels is not None  # those of some of its rows
  return source, source.true_labels
