"""Correction logs, and how well they fit the truth, as the reference has it."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bfjax import atomic, errors, text
from bfjax.data import labelled, listforms, lists

if TYPE_CHECKING:  # it is of arrays of the devices too, and loads JAX
  from bfjax import labels

_COLUMNS = 'row', 'path', 'given_label', 'new_label'
_OF_HISTORY = 'given_cosine', 'new_cosine', 'since_epoch', 'visits'


class Score(NamedTuple):
  """How a log fits the truth; a pair is an image with a label."""

  logged: int  # pairs in the log
  right: int  # of these, those that are in the truth
  flipped: int  # pairs in the truth

  @property
  def precision(self) -> float:
    """|logged pairs in the truth| / |logged|, NaN of an empty log."""
    return self.right / self.logged if self.logged else float('nan')

  @property
  def recall(self) -> float:
    """|logged pairs in the truth| / |truth|."""
    return self.right / self.flipped


class Corrected(NamedTuple):
  """Corrected rows of a data set.

  Attributes:
    row: int64 [k], ascending.
    known: of these rows, their labels now, and their history where one is kept.
  """

  row: np.ndarray
  known: 'labels.History'


def corrected(
  given: np.ndarray, known: 'labels.History', first: int = 0
) -> Corrected:
  """The corrected ones of some rows.

  Args:
    given: int32 [rows], the labels that training was given.
    known: of the same rows.
    first: the number of the first of them.
  """
  place = np.flatnonzero(given != known.label)
  return Corrected(first + place, known.at(place))


def write(
  path: pathlib.Path,
  source: labelled.Source,
  given: np.ndarray,
  parts: Iterable[Corrected],
) -> tuple[np.ndarray, np.ndarray]:
  """Writes one line for every corrected row.

  The columns, between tabs: row (from 0, as in the list), path, given label,
  new label; labels as the user's list writes them. With a history also, of the
  last visit, the cosines of both classes, the epoch since which the row has had
  the new label, and in how many visits; empty where that is not known.

  Args:
    path: the file; its folder is made.
    source: the data set.
    given: int32 [rows], the labels that training was given.
    parts: the corrected rows, from the first to the last; at least one part.

  Returns:
    The rows, and their labels now.
  """
  name, rows, new = source.class_names, [], []
  path.parent.mkdir(parents=True, exist_ok=True)
  with (
    atomic.writing(path) as draft,
    draft.open('w', encoding='utf-8', errors='surrogateescape') as log,
  ):
    for row, known in parts:
      if not rows:
        with_history = known.agreed is not None
        columns = _COLUMNS + _OF_HISTORY * with_history
        log.write('\t'.join(columns) + '\n')
      rows.append(row)
      new.append(known.label)
      of_rows = row.tolist(), known.label.tolist(), _history_columns(known)
      for one, label, past in zip(*of_rows, strict=True):
        old = name[given[one]]
        log.write(f'{one}\t{source.name(one)}\t{old}\t{name[label]}{past}\n')
  return np.concatenate(rows), np.concatenate(new)


def _history_columns(known) -> Iterator[str]:
  """The columns of `_OF_HISTORY`, a tab before each; '' without a history."""
  if known.agreed is None:
    yield from [''] * len(known.label)
    return
  columns = known.own, known.other, known.since, known.agreed
  for own, other, since, visits in zip(*columns, strict=True):
    told = f'\t{own:.4f}\t{other:.4f}\t{since}\t{visits}'
    yield told if visits else '\t' * len(_OF_HISTORY)


def log_pairs(path: str | pathlib.Path) -> Iterator[tuple[bytes, str]]:
  """Yields the pairs (image path, new label) of a correction log.

  It is a log of a run (`corrections/epoch_007.tsv`, as `write` makes it, with
  more columns or not) or one of the reference's code (lines `path<TAB>new
  label`).

  Raises:
    UserError: if it cannot be read or a line is neither; the line is named.
  """
  lines = text.byte_lines(path, 'the log')
  header = next(lines, (1, b''))[1].decode('utf-8', 'replace').split('\t')
  if tuple(header[:4]) != _COLUMNS:
    for _, image, label in lists.parse_lines(str(path)):
      yield image, str(label)
    return
  for number, line in lines:
    fields = line.split(b'\t')
    if len(fields) < len(header):
      expected = f'{", ".join(header)} between tabs'
      raise text.bad_line(path, number, line, expected)
    # A path may hold tabs: it is all between the row and the given label.
    end = 2 - len(header)
    image = listforms.tidied(b'\t'.join(fields[1:end]))
    yield image, os.fsdecode(fields[len(fields) + end + 1])


def read_log(path: str | pathlib.Path) -> dict[bytes, str]:
  """Reads a log as image path -> new label, the last one of each image."""
  return dict(log_pairs(path))


def read_truth(path: str, root: str = '') -> dict[bytes, str]:
  """Reads the flipped images with their TRUE labels.

  Args:
    path: the list.
    root: the folder of the images, or ''; see `lists.read`.

  Raises:
    UserError: if it cannot be read or is empty.
  """
  lines = lists.parse_lines(path, root)
  truth = {image: str(label) for _, image, label in lines}
  if not truth:
    raise errors.UserError(f'{path} is empty: there is no truth to compare to.')
  return truth


def score(
  log: Iterable[tuple[bytes, str]], truth: Mapping[bytes, str]
) -> Score:
  """Compares the sets of pairs (image, label) of a log and of the truth.

  A pair that is logged twice counts once, and an image with two labels as two
  pairs.
  """
  logged = set(log)
  right = sum(truth.get(image) == label for image, label in logged)
  return Score(len(logged), right, len(truth))
