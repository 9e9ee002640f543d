"""The page of a cleaned set: report.html in the folder of tools/clean.py."""

import pathlib
import types
from collections.abc import Mapping, Sequence

import numpy as np

from bfjax import text
from bfjax.config import keys
from bfjax.data import labelled
from bfjax.report import (
  charts,
  classes,
  findings,
  html,
  page,
  review,
  suspects,
  tables,
  thumbnails,
)

NAME, SUMMARY = 'report.html', 'summary.json'
_VERDICTS = 'verdicts.parquet', 'verdicts.tsv'
_STRANGERS = 36  # shown
_NONE: Mapping = types.MappingProxyType({})
_SURE = 0.9
_KEEP = 'keep'
_MEANING = {
  _KEEP: 'who it was given as',
  suspects.RELABEL: 'another person of the set',
  suspects.OUTLIER: 'nobody of the set',
  suspects.UNSURE: 'not to be told',
}


def write(
  out: pathlib.Path,
  source: labelled.Source,
  given: np.ndarray,
  others: Mapping[str, labelled.Images] = _NONE,
) -> pathlib.Path:
  """Draws what tools/clean.py has found, and writes the page.

  What `summary.json` does not tell is not on it. It may tell 'noise_rate' and
  'stranger_rate', fractions; 'calibration', see `_reliability`; 'scores' and
  'planted', see `_tables`; and findings about classes, see `findings.section`.

  Args:
    out: the folder of `verdicts.parquet` (or .tsv) and `summary.json`.
    source: the data set.
    given: int32 [rows], the labels as given.
    others: name -> images of the sets that it was compared with.

  Returns:
    the path of the page.

  Raises:
    UserError: if a file cannot be read or is of other data.
  """
  summary = text.read_json(out / SUMMARY)
  paths = [out / name for name in _VERDICTS if (out / name).exists()]
  found = suspects.read(paths[0] if paths else out / _VERDICTS[0], source)
  words = (
    f'{len(found.row):,} of {source.num_rows:,} rows are not kept as they are.'
  )
  shown = page.Page(
    f'Labels of {out.resolve().name}',
    [page.Figures(_figures(summary, found, source))],
    [
      _verdicts(summary, found, source),
      *findings.section(summary, source, others),
      *_strangers(found, source),
      *review.sections(found, source, given, 'Rows', words),
    ],
    'What was cleaned',
    {str(out): _about(summary, source)},
  )
  path = out / NAME
  html.write(path, shown)
  return path


def _figures(summary, found, source) -> list[page.Figure]:
  """The numbers to be seen first."""
  people = f'images of {source.num_classes:,} people'
  figures = [page.Figure(f'{source.num_rows:,}', people)]
  for name, label in (
    ('noise_rate', 'of the labels wrong'),
    ('stranger_rate', 'of the images nobody of the set'),
  ):
    if summary.get(name) is not None:
      figures.append(page.Figure(f'{tables.per_cent(summary[name])} %', label))
  for number, verdict in enumerate(suspects.VERDICTS):
    count = int(np.sum(found.verdict == number))
    figures.append(page.Figure(f'{count:,}', f'rows are {_MEANING[verdict]}'))
  return figures


