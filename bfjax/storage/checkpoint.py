"""Checkpoints of a run, and the record that tells one run from another.

`workdir/run.json` says what the run is; `workdir/checkpoints/STEP` holds the
training state and the same record, written by Orbax in the background, with
the digests of its files (see `wholeness`). A checkpoint that was cut short by
a kill does not count and is swept away.
"""

import asyncio
import contextlib
import json
import logging
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from bfjax import atomic, errors, peers, text
from bfjax.config import identity
from bfjax.storage import arrays, digests, diskerrors, wholeness

_log = logging.getLogger(__name__)


class _Draft(ocp.path.atomicity.AtomicRenameTemporaryPath):
  """The folder of a checkpoint under way: gets its name with its digests.

  Orbax renames it when all is written: to another name of a folder under way,
  of those that are swept away after a kill. An old checkpoint gets such a name
  too before it is deleted, file by file.
  """

  superseded: Callable[[], list[pathlib.Path]]  # given in `open_manager`

  async def finalize(self):
    final, draft = self.get_final(), self.get().name
    if not final.name.isdigit():  # an item of a checkpoint
      await super().finalize()
      return
    self._final_path = self.get().with_name(f'{draft}.complete')
    await super().finalize()
    await asyncio.to_thread(digests.write, self._final_path)
    os.rename(self._final_path, final)
    self._final_path = final
    for old in self.superseded():
      doomed = old.with_name(f'{draft}.{old.name}')
      os.rename(old, doomed)
      await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)


class _StateHandler(ocp.PyTreeCheckpointHandler):
  """Each process digests the arrays that it has written."""

  async def async_save(self, directory, args):
    writing = await super().async_save(directory, args=args)
    mine = directory / f'ocdbt.process_{jax.process_index()}'
    return [_Digested(writing or (), mine)]


class _Digested(ocp.future.Future):
  """What is being written in the background, and then its digests."""

  def __init__(self, writing, folder):
    self._writing, self._folder = writing, folder

  def result(self, timeout=None):
    for part in self._writing:
      part.result(timeout)
    if self._folder.is_dir():
      digests.write(self._folder)

  def cancel(self):
    for part in self._writing:
      part.cancel()


@contextlib.contextmanager
def open_manager(
  workdir: pathlib.Path,
  *,
  max_to_keep: int = 2,
  best_metric: str = '',
) -> Iterator[ocp.CheckpointManager]:
  """Opens `workdir/checkpoints`; waits for a save under way on closing.

  It keeps the latest `max_to_keep` checkpoints and, where `best_metric` names
  an evaluation score, the one with the highest.
  """

  def score(scores):
    return scores.get(best_metric, -math.inf)

  class Draft(_Draft):
    def superseded(self):
      return wholeness.superseded(workdir, max_to_keep, best_metric)

  options = ocp.CheckpointManagerOptions(
    preservation_policy=checkpoint_managers.EveryNSteps(1),  # the draft's
    best_fn=score if best_metric else None,
    cleanup_tmp_directories=True,
    temporary_path_class=Draft,
  )
  diskerrors.quieten()
  handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
  state_handler = _StateHandler()
  for arguments in (ocp.args.PyTreeSave, ocp.args.PyTreeRestore):
    handlers.add('state', arguments, state_handler)
  manager = ocp.CheckpointManager(
    (workdir / 'checkpoints').absolute(),
    options=options,
    handler_registry=handlers,
  )
  try:
    yield manager
  finally:
    with _telling_failures(manager):
      manager.close()


def save(manager, step: int, state, record: Mapping, scores: Mapping) -> None:
  """Begins to save, once the save before is done; training may go on at once.

  Args:
    manager: from `open_manager`.
    step: updates made.
    state: the training state.
    record: JSON values; see `check_same_run`.
    scores: those that the best checkpoint is chosen by, if evaluated.

  Raises:
    UserError: if this or the save before fails, as on a full disk. Whole
      checkpoints stay as they are.
  """
  wait(manager)
  with _telling_failures(manager):
    num_bytes = sum(x.nbytes for x in jax.tree.leaves(state))
    diskerrors.check_room(manager.directory, num_bytes)
    manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.PyTreeSave(state), record=ocp.args.JsonSave(dict(record))
      ),
      metrics=dict(scores) if scores else None,
      force=True,  # when to save is the caller's decision alone
    )


def wait(manager) -> None:
  """Waits for the save under way, if any; raises UserError if it fails."""
  with _telling_failures(manager):
    manager.wait_until_finished()


def _telling_failures(manager):
  """Makes what Orbax and TensorStore raise on a save one message."""
  steps = wholeness.steps(pathlib.Path(manager.directory).parent)
  return diskerrors.writing_to(
    manager.directory,
    'Once that is put right, the same command goes on from step'
    f' {max(steps, default=0)}.',
    also=(ValueError, RuntimeError),
  )


def saved(manager, step: int):
  """Nested dict of the state saved at `step`: leaves have shape and dtype."""
  return manager.item_metadata(step).state.tree


def restore(manager, step: int, state):
  """Returns the state saved at `step`, laid out on the devices as `state` is.

  Args:
    manager: from `open_manager`.
    step: one of `manager.all_steps()`.
    state: of the same run, such as a new one. Where the padding of a first
      axis differs (another number of devices), the array is cut or filled up.

  Raises:
    UserError: if the state saved has other arrays, as that of another version.
  """
  like = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
  )
  restore_args = jax.tree.map(
    lambda x: ocp.ArrayRestoreArgs(
      sharding=x.sharding, global_shape=x.shape, dtype=x.dtype, strict=False
    ),
    like,
  )
  arrays.check_same_shapes(
    saved(manager, step),
    like,
    f'The checkpoint of step {step} in {manager.directory} holds another state'
    ' than this bfjax has of such a run: it is of another version. Go on with'
    ' that version, or train anew in another --workdir. What differs:',
    padded=True,
  )
  restored = manager.restore(
    step,
    args=ocp.args.Composite(
      state=ocp.args.PyTreeRestore(like, restore_args=restore_args)
    ),
  )
  return restored.state


def claim_workdir(workdir: pathlib.Path, record: Mapping) -> None:
  """Writes the record of a new run, or checks that the workdir is this run's.

  Args:
    workdir: made if it is not there.
    record: {'fixed': {name: value}, 'free': {name: value}}: a changed fixed
      value would make a different run, a changed free one is only told.

  Raises:
    UserError: if a fixed value differs (both values are named), or there are
      checkpoints without a record.
    OSError: if the record cannot be written.
  """
  path = workdir / 'run.json'
  if jax.process_index() == 0 and not path.exists():
    if (workdir / 'checkpoints').exists():
      raise errors.UserError(
        f'{workdir} has checkpoints but no run.json that says of which run.'
        ' Give another --workdir.'
      )
    workdir.mkdir(parents=True, exist_ok=True)
    written = json.dumps(record, indent=2, sort_keys=True) + '\n'
    atomic.write_text(path, written)
  peers.exchange('opened the data set')
  old = text.read_json(path)
  identity.refuse_other(workdir, old['fixed'], record['fixed'])
  for name, before, now in identity.differences(old['free'], record['free']):
    _log.warning('%s was %r, now %r.', name, before, now)
