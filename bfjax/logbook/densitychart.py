"""The paper's idea as a picture: rows between their own class and another.

A row lies at (cosine to its given class, cosine to another class). Below the
diagonal its own class is the nearer one. The margin asks for more than that;
and where the other class is nearer by more than the rule's boundary, the label
is corrected.
"""

import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib import figure

from bfjax.logbook import density
from bfjax.report import charts, page

_SIZE = 5, 5.4  # inches, 72 units of a page each
_SHOWN = 60  # epochs; of more, as many spread evenly
_KEPT, _CORRECTED = (0x2F, 0x8F, 0xD0), (0xEC, 0x70, 0x2B)
_FAINTEST = 0.12  # opacity of one row


def draw(folder: pathlib.Path) -> page.Slides | None:
  """A picture for each epoch, all of one scale; None where there is none.

  Args:
    folder: of the files that `density.write` has written.

  Raises:
    UserError: if one cannot be read.
  """
  paths = sorted(folder.glob('epoch_*.npz'))
  if not paths:
    return None
  shown = np.linspace(0, len(paths) - 1, min(_SHOWN, len(paths))).round()
  several = [density.read(paths[int(i)]) for i in shown]
  most = max(max(x['kept'].max(), x['corrected'].max()) for x in several)
  limits = _limits(several)
  pictures = []
  for one in several:
    kept, corrected = (int(one[x].sum()) for x in ('kept', 'corrected'))
    share = 100 * corrected / max(kept + corrected, 1)
    drawn = charts.svg(_sheet(one, most, limits))
    words = (
      f'{kept + corrected:,} rows, {corrected:,} of them corrected'
      f' ({share:.1f} %)'
    )
    pictures.append(page.Picture(drawn, words, 'svg'))
  return page.Slides('Epoch', [str(x['epoch']) for x in several], pictures)


def _sheet(one: Mapping, most, limits) -> figure.Figure:
  sheet, axis = charts.page_chart(_SIZE, top=0.5)
  axis.spines.left.set(visible=True, color='#b0b0b0')
  edges = one['edges']
  low, high = edges[[0, -1]]
  axis.imshow(
    _colours(one['kept'], one['corrected'], most),
    extent=(low, high, low, high),
    origin='lower',
    interpolation='none',
    zorder=2,
  )
  lines = [
    (edges, edges, '-', 'decision boundary'),
    (edges, one['phi'], '--', 'margin kept below'),
  ]
  if one['correcting']:
    lines.append((one['boundary'], edges, '-.', 'corrected above'))
  for own, other, dashes, words in lines:
    axis.plot(own, other, dashes, color='k', lw=1.3, label=words, zorder=3)
  for words, colour in (('kept', _KEPT), ('corrected', _CORRECTED)):
    colour = np.array(colour) / 255
    axis.plot([], [], 's', color=colour, label=words, markersize=7)
  axis.set(
    xlim=limits,
    ylim=limits,
    xlabel='cosine to the given class',
    ylabel='cosine to another class',
  )
  charts.legend(axis, 3)
  return sheet


def _colours(kept, corrected, most) -> np.ndarray:
  """uint8 [bins, bins, 4], other cosine by own: the corrected over the kept."""
  image = np.zeros((*kept.shape, 4))
  for counts, colour in ((kept, _KEPT), (corrected, _CORRECTED)):
    share = np.log1p(counts.T) / np.log1p(max(most, 1))
    alpha = np.where(share, _FAINTEST + (1 - _FAINTEST) * share, 0)[..., None]
    under = image[..., 3:] * (1 - alpha)
    total = alpha + under
    mixed = np.array(colour) * alpha + image[..., :3] * under
    image = np.concatenate([mixed / np.maximum(total, 1e-9), total], axis=2)
  image[..., 3] *= 255
  return image.round().astype(np.uint8)


def _limits(several) -> tuple[float, float]:
  """What range both cosines are in, with some air."""
  total = sum(x['kept'].astype(int) + x['corrected'] for x in several)
  used = np.flatnonzero(total.sum(axis=0) + total.sum(axis=1))
  first, last = (used[0], used[-1]) if len(used) else (0, len(total) - 1)
  edges = several[0]['edges']
  return max(edges[first] - 0.05, -1), min(edges[last + 1] + 0.05, 1)
