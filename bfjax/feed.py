"""Batches on the devices, ahead of need."""

import collections
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from bfjax import sharding

_AHEAD = 2  # batches on their way while a step is computed


def ahead(batches: Iterable[dict], mesh: jax.sharding.Mesh) -> Iterator[dict]:
  """Yields batches on the devices, when the next ones are on their way there.

  Args:
    batches: as `pipeline.train_batches` yields them, of this process's rows.
    mesh: the devices of all processes, over which a batch lies by its rows.

  Yields:
    'image', 'label', 'row', 'mask' and 'skipped', float32 [n], as
    `step.train_step` takes them.
  """
  waiting = collections.deque()
  for batch in batches:
    waiting.append(to_devices(batch, mesh))
    if len(waiting) > _AHEAD:
      yield waiting.popleft()
  yield from waiting


def to_devices(batch: dict, mesh: jax.sharding.Mesh) -> dict:
  """Each process's rows -> arrays over all devices; see `ahead`."""
  mask = batch['mask']
  share = batch['skipped'] / max(mask.sum(), 1)
  skipped = np.full(len(mask), share, np.float32)
  return {
    name: jax.make_array_from_process_local_data(sharding.rows(mesh), rows)
    for name, rows in (batch | {'skipped': skipped}).items()
  }
