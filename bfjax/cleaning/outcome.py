"""The set without what is wrong with it, and every change by name."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bfjax import atomic, errors, text
from bfjax.cleaning.verdicts import KEEP, OUTLIER, RELABEL, UNSURE, Verdicts
from bfjax.data import labelled, selection
from bfjax.data.names import Names

CHANGES = 'changes.tsv'
_HEADER = 'row\tpath\tchange\told\tnew'
MARKS = 'row', 'path', 'mark'
_SHOWN = 10


class Change(NamedTuple):
  """What becomes of n rows.

  Attributes:
    label: int32 [n], after it.
    is_left_out: bool [n].
  """

  label: np.ndarray
  is_left_out: np.ndarray


def change(found: Verdicts, *, drop_unsure: bool) -> Change:
  """What verdicts change.

  Args:
    found: the verdicts.
    drop_unsure: whether rows with the verdict unsure are left out; otherwise
      they keep the label they were given.
  """
  label = np.where(found.verdict == RELABEL, found.proposed, found.given)
  is_left_out = found.verdict == OUTLIER
  if drop_unsure:
    is_left_out |= found.verdict == UNSURE
  return Change(label.astype(np.int32), is_left_out)


def merged(made: Change, classes: np.ndarray) -> Change:
  """The same, and each class made another: int32 [classes], which."""
  return made._replace(label=classes[made.label])


def without(made: Change, classes: np.ndarray) -> Change:
  """The same, and rows of some classes, int64 [k], left out."""
  gone = np.isin(made.label, classes)
  return made._replace(is_left_out=made.is_left_out | gone)


def extended(made: Change, labels: np.ndarray) -> Change:
  """Changes of the first rows of a longer set, int32 [m]; the others stay."""
  num_rows = len(made.label)
  more = np.zeros(len(labels) - num_rows, bool)
  return Change(
    np.r_[made.label, labels[num_rows:]].astype(np.int32),
    np.r_[made.is_left_out, more],
  )


def check(
  given: np.ndarray,
  made: Change,
  class_names: Sequence[str],
  *,
  most_of_class: float,
  most_of_set: float,
) -> list[str]:
  """Names what would lose too much: messages, none if all is well.

  Args:
    given: int32 [n].
    made: what would become of the rows.
    class_names: of each class.
    most_of_class: the share of its rows that a class may lose, to other classes
      and left out.
    most_of_set: the share of all rows that may be changed or left out.
  """
  is_changed = made.is_left_out | (made.label != given)
  problems = []
  share = is_changed.mean()
  if share > most_of_set:
    problems.append(
      f'{100 * share:.1f} % of all rows would be changed or left out, more '
      f'than {100 * most_of_set:.0f} %: are these labels, or this model, of '
      'use? --allow-changes 1 allows it.'
    )
  size = np.bincount(given, minlength=len(class_names))
  lost = np.bincount(given[is_changed], minlength=len(class_names))
  losing = np.flatnonzero(lost > most_of_class * size)
  if len(losing):
    lines = (
      f'{text.printable(class_names[k])}: {lost[k]} of {size[k]} rows'
      for k in losing[np.argsort(-lost[losing], kind='stable')]
    )
    problems.append(
      f'{len(losing)} classes would lose more than {100 * most_of_class:.0f} % '
      f'of their rows:\n{text.first_lines(lines, _SHOWN)}\n'
      '--allow-class-loss 1 allows it.'
    )
  return problems


def override(found: Verdicts, path: str) -> tuple[Verdicts, int]:
  """Takes a person's word for it that verdicts are wrong: the row is kept.

  Args:
    found: the verdicts.
    path: lines `row<TAB>path<TAB>wrong` below a header that says so; '' for
      none.

  Returns:
    the verdicts, and how many were marked.

  Raises:
    UserError: if the file cannot be read, or a line is no such mark or not of
      this data set.
  """
  if not path:
    return found, 0
  rows = []
  for number, line in text.lines(path, 'the marks'):
    fields = line.split('\t')
    if tuple(fields) == MARKS:
      continue
    fields = [fields[0], '\t'.join(fields[1:-1]), fields[-1]]
    if not fields[0].isdecimal() or fields[2] != 'wrong':
      raise text.bad_line(path, number, line, '`row<TAB>path<TAB>wrong`')
    row = int(fields[0])
    if row >= len(found.given) or found.names[row] != fields[1]:
      raise errors.UserError(
        f'{text.place(path, number)}: row {row} is not {fields[1]} in this '
        'data set. Are these marks of another one?'
      )
    rows.append(row)
  rows = np.unique(np.array(rows, np.int64))
  kept = {
    'proposed': found.given,
    'proposed_cosine': found.given_cosine,
    'verdict': np.full_like(found.verdict, KEEP),
    'confidence': np.ones_like(found.confidence),
  }
  put = {}
  for name, values in kept.items():
    put[name] = getattr(found, name).copy()
    put[name][rows] = values[rows]
  return found._replace(**put), len(rows)


def write_changes(
  path: pathlib.Path,
  source: labelled.Source,
  made: Change,
) -> int:
  """Writes a line for every row that is changed or left out; returns how many.

  Columns between tabs: row, path, change (`relabel` or `leave out`), old label,
  new label ('' of a row that is left out).
  """
  name = source.class_names
  given = source.labels
  rows = np.flatnonzero(made.is_left_out | (made.label != given))
  with (
    atomic.writing(path) as draft,
    draft.open('w', encoding='utf-8', errors='surrogateescape') as file,
  ):
    file.write(f'{_HEADER}\n')
    for row in rows.tolist():
      what, new = 'relabel', name[made.label[row]]
      if made.is_left_out[row]:
        what, new = 'leave out', ''
      old = name[given[row]]
      file.write(f'{row}\t{source.name(row)}\t{what}\t{old}\t{new}\n')
  return len(rows)


def cleaned(source: labelled.Source, made: Change) -> labelled.Source:
  """The source with its changes made.

  Raises:
    UserError: if no row is left.
  """
  rows = np.flatnonzero(~made.is_left_out)
  if not len(rows):
    raise errors.UserError('All rows would be left out: nothing is written.')
  if len(rows) == source.num_rows:
    rows = None
  return selection.select(
    source,
    rows=rows,
    labels=made.label,
    class_names=Names.of(source.class_names),
  )
