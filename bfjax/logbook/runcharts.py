"""What a run's metrics file tells, as curves over its epochs."""

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import ticker

from bfjax.report import charts, page, tables

_POINTS = 400  # of a curve; of more, the means of as many stretches
_DECADE = 10  # from the least to the most, for a logarithmic axis
_MARKED = 40  # of fewer points, each is marked


class Panel(NamedTuple):
  """A chart: its title, and its curves by the names of the metrics file.

  Rates are in per cent where `is_rate`; the axis is logarithmic where `is_log`,
  and begins at 0 where `is_from_zero`.
  """

  title: str
  curves: Mapping[str, str]  # name -> what the legend calls it
  is_rate: bool = False
  is_log: bool = False
  is_from_zero: bool = False


_PANELS = (
  Panel('Loss', {'train/loss': 'loss', 'train/penalty': 'boundary term'}),
  Panel('Learning rate', {'train/lr': ''}, is_log=True),
  Panel(
    'Labels, % of the rows',
    {
      'train/accuracy': 'as given',
      'train/corrected': 'corrected',
      'train/unsure': 'unsure',
      'rule/noise_rate': 'wrong, as told',
    },
    is_rate=True,
  ),
  Panel(
    'Corrections against the truth, %',
    {
      'corrections/precision': 'precision',
      'corrections/recall': 'recall',
      'corrections/wrong_labels': 'labels wrong',
    },
    is_rate=True,
  ),
  Panel(
    'Cosines, mean',
    {
      'train/cosine_target': 'class trained with',
      'train/cosine_other': 'nearest other',
    },
  ),
  Panel('Images a second', {'images_per_sec': ''}, is_from_zero=True),
)


def draw(lines: Sequence[Mapping], steps_per_epoch: int) -> list[page.Picture]:
  """Charts of all that the lines tell, as SVG.

  Args:
    lines: of the metrics file, see `metrics.read_metrics`.
    steps_per_epoch: of the run.
  """
  names = dict.fromkeys(name for line in lines for name in line)
  of_pairs = {
    name: f'{tables.title(name.split("/")[0])} ({name.split("/")[1]})'
    for name in names
    if name.endswith('/accuracy') and name.count('/') == 2
  }
  panels = list(_PANELS)
  panels.insert(2, Panel('Verification accuracy, %', of_pairs, is_rate=True))
  last = 1.01 * max((x['step'] for x in lines), default=1) / steps_per_epoch
  pictures = []
  for panel in panels:
    curves = {
      shown: series(lines, name, steps_per_epoch)
      for name, shown in panel.curves.items()
      if name in names
    }
    if any(len(x) for x, _ in curves.values()):
      drawn = charts.svg(_chart(panel, curves, last))
      pictures.append(page.Picture(drawn, panel.title, 'svg'))
  return pictures


def series(
  lines: Sequence[Mapping], name: str, steps_per_epoch: int
) -> tuple[np.ndarray, np.ndarray]:
  """One metric: epochs and values, float64 [n] each; of many points, means."""
  found = [(x['step'], x[name]) for x in lines if x.get(name) is not None]
  points = np.array(found, float).reshape(-1, 2)
  if len(points) > _POINTS:
    parts = np.array_split(points, _POINTS)
    points = np.array([part.mean(axis=0) for part in parts])
  return points[:, 0] / steps_per_epoch, points[:, 1]


def _chart(panel: Panel, curves, last: float):
  """A panel with its curves, to the last epoch."""
  sheet, axis = charts.page_chart()
  factor = 100 if panel.is_rate else 1
  for i, (shown, (x, y)) in enumerate(curves.items()):
    axis.plot(
      x,
      factor * y,
      color=charts.COLOURS[i],
      linewidth=1.8,
      label=charts.plain(shown),
      marker='o' if len(x) < _MARKED else '',
      markersize=3,
    )
  drawn = np.concatenate([y for _, y in curves.values()])
  if panel.is_log and drawn.max() >= _DECADE * drawn.min() > 0:
    axis.set_yscale('log')
    axis.yaxis.set_minor_locator(ticker.NullLocator())
  elif panel.is_from_zero:
    axis.set_ylim(0, 1.1 * drawn.max())
  else:
    axis.margins(y=0.08)
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5))
  axis.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
  axis.set_xlim(0, last)
  axis.set_xlabel('epoch')
  if any(curves):
    charts.legend(axis, len(curves))
  return sheet


def draw_times(secs: Mapping[str, float]) -> page.Picture:
  """Bars of what the time of a run went into, see `where_time_went`."""
  sheet, axis = charts.page_chart()
  total = max(math.fsum(secs.values()), 1e-9)
  for place, (what, own) in enumerate(secs.items()):
    axis.barh(place, own / total, height=0.35, color=charts.COLOURS[0])
    spent = datetime.timedelta(seconds=round(own))
    words = f'{what}: {spent}, {100 * own / total:.1f} %'
    axis.text(0, place - 0.3, words, color='grey', fontsize=10)
  axis.set(xlim=(0, 1), ylim=(max(len(secs), 5) - 0.6, -0.8), yticks=[])
  axis.set_xticks([])
  axis.spines.bottom.set_visible(False)
  return page.Picture(charts.svg(sheet), 'Where the time went', 'svg')


def where_time_went(
  lines: Sequence[Mapping], images_per_step: int
) -> dict[str, float]:
  """Seconds of a run by what they went into, as far as its metrics tell.

  These are the shares 'time/input', ... of the 'time/secs' that a line is of;
  of a run that has none, what follows from its images a second, and what
  evaluations took.

  Args:
    lines: of the metrics file.
    images_per_step: that an update takes.
  """
  found: dict = {}
  for line in lines:
    for name, share in line.items():
      what = name.removeprefix('time/')
      if what not in (name, 'secs') and share is not None:
        found[what] = found.get(what, 0.0) + share * line['time/secs']
  if found:
    return dict(sorted(found.items(), key=lambda x: -x[1]))
  steps, before = 0.0, 0
  for line in lines:
    if line.get('images_per_sec'):
      images = (line['step'] - before) * images_per_step
      steps += images / line['images_per_sec']
      before = line['step']
  evaluation = math.fsum(x.get('eval/secs') or 0 for x in lines)
  found = {'input and step': steps, 'evaluation': evaluation}
  return {what: secs for what, secs in found.items() if secs}
