"""What a run remembers of its rows, brought to the host: `labels.History`."""

import os
import pathlib

import jax
import numpy as np
from jax.experimental import multihost_utils

from bfjax import labels, step, text
from bfjax.data import order
from bfjax.storage import arrays, wholeness


def of_state(
  state: step.TrainState, num_rows: int, epoch: int
) -> labels.History:
  """That of a training, at the end of an epoch; all processes call it."""

  def on_host(table):
    if table is None:
      return None
    if jax.process_count() > 1:
      table = multihost_utils.process_allgather(table, tiled=True)
    return np.asarray(table)[:num_rows]

  agreed, own, other = (on_host(state.past.get(k)) for k in labels.HISTORY)
  return labels.History(on_host(state.table), agreed, own, other, epoch)


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
