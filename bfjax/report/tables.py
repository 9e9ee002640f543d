"""Tables of scores, laid out as those of the paper."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bfjax import errors
from bfjax.report import bootstrap, resultfiles

# The paper's columns in its order, then what the field calls other sets.
TITLES = {
  'lfw': 'LFW',
  'agedb_30': 'AgeDB-30',
  'cfp_fp': 'CFP-FP',
  'calfw': 'CALFW',
  'cplfw': 'CPLFW',
  'sllfw': 'SLLFW',
  'rfw_asian': 'RFW Asian',
  'rfw_caucasian': 'RFW Caucasian',
  'rfw_indian': 'RFW Indian',
  'rfw_african': 'RFW African',
  'xqlfw': 'XQLFW',
  'megaface': 'MegaFace',
  'ijbb': 'IJB-B',
  'ijbc': 'IJB-C',
  'tinyface': 'TinyFace',
}
_ACCURACY = '/accuracy'


class Cell(NamedTuple):
  """A number of a table.

  Attributes:
    text: in per cent; 'absent' or '-' where there is no number.
    interval: its 95 % interval, 'low .. high', or ''.
    best: whether no other model has a higher one.
    margin: the interval of how much it is below the best, or ''.
  """

  text: str
  interval: str = ''
  best: bool = False
  margin: str = ''


class Table(NamedTuple):
  """Attributes:
  headings: of the columns after those of the model and the protocol.
  rows: (model, protocol, a cell for each heading).
  """

  headings: tuple[str, ...]
  rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]


def title(name: str) -> str:
  """What the field calls a benchmark; one of one's own by its name."""
  return TITLES.get(name, name)


def table(records: Sequence[resultfiles.Record]) -> Table:
  """The headline scores of some models.

  Benchmarks of pairs have a column each, and a model a row for each protocol
  of theirs; headline scores of others have a column each, in the first row of
  a model. With several models the best of a column and protocol is marked.

  Raises:
    UserError: if a benchmark was not run on the same images by the same
      protocol for all models.
  """
  _check_comparable(records)
  columns = _columns(records)
  protocols = _protocols(records) or ['']
  bests = {
    (name, score): _intervals(records, name, score)
    for name, kind in columns
    for score in _scores(kind, protocols)
  }
  rows = []
  for i, one in enumerate(records):
    for protocol in protocols:
      cells = []
      for name, kind in columns:
        own_row = kind == _ACCURACY or protocol == protocols[0]
        score = f'{protocol}{kind}' if kind == _ACCURACY else kind
        cells.append(
          _cell(one, i, name, score, bests[name, score])
          if own_row
          else Cell('')
        )
      rows.append((one.name, protocol, tuple(cells)))
  return Table(tuple(_heading(*column) for column in columns), tuple(rows))


def markdown(found: Table) -> str:
  """A table as Markdown: the best in bold, intervals in brackets."""
  return _markdown(found, _markdown_cell)


def markdown_margins(found: Table) -> str:
  """The intervals of the differences to the best, as Markdown."""
  return _markdown(
    found, lambda cell: 'best' if cell.best else cell.margin or '-'
  )


def _markdown(found: Table, text_of) -> str:
  lines = [['model', 'protocol', *found.headings]]
  for name, protocol, cells in found.rows:
    lines.append([name, protocol, *map(text_of, cells)])
  lines = [[x.replace('|', '\\|') for x in line] for line in lines]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  lines.insert(1, ['-' * width for width in widths])
  return '\n'.join(
    '| ' + ' | '.join(map(str.ljust, line, widths)) + ' |' for line in lines
  )


def _markdown_cell(cell: Cell) -> str:
  text = f'**{cell.text}**' if cell.best else cell.text
  return f'{text} [{cell.interval}]' if cell.interval else text


def _cell(one, i, name, score, found) -> Cell:
  if name in one.absent:
    return Cell('absent')
  value = None
  if name in one.found:
    value = one.found[name].analysis.scores.get(score)
  if value is None or math.isnan(value):
    return Cell('-')
  models, intervals, highest = found
  cell = Cell(per_cent(value), best=value == highest)
  if i not in models or intervals is None:
    return cell
  k = models.index(i)
  cell = cell._replace(
    interval=span(intervals.low[k], intervals.high[k]),
  )
  if not cell.best and highest is not None:
    cell = cell._replace(margin=span(*intervals.below[k]))
  return cell


def shown(score: str, value: float) -> str:
  """A score as people read it: per cent, unless it is a threshold."""
  if score.endswith('threshold'):
    return f'{value:.4f}'
  return f'{per_cent(value)} %'


def span(low: float, high: float) -> str:
  """An interval, in per cent."""
  return f'{per_cent(low)} .. {per_cent(high)}'


def per_cent(value: float) -> str:
  """A rate in per cent, to two places."""
  return f'{100 * value:.2f}'


def _intervals(
  records, name, score
) -> tuple[list[int], bootstrap.Intervals | None, float | None]:
  """The models with outcomes, their intervals, the highest score of several."""
  found = [x.found[name].analysis if name in x.found else None for x in records]
  known = [x.scores[score] for x in found if x and score in x.scores]
  known = [value for value in known if not math.isnan(value)]
  highest = max(known) if len(known) > 1 else None
  models = [i for i, x in enumerate(found) if x and score in x.outcomes]
  if not models:
    return models, None, highest
  outcomes = [found[i].outcomes[score] for i in models]
  return models, bootstrap.intervals(outcomes), highest


def _check_comparable(records) -> None:
  """Raises UserError if a benchmark is not one and the same for all."""
  first: Mapping = {}
  for one in records:
    for name, found in one.found.items():
      known, other = first.setdefault(name, (one.name, found))
      for what, a, b in (
        ('protocol', other.protocol, found.protocol),
        ('images', other.images_sha256, found.images_sha256),
      ):
        if a != b:
          raise errors.UserError(
            f'{title(name)} of {known} and of {one.name} cannot be compared: '
            f'the {what} differ: {a!r}, {b!r}. Evaluate both in one way.'
          )


def names(records: Sequence[resultfiles.Record]) -> list[str]:
  """All benchmarks: the paper's in its order, then the others."""
  names = dict.fromkeys(x for one in records for x in [*one.found, *one.absent])
  return [x for x in TITLES if x in names] + [
    x for x in names if x not in TITLES
  ]


def _columns(records) -> list[tuple[str, str]]:
  """(benchmark, '/accuracy' or the name of a headline score)."""
  columns = []
  for name in names(records):
    headlines = {
      _ACCURACY if score.endswith(_ACCURACY) else score: None
      for one in records
      if name in one.found
      for score in one.found[name].headline
    }
    columns += [(name, kind) for kind in headlines or [_ACCURACY]]
  return columns


def _protocols(records) -> list[str]:
  return list(
    {
      score.removesuffix(_ACCURACY): None
      for one in records
      for found in one.found.values()
      for score in found.headline
      if score.endswith(_ACCURACY)
    }
  )


def _scores(kind, protocols) -> list[str]:
  return [f'{x}{kind}' for x in protocols] if kind == _ACCURACY else [kind]


def _heading(name: str, kind: str) -> str:
  return title(name) if kind == _ACCURACY else f'{title(name)} {kind}'
