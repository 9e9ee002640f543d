"""The rows of a data set of which something is said, and which to look at."""

import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from pyarrow import parquet

from bfjax import errors, text
from bfjax.data import labelled
from bfjax.data.names import Names

RELABEL, OUTLIER, UNSURE = 'relabel', 'outlier', 'unsure'
VERDICTS = (RELABEL, OUTLIER, UNSURE)
_KEEP = 'keep'
_BATCH = 1 << 17  # rows of a file in memory at a time
# So many of a class come before the next ones of it.
_OF_A_CLASS = 2


class Suspects(NamedTuple):
  """Rows of which something else is said than to keep them; arrays [n].

  Attributes:
    row: int64, their numbers.
    verdict: int8, the place in `VERDICTS`.
    proposed: int32, the class proposed; -1 where none is.
    given_cosine, proposed_cosine: float32, to the two classes, or NaN.
    confidence: float32, the probability that the verdict is right, or NaN.
    since: int32, the epoch since which a run has corrected them; 0: not known.
    times: int32, in how many epochs or visits; 0: not known.
  """

  row: np.ndarray
  verdict: np.ndarray
  proposed: np.ndarray
  given_cosine: np.ndarray
  proposed_cosine: np.ndarray
  confidence: np.ndarray
  since: np.ndarray
  times: np.ndarray

  def take(self, places: np.ndarray | slice) -> 'Suspects':
    """Some of them, by their places."""
    return Suspects(*(x[places] for x in self))


# Field -> type, and what the two kinds of files call it.
_TYPES = dict(
  zip(
    Suspects._fields,
    ('i8', 'i1', 'i4', 'f4', 'f4', 'f4', 'i4', 'i4'),
    strict=True,
  )
)
_OF_VERDICTS = {x: x for x in Suspects._fields} | {
  'proposed': 'proposed_label',
  'since': 'since_epoch',
  'times': 'corrected_epochs',
}
_OF_LOG = _OF_VERDICTS | {
  'proposed': 'new_label',
  'proposed_cosine': 'new_cosine',
  'times': 'visits',
}


def read(path: pathlib.Path, source: labelled.Source) -> Suspects:
  """Those of verdicts or of a correction log; what it has no column for, not.

  Args:
    path: `verdicts.parquet` or `verdicts.tsv` of tools/clean.py, or the log of
      an epoch, `corrections/epoch_007.tsv`.
    source: the data set.

  Raises:
    UserError: if it cannot be read or is of other data.
  """
  names = Names.of(source.class_names)
  parts = _parquet if path.suffix == '.parquet' else _lines
  try:
    found = [_gather(columns, names) for columns in parts(path)]
  except (OSError, KeyError, ValueError) as error:
    raise errors.UserError(
      f'Cannot read {text.printable(str(path))}: {error}. Make it again.'
    ) from error
  joined = Suspects(*map(np.concatenate, zip(*found, strict=True)))
  if np.any((joined.row < 0) | (joined.row >= source.num_rows)):
    raise errors.UserError(
      f'{text.printable(str(path))} has the row {joined.row.max()}, the data'
      f' {source.num_rows} rows: it is of other data.'
    )
  return joined


