"""A picture of a data set: images per class, equal images across classes."""

import pathlib

import numpy as np
from matplotlib import figure

from bfjax import atomic, errors
from bfjax.data import images, labelled
from bfjax.datasets.inspection import census, findings

_GROUPS, _PER_GROUP = 4, 4
_THUMB = 112
_COLOUR = '#0072b2'


def draw(
  path: pathlib.Path, source: labelled.Source, seen: census.Census
) -> None:
  """Draws the histogram, and some of the equal images with their labels.

  Args:
    path: of the picture; its ending says the format, .png or .svg.
    source: the data set.
    seen: what was found in it.
  """
  groups = seen.across_classes[:_GROUPS]
  heights = [3.2, 1.5 * len(groups)] if groups else [3.2]
  sheet = figure.Figure(
    figsize=(8, sum(heights)), dpi=110, layout='constrained'
  )
  parts = sheet.subfigures(len(heights), squeeze=False, height_ratios=heights)
  _histogram(parts[0, 0].subplots(), seen)
  if groups:
    parts[1, 0].suptitle('The same bytes under several labels', fontsize=10)
    axes = parts[1, 0].subplots(len(groups), _PER_GROUP, squeeze=False)
    for axis in axes.flat:
      axis.set_axis_off()
    for line, rows in zip(axes, groups, strict=True):
      for axis, row in zip(line, rows, strict=False):
        _image(axis, source, row)
  with atomic.writing(path) as draft:
    sheet.savefig(draft, format=path.suffix[1:] or 'png')


def _histogram(axis, seen):
  numbers = [number for _, _, number in seen.histogram]
  bars = axis.bar(findings.ranges(seen), numbers, color=_COLOUR)
  axis.bar_label(bars, fontsize=8)
  axis.set(
    xlabel='images per class',
    ylabel='classes',
    title=f'{seen.images} images of {seen.classes} classes',
  )
  axis.tick_params(axis='x', labelsize=8)
  axis.spines[['top', 'right']].set_visible(False)


def _image(axis, source, row):
  [(name, label)] = findings.named(source, [row])
  axis.set_title(f'{label}\n{name[-28:]}', fontsize=7)
  try:
    [encoded] = source.read(np.array([row]))
    axis.imshow(images.decode(encoded, _THUMB))
  except errors.UserError:
    axis.text(0.5, 0.5, 'unreadable', ha='center')
