"""How rows lie between their own class and the nearest other one.

At the end of each epoch a run that keeps a history of its rows (`labels.Past`)
writes `corrections/epoch_007.npz`:

    edges        float32 [81], of the bins of both cosines, from -1 to 1
    kept         uint32 [80, 80], how many rows have their given label, by the
                 cosine of that class and of the nearest other one
    corrected    uint32 [80, 80], how many have another label, by the cosine of
                 the given class and of that label
    phi          float32 [81]: a row with the cosine edges[i] to its own class
                 is trained as if it had phi[i], by the margin; that of an
                 embedding of mean length where it depends on that
    boundary     float32 [81]: a row with the cosine edges[i] to another class
                 lies beyond the boundary of that class if the cosine to its own
                 is below boundary[i]; NaN where there is none
    correcting   bool, whether the rule is in force at this epoch
    margin, rule str, their names in the config
    m            float32, head.m of the config
    rule_margin  float32, the rule's own: an angle of `boundary`, a difference
                 of cosines that `posterior` and `repface` have learned; NaN
                 where the margin's phi stands for it
    epoch        int32, from 1

Rows without a visit since a history is kept are left out. The boundary is the
rule's at the end of the epoch, the cosines are those of the rows' own visits in
the course of it. What is beyond that of `posterior` is more probably of the
other class; `repface` goes by earlier visits too; of both, the guard may let a
row keep its label nevertheless.
"""

import os
import pathlib
import zipfile
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from bfjax import atomic, errors, step
from bfjax.heads import angles

_DAMAGES = OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error
_BINS = 80
_EDGES = np.linspace(-1, 1, _BINS + 1, dtype=np.float32)


def of_epoch(run, state: step.TrainState, done: int) -> dict[str, Any]:
  """What the file of the epoch that ends at `done` holds.

  All processes call it. Each counts the rows that it has; nothing as long as
  the data set leaves its process.

  Args:
    run: see `setup.Run`.
    state: after `done` updates, with a history of the rows.
    done: updates.
  """
  kept, corrected = _count(state, run.given)
  epoch, _ = run.epoch_of(done)
  options = run.record['fixed'] | run.record['free']
  return {
    'edges': _EDGES,
    'kept': kept,
    'corrected': corrected,
    **_curves(run.recipe, state.head_state, done),
    'correcting': epoch > run.recipe.epoch_start,
    'margin': options['head.margin'],
    'rule': options['head.rule'],
    'm': np.float32(options['head.m']),
    'epoch': np.int32(epoch),
  }


def _count(state, given) -> np.ndarray:
  """Rows kept and corrected, by their two cosines: uint32 [2, bins, bins]."""
  past, counts = state.past, np.zeros((2, _BINS, _BINS), np.uint32)
  tables = state.table, past['agreed'], past['own'], past['other']
  for shards in zip(*(x.addressable_shards for x in tables), strict=True):
    mine = given[shards[0].index]  # the padding is not there
    table, agreed, own, other = (
      np.asarray(x.data)[: len(mine)] for x in shards
    )
    for kind, rows in enumerate((table == mine, table != mine)):
      rows &= agreed > 0
      cells, *_ = np.histogram2d(own[rows], other[rows], (_EDGES, _EDGES))
      counts[kind] += cells.astype(np.uint32)
  if jax.process_count() > 1:
    counts = multihost_utils.process_allgather(counts).sum(0, np.uint32)
  return counts


def _curves(recipe, head_state, done) -> dict[str, np.ndarray]:
  """phi, the boundary and the rule's own margin."""
  head, cosine = recipe.head, jnp.asarray(_EDGES)
  margin_state = jax.device_get(head_state['margin'])
  norm = jnp.full(len(cosine), margin_state.get('mean', 1.0))
  phi = head.margin.phi(cosine, norm, margin_state)
  told, own, beyond = {}, None, jnp.full(len(cosine), jnp.nan)
  if head.rule is not None:
    told = head.rule.tell(head_state['rule'], head.num_classes)
    own = recipe.rule_margin((done - 1) / recipe.steps_per_epoch + 1)
    beyond = phi if own is None else angles.add(cosine, own)
    beyond = jnp.where(beyond > 0, beyond, jnp.nan)
  if 'rule_margin' in told:
    own = told['rule_margin']
    beyond = cosine - own
  return {
    'phi': np.asarray(phi),
    'boundary': np.asarray(beyond),
    'rule_margin': np.asarray(np.nan if own is None else own, np.float32),
  }


def write(path: pathlib.Path, found: dict[str, Any]) -> None:
  """Writes what `of_epoch` has found; the folder is made."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with atomic.writing(path) as draft, draft.open('wb') as file:
    np.savez_compressed(file, **found)


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Name -> array of such a file.

  Raises:
    UserError: if it cannot be read.
  """
  try:
    # NumPy leaves the file of a damaged archive open.
    with open(path, 'rb') as file, np.load(file, allow_pickle=False) as found:
      return dict(found)
  except _DAMAGES as error:
    raise errors.UserError(f'{path} cannot be read: {error}') from error


def histograms(found: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict]:
  """The density of each cosine alone, as CLU's `write_histograms` takes it.

  Returns:
    (name -> middles of the bins, as often as there are rows in them; name ->
    number of buckets, of which one bin then fills each).
  """
  middles = (_EDGES[1:] + _EDGES[:-1]) / 2
  counts = found['kept'] + found['corrected']
  values, buckets = {}, {}
  for axis, name in ((1, 'cosines/own'), (0, 'cosines/nearest_other')):
    of_bins = counts.sum(axis, np.int64)
    values[name] = np.repeat(middles, of_bins)
    buckets[name] = int(np.ptp(np.flatnonzero(of_bins))) + 1
  return values, buckets