def _verdicts(summary, found, source) -> page.Section:
  """What is said of how many rows, and how far that can be trusted."""
  kept = source.num_rows - len(found.row)
  rows: list[page.Row] = [
    (_KEEP, _MEANING[_KEEP], page.Cell(f'{kept:,}'), page.Cell('-'))
  ]
  for number, verdict in enumerate(suspects.VERDICTS):
    sureness = found.confidence[found.verdict == number]
    shown = '-'
    if np.isfinite(sureness).any():
      shown = f'{100 * np.mean(sureness >= _SURE):.1f} %'
    count = page.Cell(f'{len(sureness):,}')
    rows.append((verdict, _MEANING[verdict], count, page.Cell(shown)))
  headings = ('verdict', 'the image is', 'rows', f'at {_SURE:g} and more')
  bins = summary.get('calibration') or []
  drawn = [
    _reliability(bins, measured, title)
    for measured, title in (
      ('measured_planted', 'Right, of the planted ones'),
      ('measured_true', 'Right, in truth'),
    )
    if any(x.get(measured) is not None for x in bins)
  ]
  words = (
    'The confidence of a verdict is the probability that it is right. How often'
    ' that was so is measured on wrong labels and strangers that were planted,'
    ' and on the truth where it is known.'
  )
  parts: list[page.Part] = [page.Table(headings, rows)]
  parts += _tables(summary)
  if drawn:
    parts.append(page.Charts(drawn))
  return page.Section('Verdicts', words, parts)


def _tables(summary) -> list[page.Table]:
  """What is known of the truth, and what of the planted was found."""
  rows: list[page.Row] = []
  for one in summary.get('planted') or []:
    end = f'to {one["below"] - 1:,}' if one['below'] else 'and more'
    cells = [
      page.Cell(f'{one[f"found_{kind}"]:,} of {one[f"planted_{kind}"]:,}')
      for kind in (suspects.RELABEL, suspects.OUTLIER)
    ]
    rows.append((f'{one["from"]:,} {end}', *cells))
  headings = ('rows of the class', 'wrong labels', 'strangers')
  planted = page.Table(headings, rows, 'Planted, and found')
  scores = summary.get('scores') or {}
  known: list[page.Row] = [
    (name.replace('_', ' '), page.Cell(f'{tables.per_cent(share)} %'))
    for name, share in scores.items()
    if share is not None
  ]
  found = [planted, page.Table(('what', 'share'), known, 'In truth')]
  return [table for table in found if table.rows]


def _reliability(
  bins: Sequence[Mapping], measured: str, title: str
) -> page.Picture:
  """How often verdicts are right, by their confidence.

  Args:
    bins: each of a 'verdict', with the mean confidence 'predicted' and the
      share that is right, `measured`; None where that is not known.
    measured: which of the measurements.
    title: of it.
  """
  sheet, axis = charts.page_chart((4.6, 3.8))
  axis.plot([0, 1], [0, 1], color='grey', linewidth=1, linestyle=':')
  verdicts = dict.fromkeys(x['verdict'] for x in bins)
  for i, verdict in enumerate(verdicts):
    own = [x for x in bins if x['verdict'] == verdict]
    points = [(x['predicted'], x.get(measured)) for x in own]
    points = [x for x in points if None not in x]
    if points:
      label, colour = charts.plain(verdict), charts.COLOURS[i]
      x, y = zip(*points, strict=True)
      axis.plot(x, y, 'o-', color=colour, label=label, markersize=4)
  axis.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel='confidence')
  charts.legend(axis, len(verdicts))
  return page.Picture(charts.svg(sheet), title, 'svg')


def _strangers(found, source) -> list[page.Section]:
  """The images that are surest to be of nobody in the set."""
  kind = suspects.VERDICTS.index(suspects.OUTLIER)
  places = np.flatnonzero(found.verdict == kind)
  if not len(places):
    return []
  order = np.argsort(-found.confidence[places], kind='stable')
  rows = found.row[places[order[:_STRANGERS]]]
  title = f'The surest {len(rows)} of {len(places):,}'
  group = page.Group(title, thumbnails.pictures(source, rows, classes.SIDE))
  words = 'Images of nobody in the set, as far as it can be told.'
  return [page.Section('Strangers', words, [group])]


def _about(summary: Mapping, source) -> dict[str, str]:
  facts = {
    key: str(value)
    for key, value in keys.flat(summary)
    if value not in ('', None)
    and isinstance(value, str | int | float)
    and not key.startswith('scores.')
  }
  return {'data': source.fingerprint, **facts}
