"""Charts of curves and histograms, as PNG files.

The colours are Okabe and Ito's, which the colour-blind can tell apart; lines
differ in their dashes too.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import axes, figure, ticker

from bfjax.report import results
from bfjax.text import printable

COLOURS = (
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#000000',
)
DASHES = ('-', '--', '-.', ':')


def draw_all(analysis: results.Analysis) -> dict[str, bytes]:
  """Title -> PNG of every curve and histogram."""
  curves = {k: draw_curves({k: x}, k) for k, x in analysis.curves.items()}
  found = analysis.histograms
  return curves | {k: draw_histogram(x, k) for k, x in found.items()}


def draw_curves(curves: Mapping[str, results.Curve], title: str = '') -> bytes:
  """Draws curves into one chart.

  Args:
    curves: what the legend calls it -> curve; all with the axes of the first.
    title: above the chart.

  Returns:
    the PNG.
  """
  sheet, axis = new_chart(title)
  first = next(iter(curves.values()))
  if first.log_x:
    _make_logarithmic(axis, curves.values())
  lines = [
    axis.plot(curve.x, curve.y, linewidth=1.8, **_style(i))[0]
    for i, curve in enumerate(curves.values())
  ]
  axis.set(xlabel=first.x_label, ylabel=first.y_label)
  if len(curves) > 1 or title != next(iter(curves)):
    # Given as they are: labels of lines may not begin with an underscore.
    axis.legend(lines, map(_plain, curves), fontsize=8)
  return png(sheet)


def draw_histogram(histogram: results.Histogram, title: str = '') -> bytes:
  """Draws the kinds of pairs of a histogram over one another; the PNG."""
  sheet, axis = new_chart(title)
  for i, (kind, counts) in enumerate(histogram.counts.items()):
    style, edges = _style(i), histogram.edges
    axis.stairs(counts, edges, fill=True, color=style['color'], alpha=0.45)
    axis.stairs(counts, edges, label=kind, **style)
  axis.set(xlabel=histogram.x_label, ylabel='pairs')
  axis.legend(fontsize=8)
  return png(sheet)


def new_chart(
  title: str, size: tuple[float, float] = (5, 3.4)
) -> tuple[figure.Figure, axes.Axes]:
  """A sheet of so many inches, 130 pixels each, and its axes."""
  sheet = figure.Figure(figsize=size, dpi=130, layout='constrained')
  axis = sheet.subplots()
  axis.set_title(_plain(title), fontsize=10)
  axis.grid(alpha=0.3)
  axis.spines[['top', 'right']].set_visible(False)
  return sheet, axis


def _style(i: int) -> dict[str, Any]:
  """The colour and the dashes of line i."""
  return {
    'color': COLOURS[i % len(COLOURS)],
    'linestyle': DASHES[i % len(DASHES)],
  }


def _plain(name: str) -> str:
  """A name without the meaning that matplotlib sees in dollars."""
  return printable(name).replace('$', r'\$')


def png(sheet: figure.Figure) -> bytes:
  """The sheet as a PNG file, the same bytes each time."""
  file = io.BytesIO()
  sheet.savefig(file, format='png', metadata={'Software': None})
  return file.getvalue()


def _make_logarithmic(axis, curves) -> None:
  """Shows rates over the positive x, a decade at least, with some air."""
  positive = np.concatenate([curve.x[curve.x > 0] for curve in curves])
  right = float(np.max(positive, initial=0.0)) or 1.0
  left = float(np.min(positive, initial=right / 10))
  lowest = min(np.interp(left, x.x, x.y, left=x.y[0]) for x in curves)
  axis.set_xscale('log')
  axis.set(
    xlim=(left, right), ylim=(lowest - 0.03 * (1 - lowest) - 0.005, 1.005)
  )
  # Where an axis is short, they would overlap.
  axis.xaxis.set_minor_formatter(ticker.NullFormatter())
