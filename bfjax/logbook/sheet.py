"""The sheet of corrections: some corrected samples beside their classes."""

import pathlib

import numpy as np
from matplotlib import figure

from bfjax import atomic
from bfjax.data import images, labelled
from bfjax.report import classes, review
from bfjax.text import printable

PICTURED = 8  # corrected samples in a picture
_LONGEST = 17  # characters above an image
_COLOURS = {'sample': 'black', 'given': 'tab:red', 'new': 'tab:green'}


def picture_corrections(
  path: pathlib.Path,
  source: labelled.Source,
  given: np.ndarray,
  corrected: np.ndarray,
  labels: np.ndarray,
  *,
  seed: int,
) -> np.ndarray:
  """Draws some corrected samples beside images of the two classes.

  A row a sample: the sample, then three images whose label is the given one
  and stayed so, then three of the new label. Where the true labels are known,
  each sample is marked as right or wrong.

  Args:
    path: of the PNG.
    source: the data set.
    given: int32 [rows], the labels that training was given.
    corrected: int [k], the corrected rows, ascending; at least one.
    labels: int [k], their labels now.
    seed: of the choice of samples.

  Returns:
    The picture, uint8 [height, width, 3].
  """
  rng = np.random.default_rng(seed)
  shown = np.sort(
    rng.choice(corrected, min(PICTURED, len(corrected)), replace=False)
  )
  sheet = figure.Figure(
    figsize=(9, 1.4 * len(shown) + 0.5), dpi=100, layout='constrained'
  )
  sheet.suptitle(
    'Corrected samples, and images of the label that each was given (red) and'
    ' of its new one (green)',
    fontsize=9,
  )
  axes = sheet.subplots(len(shown), 7, squeeze=False)
  for line, row in zip(axes, shown, strict=True):
    old, new = given[row], labels[np.searchsorted(corrected, row)]
    cells = [('sample', row)]
    cells += [('given', r) for r in _examples(rng, given == old, corrected)]
    cells += [('new', r) for r in _examples(rng, given == new, corrected)]
    for axis, (kind, shown_row) in zip(line, cells, strict=True):
      axis.set(xticks=[], yticks=[])
      axis.spines[:].set(color=_COLOURS[kind], linewidth=2.5)
      if shown_row is not None:
        axis.imshow(images.decode_whole(source.read(np.array([shown_row]))[0]))
    line[0].set_ylabel(f'row {row}', fontsize=8)
    _write_above(line[0], 1, *_judged(source, old, new, row))
    old_name, new_name = (
      classes.title(source, label, np.flatnonzero(given == label))
      for label in (old, new)
    )
    _write_above(line[1], 3, f'given: {old_name}')
    _write_above(line[4], 3, f'new: {new_name}')
  with atomic.writing(path) as draft:
    sheet.savefig(draft, format='png')
  return images.decode_whole(path.read_bytes())


def _examples(rng, wanted, corrected):
  """Three rows of those wanted, but for corrected ones, filled up with None."""
  rows = np.setdiff1d(np.flatnonzero(wanted), corrected, assume_unique=True)
  chosen = rng.choice(rows, min(3, len(rows)), replace=False)
  return [*chosen, *[None] * (3 - len(chosen))]


def _judged(source, old, new, row):
  """What the truth says of a correction, and the colour to say it in."""
  said = review.truth(source, old, new, row)
  return said, _COLOURS['new' if said == 'right' else 'given']


def _write_above(axis, num_images, text, colour='black'):
  """A line above so many images; what is too long loses its middle."""
  half = num_images * _LONGEST // 2
  if len(text) > 2 * half:
    text = f'{text[: half - 2]}...{text[2 - half :]}'
  axis.set_title(
    printable(text),
    loc='left',
    fontsize=8,
    pad=3,
    color=colour,
    parse_math=False,  # of dollars in names
    in_layout=False,  # it may be wider than its image
  )
