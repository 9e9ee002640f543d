"""Two sets made one: shared people are one class, others keep their own."""

from collections.abc import Sequence

import numpy as np

from bfjax.cleaning import overlap
from bfjax.data import labelled
from bfjax.data.names import Names

NEW = -1  # a class of the other set that none of ours is


class Joined:
  """The images of two sets as one, `labelled.Images`: ours, then the others'.

  Ours keep their names. The others' are in a folder `prefix/`.
  """

  def __init__(
    self, ours: labelled.Images, other: labelled.Images, prefix: str
  ):
    self._sets, self._prefix = (ours, other), prefix
    self._first = ours.num_rows
    self.num_rows = ours.num_rows + other.num_rows

  def read(self, rows: np.ndarray) -> list[bytes]:
    """As `labelled.Images.read`: in the order of `rows`."""
    rows = np.asarray(rows)
    is_other = rows >= self._first
    ours = iter(self._sets[0].read(rows[~is_other]))
    other = iter(self._sets[1].read(rows[is_other] - self._first))
    return [next(other if x else ours) for x in is_other]

  def name(self, row: int) -> str:
    """As `labelled.Images.name`."""
    if row < self._first:
      return self._sets[0].name(row)
    return f'{self._prefix}/{self._sets[1].name(row - self._first)}'

  def path(self, row: int) -> str:
    """As `labelled.Images.path`."""
    if row < self._first:
      return self._sets[0].path(row)
    return self._sets[1].path(row - self._first)


def classes_of(found: overlap.Overlap, num_classes: int) -> np.ndarray:
  """The class of ours that each class of the other set is.

  Args:
    found: what is the same in both; the others are classes.
    num_classes: of the other set.

  Returns:
    int32 [num_classes]: of several that match, the one with the highest cosine;
    NEW where none does.
  """
  best = np.full(num_classes, -np.inf)
  out = np.full(num_classes, NEW, np.int32)
  for match in found.matches:
    better = match.cosines > best[match.others]
    best[match.others[better]] = match.cosines[better]
    out[match.others[better]] = match.label
  return out


def join(
  ours: labelled.Source,
  other: labelled.Source,
  classes: np.ndarray,
  name: str,
) -> labelled.Source:
  """One set of two.

  Args:
    ours: its rows come first and its classes keep their numbers and names.
    other: its rows follow.
    classes: int [other.num_classes], the class of ours that each class of the
      other is, or NEW; these are numbered on.
    name: of the other set, short: where a name of it is one of ours, or might
      be, this is put before it.

  Returns:
    the source. True labels are known where both sets tell them.
  """
  new = np.flatnonzero(classes == NEW)
  number = np.array(classes, np.int32)
  number[new] = ours.num_classes + np.arange(len(new))
  folder = _free(name, (x.partition('/')[0] for x in ours.names))
  true_labels = None
  if ours.true_labels is not None and other.true_labels is not None:
    theirs = np.where(
      other.true_labels == labelled.NOBODY,
      labelled.NOBODY,
      number[other.true_labels],
    )
    true_labels = np.r_[ours.true_labels, theirs].astype(np.int32)
  return labelled.Source(
    Joined(ours, other, folder),
    np.r_[ours.labels, number[other.labels]].astype(np.int32),
    true_labels,
    _class_names(
      ours.class_names, [other.class_names[i] for i in new.tolist()], name
    ),
    num_left_out=ours.num_left_out + other.num_left_out,
  )


def _class_names(ours, new: Sequence[str], name: str) -> Names:
  """All names of classes, none of them twice."""
  taken = {x.casefold() for x in ours}
  names = []
  for given in new:
    # Two folders whose names differ in case alone are one on some systems.
    if given.casefold() in taken:
      given = _free(f'{name}-{given}', taken)
    taken.add(given.casefold())
    names.append(given)
  return Names.of([*ours, *names])


def _free(name: str, taken) -> str:
  """`name`, or with a number behind it that makes it another than those."""
  taken = {x.casefold() for x in taken}
  number, found = 1, name
  while found.casefold() in taken:
    number += 1
    found = f'{name}-{number}'
  return found
