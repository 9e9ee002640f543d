"""Charts of curves and histograms, as PNG files or parts of a page.

The colours are Okabe and Ito's, which the colour-blind can tell apart; lines
differ in their dashes too.
"""

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
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
# What stands for the colours of charts in a page, which has two colour schemes.
_IN_PAGES = {
  **{x.lower(): f'var(--c{i})' for i, x in enumerate(COLOURS[:-1])},
  '#000000': 'currentColor',
  '#b0b0b0': 'var(--line)',  # a grid
  '#cccccc': 'var(--line)',  # around a legend
  '#808080': 'var(--soft)',  # 'grey'
  '#ffffff': 'var(--page)',
}


def png(sheet: figure.Figure) -> bytes:
  """The sheet as a PNG file, the same bytes each time."""
  file = io.BytesIO()
  sheet.savefig(file, format='png', metadata={'Software': None})
  return file.getvalue()


Form = Callable[[figure.Figure], bytes]  # `png` or `svg`


def draw_all(analysis: results.Analysis, form: Form = png) -> dict[str, bytes]:
  """Title -> picture of every curve and histogram."""
  curves = {k: draw_curves({k: x}, k, form) for k, x in analysis.curves.items()}
  found = analysis.histograms
  return curves | {k: draw_histogram(x, k, form) for k, x in found.items()}


def draw_curves(
  curves: Mapping[str, results.Curve], title: str = '', form: Form = png
) -> bytes:
  """Draws curves into one chart.

  Args:
    curves: what the legend calls it -> curve; all with the axes of the first.
    title: above the chart.
    form: of the picture.
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
    axis.legend(lines, map(plain, curves), fontsize=8)
  return form(sheet)


def draw_histogram(
  histogram: results.Histogram, title: str = '', form: Form = png
) -> bytes:
  """Draws the kinds of pairs of a histogram over one another."""
  sheet, axis = new_chart(title)
  for i, (kind, counts) in enumerate(histogram.counts.items()):
    style, edges = _style(i), histogram.edges
    axis.stairs(counts, edges, fill=True, color=style['color'], alpha=0.45)
    axis.stairs(counts, edges, label=kind, **style)
  axis.set(xlabel=histogram.x_label, ylabel='pairs')
  axis.legend(fontsize=8)
  return form(sheet)


def new_chart(
  title: str, size: tuple[float, float] = (5, 3.4)
) -> tuple[figure.Figure, axes.Axes]:
  """A sheet of so many inches, 130 pixels each, and its axes."""
  sheet = figure.Figure(figsize=size, dpi=130, layout='constrained')
  axis = sheet.subplots()
  axis.set_title(plain(title), fontsize=10)
  axis.grid(alpha=0.3)
  axis.spines[['top', 'right']].set_visible(False)
  return sheet, axis


def page_chart(
  size: tuple[float, float] = (4.6, 2.5), top: float = 0.3
) -> tuple[figure.Figure, axes.Axes]:
  """A calm chart for a page, to be given to `svg`.

  Of one size, all have their axes at one place.

  Args:
    size: in inches, 72 units of the page each.
    top: inches above the axes, for a legend.
  """
  width, height = size
  sheet = figure.Figure(figsize=size)
  left, bottom = 0.48, 0.48
  axis = sheet.add_axes(
    (
      left / width,
      bottom / height,
      (width - left - 0.1) / width,
      (height - bottom - top) / height,
    )
  )
  axis.spines[:].set_visible(False)
  axis.spines.bottom.set(visible=True, color='#b0b0b0')
  axis.tick_params(length=0, labelcolor='grey', labelsize=9, pad=5)
  axis.grid(axis='y', linewidth=0.8)
  axis.xaxis.label.set_color('grey')
  axis.yaxis.label.set_color('grey')
  return sheet, axis


def legend(axis: axes.Axes, columns: int) -> None:
  """Names the lines above the chart."""
  axis.legend(
    loc='lower left',
    bbox_to_anchor=(-0.02, 1),
    ncols=columns,
    labelcolor='grey',
    frameon=False,
    fontsize=9,
    handlelength=1.5,
    handletextpad=0.5,
    columnspacing=1.2,
    borderpad=0.2,
  )


def _style(i: int) -> dict[str, Any]:
  """The colour and the dashes of line i."""
  return {
    'color': COLOURS[i % len(COLOURS)],
    'linestyle': DASHES[i % len(DASHES)],
  }


def plain(name: str) -> str:
  """A name without the meaning that matplotlib sees in dollars."""
  return printable(name).replace('$', r'\$')


def svg(sheet: figure.Figure) -> bytes:
  """The sheet as SVG to stand in a page of HTML, the same bytes each time.

  Its texts are texts, of the page's font; the colours above, black, white and
  grey are those that page.css gives in either colour scheme. The title is left
  to the page.
  """
  file = io.StringIO()
  sheet.patch.set_visible(False)
  for axis in sheet.axes:
    axis.patch.set_visible(False)
    axis.set_title('')
  with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': ''}):
    sheet.savefig(file, format='svg', metadata={'Date': None})
  drawn = re.sub(
    r'<!--.*?-->|<metadata>.*?</metadata>', '', file.getvalue(), flags=re.DOTALL
  )
  drawn = drawn[drawn.index('<svg') :]
  # Ids are those of the whole page: few, and of this chart alone.
  digest = hashlib.sha256(drawn.encode()).hexdigest()[:8]
  used = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', drawn))

  def in_page(tag):
    tag = re.sub(r' xmlns(?::\w+)?="[^"]*"', '', tag[0])
    tag = tag.replace('xlink:href', 'href')
    tag = re.sub(r'(url\(|href=")#', rf'\1#{digest}-', tag)
    tag = re.sub(
      r' id="([^"]*)"',
      lambda x: f' id="{digest}-{x[1]}"' if x[1] in used else '',
      tag,
    )
    return re.sub('#[0-9a-f]{6}', lambda x: _IN_PAGES.get(x[0], x[0]), tag)

  # Within tags alone: texts are others' names.
  return re.sub('<[^<>]*>', in_page, drawn).encode()


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
