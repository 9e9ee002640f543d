"""What a run remembers of its rows, brought to the host: `labels.History`."""

import os
import pathlib

from bfjax import labels, step, text
from bfjax.data import order
from bfjax.storage import arrays, wholeness


def of_process(
  state: step.TrainState, num_rows: int, epoch: int
) -> tuple[slice, labels.History]:
  """The rows that lie on this process's devices, and what is known of them.

  Args:
    state: of a training, at the end of an epoch.
    num_rows: of the data set.
    epoch: from 1.
  """
  rows, label = labels.of_process(state.table, num_rows)
  past = [state.past.get(name) for name in labels.HISTORY]
  known = (x if x is None else labels.of_process(x, num_rows)[1] for x in past)
  return rows, labels.History(label, *known, epoch)  # type: ignore[call-arg,arg-type]


def read(
  workdir: str | os.PathLike, wanted: int | str = 'last'
) -> labels.History:
  """That of a checkpoint of a run.

  Of one that was saved within an epoch, `since` is one too early for the rows
  that had been visited in that epoch.

  Args:
    workdir: of the run, which may be running.
    wanted: the step of the checkpoint, or 'last'.

  Raises:
    UserError: if there is no such checkpoint, or it is damaged.
  """
  workdir = pathlib.Path(workdir)
  done = wholeness.choose_step(workdir, str(wanted))
  folder = wholeness.folder_of(workdir, done)
  fixed = text.read_json(folder / 'record' / 'metadata')['fixed']
  num_rows = fixed['number of rows']
  batch = fixed['batch'] * fixed['accumulate']
  saved = arrays.saved(folder / 'state')
  kept = saved.get('past', {})
  past = {k: kept[k] for k in labels.HISTORY if k in kept}
  like = {'table': saved['table']} | ({'past': past} if past else {})
  found = arrays.read(folder / 'state', like)
  past = {k: x[:num_rows] for k, x in found.get('past', {}).items()}
  agreed, own, other = map(past.get, labels.HISTORY)
  epoch = done // order.steps_per_epoch(num_rows, batch)
  return labels.History(found['table'][:num_rows], agreed, own, other, epoch)
