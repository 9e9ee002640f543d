"""What an epoch has corrected: its log, its sheet, its scores.

Of several processes each counts and writes down its own rows, in a file beside
the log, and the first one joins them. None holds the labels of all rows.
"""

import contextlib
import itertools
import math
import pathlib
from collections.abc import Iterator

import jax
import numpy as np

from bfjax import atomic, fit, labels, peers
from bfjax.data import correctionlog
from bfjax.logbook import sheet

_ALWAYS = 'wrong_labels'  # of the scores, before anything is corrected too


def write(
  path: pathlib.Path, run, rows: slice, known: labels.History
) -> tuple[dict[str, float], np.ndarray | None]:
  """Writes the correction log of an epoch, and the sheet.

  All processes call it.

  Args:
    path: of the log; the sheet lies beside it.
    run: see `setup.Run`.
    rows: those of this process.
    known: of them.

  Returns:
    'corrections/share' (of all rows) and, where the true labels are known, the
    scores of `fit.score`; where nothing is corrected, or not
    yet, the share of wrong labels alone. And the sheet, uint8 [height, width,
    3], in the first process and where there is one.
  """
  source, given, recipe = run.source, run.given, run.recipe
  true = None if source.true_labels is None else source.true_labels[rows]
  counts = _summed(fit.count(given[rows], known.label, true))
  picture = None
  if recipe.head.rule:
    mine = correctionlog.corrected(given[rows], known, rows.start)
    with _gathered(path, mine) as parts:
      if jax.process_index() == 0:
        which = correctionlog.write(path, source, given, parts)
        if counts.corrected:
          picture = sheet.picture_corrections(
            path.with_suffix('.png'), source, given, *which, seed=run.seed
          )
  corrects = bool(recipe.head.rule) and known.epoch > recipe.epoch_start
  scores = {'share': counts.corrected / source.num_rows} if corrects else {}
  if true is not None:
    found = fit.score(counts)
    scores |= found._asdict() if corrects else {_ALWAYS: found.wrong_labels}
  told = {f'corrections/{k}': x for k, x in scores.items() if not math.isnan(x)}
  return told, picture


def _summed(counts):
  """The counts of the whole data set."""
  everywhere = peers.exchange('counted its corrections', counts)
  return fit.Counts(*map(sum, zip(*everywhere, strict=True)))


@contextlib.contextmanager
def _gathered(log, mine) -> Iterator[Iterator[correctionlog.Corrected]]:
  """Gives the first process the parts of all, from the first row to the last.

  One part is read at a time. The other processes are given their own.
  """
  index = jax.process_index()
  if index:
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = {k: x for k, x in mine.known._asdict().items() if x is not None}
    with atomic.writing(_part(log, index)) as draft, draft.open('wb') as file:
      np.savez(file, row=mine.row, **kept)
  peers.exchange('left its corrections')
  yield itertools.chain([mine], () if index else _others(log))
  if not index:
    for part in log.parent.glob(_part(log, '*').name):  # those of a kill, too
      part.unlink()


def _others(log):
  for index in range(1, jax.process_count()):
    with np.load(_part(log, index)) as found:
      known = [found.get(name) for name in labels.History._fields]
      yield correctionlog.Corrected(found['row'], labels.History(*known))


def _part(log, index) -> pathlib.Path:
  return log.with_name(f'.{log.stem}.part-{index}.npz')
