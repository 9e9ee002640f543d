"""What a run leaves for people: the correction log and its pictures."""

import pathlib

import jax
import numpy as np
from jax.experimental import multihost_utils
from matplotlib import figure

from bfjax import atomic
from bfjax.data import files, images, sources

PICTURED = 8  # corrected samples in a picture


def fetch_table(table: jax.Array, num_rows: int) -> np.ndarray:
  """The label table without its padding on every process: int32 [num_rows]."""
  if jax.process_count() > 1:
    table = multihost_utils.process_allgather(table, tiled=True)
  return np.asarray(table)[:num_rows]


def write_corrections(
  path: pathlib.Path,
  source: sources.Source,
  given: np.ndarray,
  table: np.ndarray,
) -> None:
  """Writes one line for every row whose label is not the given one.

  The columns, between tabs: row (from 0, as in the list), path, given label,
  new label; labels as the user's list writes them.

  Args:
    path: the file; its folder is made.
    source: the data set.
    given: int32 [rows], the labels that training was given.
    table: int32 [rows], the labels now.
  """
  name = source.class_names
  path.parent.mkdir(parents=True, exist_ok=True)
  with (
    atomic.writing(path) as draft,
    draft.open('w', encoding='utf-8', errors='surrogateescape') as log,
  ):
    log.write('row\tpath\tgiven_label\tnew_label\n')
    for row in np.flatnonzero(given != table):
      log.write(
        f'{row}\t{source.name(row)}\t{name[given[row]]}\t{name[table[row]]}\n'
      )


def picture_corrections(
  path: pathlib.Path,
  source: sources.Source,
  given: np.ndarray,
  table: np.ndarray,
  *,
  seed: int,
) -> np.ndarray:
  """Draws some corrected samples beside images of the two classes.

  A row a sample: the sample, then three images whose label is the given one
  and stayed so, then three of the new label.

  Args:
    path: of the PNG.
    source: the data set.
    given: int32 [rows], the labels that training was given.
    table: int32 [rows], the labels now; it differs from `given` somewhere.
    seed: of the choice of samples.

  Returns:
    The picture, uint8 [height, width, 3].
  """
  rng = np.random.default_rng(seed)
  corrected = np.flatnonzero(given != table)
  shown = np.sort(
    rng.choice(corrected, min(PICTURED, len(corrected)), replace=False)
  )
  sheet = figure.Figure(
    figsize=(9, 1.32 * len(shown) + 0.5), dpi=100, layout='constrained'
  )
  axes = sheet.subplots(len(shown), 7, squeeze=False)
  settled = given == table
  for line, row in zip(axes, shown, strict=True):
    old, new = given[row], table[row]
    cells = [('sample', row)]
    cells += [('given', r) for r in _examples(rng, settled & (given == old))]
    cells += [('new', r) for r in _examples(rng, settled & (given == new))]
    for axis, (kind, shown_row) in zip(line, cells, strict=True):
      axis.set_xticks([])
      axis.set_yticks([])
      axis.spines[:].set_color(_COLOURS[kind])
      axis.spines[:].set_linewidth(2.5)
      if shown_row is not None:
        axis.imshow(images.decode_whole(source.read([shown_row])[0]))
    line[0].set_ylabel(f'row {row}', fontsize=8)
    line[1].set_title(f'given: {source.class_names[old]}', fontsize=8, pad=3)
    line[4].set_title(f'new: {source.class_names[new]}', fontsize=8, pad=3)
  axes[0][0].set_title('corrected', fontsize=8, pad=3)
  with atomic.writing(path) as draft:
    sheet.savefig(draft, format='png')
  return images.decode_whole(path.read_bytes())


_COLOURS = {'sample': 'black', 'given': 'tab:red', 'new': 'tab:green'}


def _examples(rng, wanted):
  """Three rows of those wanted, filled up with None."""
  rows = np.flatnonzero(wanted)
  chosen = rng.choice(rows, min(3, len(rows)), replace=False)
  return [*chosen, *[None] * (3 - len(chosen))]


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file at once or not at all; its folder is made."""
  path.parent.mkdir(parents=True, exist_ok=True)
  atomic.write_text(path, text)


def write_skipped(path: pathlib.Path, source, rows) -> None:
  """Writes `row<TAB>path` of the images that were skipped as unreadable."""
  lines = (f'{row}\t{files.printable(source.name(row))}\n' for row in rows)
  write_text(path, ''.join(lines))


def read_skipped(path: pathlib.Path) -> list[int]:
  """The rows of such a file; none if there is no file."""
  if not path.exists():
    return []
  return [int(line.split('\t')[0]) for line in path.read_text().splitlines()]