def worth_a_look(suspects: Suspects, given: np.ndarray, count: int):
  """Which rows a person should look at, and in which order.

  As many of each verdict, as far as there are. Of these, half are those whose
  confidence is least (or, where there is none, whose two cosines are least
  apart); the others are spread evenly over all, so that it is seen how far the
  sure ones can be trusted. Classes take turns.

  Args:
    suspects: the rows.
    given: int32 [rows of the data], the given labels.
    count: how many.

  Returns:
    int64 [<= count], places in `suspects`.
  """
  sureness = suspects.confidence
  if np.isnan(sureness).all():
    sureness = suspects.proposed_cosine - suspects.given_cosine
  kinds = [np.flatnonzero(suspects.verdict == x) for x in range(len(VERDICTS))]
  kinds = sorted((x for x in kinds if x.size), key=lambda x: x.size)
  chosen: list[np.ndarray] = []
  for i, places in enumerate(kinds):
    quota = (count - sum(map(len, chosen))) // (len(kinds) - i)
    places = places[np.argsort(sureness[places], kind='stable')]
    turn = _turns(given[suspects.row[places]])
    doubtful = places[np.argsort(turn, kind='stable')][: -(-quota // 2)]
    others = np.setdiff1d(places, doubtful)
    others = others[np.argsort(sureness[others], kind='stable')]
    spread = np.linspace(0, len(others) - 1, min(quota // 2, len(others)))
    chosen.append(np.concatenate([doubtful, others[spread.astype(int)]]))
  return _interleaved(chosen)


def _turns(labels) -> np.ndarray:
  """For each of some labels, how often `_OF_A_CLASS` of it came before."""
  order = np.argsort(labels, kind='stable')
  ordered = labels[order]
  turn = np.empty(len(labels), int)
  turn[order] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
  return turn // _OF_A_CLASS


def _interleaved(several) -> np.ndarray:
  """The elements of some arrays, each spread evenly over the whole."""
  if not several:
    return np.zeros(0, np.int64)
  ranks = [(np.arange(len(x)) + 0.5) / max(len(x), 1) for x in several]
  order = np.argsort(np.concatenate(ranks), kind='stable')
  return np.concatenate(several)[order]


def _parquet(path) -> Iterator[Mapping[str, Sequence]]:
  """Name -> column of the rows that are not kept, some at a time."""
  file = parquet.ParquetFile(path)
  there = set(file.schema_arrow.names)
  wanted = [x for x in _OF_VERDICTS.values() if x in there]
  for batch in file.iter_batches(_BATCH, columns=wanted):
    some = batch.filter(pc.not_equal(batch['verdict'], _KEEP))
    yield {name: some[name].to_pylist() for name in wanted}


def _lines(path) -> Iterator[Mapping[str, Sequence]]:
  """The same of a file with its heading, between tabs."""
  lines = text.lines(path, 'the rows in')
  heading = next(lines, (1, ''))[1].split('\t')
  # A path may hold tabs: it is all between the row and the labels.
  after = len(heading) - heading.index('path') - 1
  while True:
    rows = []
    for _, line in itertools.islice(lines, _BATCH):
      fields = line.split('\t')
      rows.append([fields[0], '', *fields[len(fields) - after :]])
    columns = zip(*rows, strict=True) if rows else [()] * len(heading)
    verdict: Sequence = [RELABEL] * len(rows)
    yield {'verdict': verdict, **dict(zip(heading, columns, strict=True))}
    if len(rows) < _BATCH:
      return


def _gather(columns, class_names: Names) -> Suspects:
  """The rows of columns that are not kept."""
  is_of_log = _OF_LOG['proposed'] in columns
  names = _OF_LOG if is_of_log else _OF_VERDICTS
  is_kept = np.array([x == _KEEP for x in columns['verdict']], bool)
  arrays: dict = {}
  for field, kind in _TYPES.items():
    values, absent = columns.get(names[field]), np.nan if kind == 'f4' else 0
    if field == 'verdict':
      values = [0 if x == _KEEP else VERDICTS.index(x) for x in values]
    elif field == 'proposed':
      values = class_names.places(Names.of(map(_name, values)))
      values[arrays['verdict'] == VERDICTS.index(OUTLIER)] = -1
    else:
      values = [absent] * len(is_kept) if values is None else values
      values = [absent if x in (None, '') else x for x in values]
    arrays[field] = np.array(values).astype(kind)
  return Suspects(**arrays).take(~is_kept)


def _name(label) -> str | bytes:
  """A label of a column as a name; '' where there is none."""
  if isinstance(label, bytes):
    return label
  return '' if label is None else str(label)
