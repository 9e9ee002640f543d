"""The classes of a data set: images, names, and what becomes of them."""

import collections
import functools
import os
from collections.abc import Sequence

import numpy as np

from bfjax.data import labelled
from bfjax.report import page, thumbnails
from bfjax.report.suspects import OUTLIER, RELABEL, VERDICTS, Suspects

_SHOWN = 12  # lines of a table of classes
_PAIRS = 6  # of classes, with images
_LOOKED_AT = 100  # images of a class, for the name of their folder
SIDE = 72  # pixels of the examples of a class


class Album:
  """Images of the classes of a source, each read once."""

  def __init__(
    self, source: labelled.Source, given: np.ndarray, suspects: np.ndarray
  ):
    """Takes the source and which of its rows are no examples.

    Args:
      source: the data set.
      given: int32 [rows], the labels as given.
      suspects: int64 [n], rows that may be of another class.
    """
    self._source, self._given = source, given
    self._settled = np.ones(len(given), bool)
    self._settled[suspects] = False
    self._groups: dict = {}

  def open(self, labels: Sequence[int], count: int = 4) -> None:
    """Reads `count` images of each of some classes, spread over its rows."""
    missing = np.setdiff1d(labels, [*self._groups, -1]).astype(int)
    wanted = np.zeros(self._source.num_classes, bool)
    wanted[missing] = True
    rows = np.flatnonzero(wanted[self._given])
    rows = rows[np.argsort(self._given[rows], kind='stable')]
    ends = np.searchsorted(self._given[rows], missing, side='right')
    starts = np.searchsorted(self._given[rows], missing)
    for label, start, end in zip(missing.tolist(), starts, ends, strict=True):
      own = rows[start:end]
      settled = own[self._settled[own]]
      places = np.linspace(0, len(settled) - 1, min(count, len(settled)))
      name = title(self._source, label, own)
      chosen = settled[places.astype(int)]
      self._groups[label] = page.Group(
        name, thumbnails.pictures(self._source, chosen, SIDE)
      )

  def of_class(self, label: int) -> page.Group:
    """A class that has been opened: its name, and its images."""
    return self._groups[label]


def title(source: labelled.Source, label: int, rows: np.ndarray) -> str:
  """A label as the user writes it, and the folder of most of its images.

  Args:
    source: the data set.
    label: the class.
    rows: those of the class, of which some are looked at.
  """
  name = str(source.class_names[label])
  rows = rows[:_LOOKED_AT].tolist()
  folders = collections.Counter(
    os.path.basename(os.path.dirname(source.name(row))) for row in rows
  )
  [(folder, count)] = folders.most_common(1) or [('', 0)]
  if folder in ('', name) or 2 * count <= len(rows):
    return name
  return f'{name} ({folder})'


def section(
  suspects: Suspects,
  source: labelled.Source,
  given: np.ndarray,
  album: Album,
) -> page.Section:
  """Which classes lose and gain most, and between which rows move."""
  pairs = exchanges(suspects, source, given)
  album.open([label for a, b, _, _ in pairs for label in (a, b)])
  cases = []
  for a, b, forth, back in pairs:
    groups = album.of_class(a), album.of_class(b)
    cases.append(page.Case(f'{forth} there, {back} back', '', groups))
  parts: list[page.Part] = [*most_changed(suspects, source, given)]
  if cases:
    parts.append(page.Cases('Most rows move between', cases))
  words = (
    'Classes that give each other rows may be one person under two names; one'
    ' that loses most of its rows may be nobody.'
  )
  return page.Section('Classes', words, parts)


def most_changed(
  suspects: Suspects, source: labelled.Source, given: np.ndarray
) -> list[page.Table]:
  """The classes that lose most rows and that gain most, a table each."""
  count = functools.partial(np.bincount, minlength=source.num_classes)
  moved = suspects.verdict == VERDICTS.index(RELABEL)
  is_stranger = suspects.verdict == VERDICTS.index(OUTLIER)
  rows, left = count(given), count(given[suspects.row[moved]])
  nobody = count(given[suspects.row[is_stranger]])
  joined = count(suspects.proposed[moved])
  after = rows - left - nobody + joined
  columns = [rows, left, nobody, joined, after]
  tables = []
  for heading, key in (
    ('Classes that lose most', left + nobody),
    ('Classes that gain most', joined),
  ):
    largest = np.argsort(-key, kind='stable')[:_SHOWN]
    lines: list[page.Row] = [
      (
        title(source, label, np.flatnonzero(given == label)),
        *(page.Cell(f'{column[label]:,}') for column in columns),
      )
      for label in largest
      if key[label]
    ]
    headings = ('class', 'rows', 'left', 'of nobody', 'joined', 'rows then')
    tables.append(page.Table(headings, lines, heading))
  return [table for table in tables if table.rows]


def exchanges(
  suspects: Suspects, source: labelled.Source, given: np.ndarray
) -> list[tuple[int, int, int, int]]:
  """Pairs of classes between which most rows move.

  Returns:
    (class a, class b, rows from a to b, rows from b to a), most rows first.
  """
  moved = suspects.take(suspects.verdict == VERDICTS.index(RELABEL))
  old, new = given[moved.row].astype(np.int64), moved.proposed.astype(np.int64)
  low, high = np.minimum(old, new), np.maximum(old, new)
  pairs, place = np.unique(low * source.num_classes + high, return_inverse=True)
  forth = np.bincount(place, old == low, minlength=len(pairs)).astype(int)
  back = np.bincount(place, minlength=len(pairs)) - forth
  largest = np.argsort(-(forth + back), kind='stable')[:_PAIRS]
  a, b = divmod(pairs[largest], source.num_classes)
  columns = a, b, forth[largest], back[largest]
  return list(zip(*(x.tolist() for x in columns), strict=True))
