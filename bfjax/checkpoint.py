"""Checkpoints of a run, and the record that tells one run from another.

`workdir/run.json` says what the run is; `workdir/checkpoints/STEP` holds the
training state and the same record, written by Orbax in the background. A
checkpoint that was cut short by a kill does not count and is swept away.
"""

import contextlib
import json
import logging
import pathlib
from collections.abc import Iterator, Mapping

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from bfjax import atomic, errors

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def open_manager(
  workdir: pathlib.Path,
  *,
  max_to_keep: int = 2,
  best_metric: str = '',
  read_only: bool = False,
) -> Iterator[ocp.CheckpointManager]:
  """Opens `workdir/checkpoints`; waits for a save under way on closing.

  It keeps the latest `max_to_keep` checkpoints and, where `best_metric` names
  an evaluation score, the one with the highest; `best_step()` tells which.
  """
  policies = [checkpoint_managers.LatestN(max_to_keep)]

  def score(scores):
    return scores[best_metric]

  if best_metric:
    policies.append(
      checkpoint_managers.BestN(
        get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False
      )
    )
  options = ocp.CheckpointManagerOptions(
    preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
    best_fn=score if best_metric else None,
    enable_async_checkpointing=not read_only,
    cleanup_tmp_directories=not read_only,
    read_only=read_only,
  )
  manager = ocp.CheckpointManager(
    (workdir / 'checkpoints').absolute(), options=options
  )
  try:
    yield manager
  finally:
    manager.close()


def save(manager, step: int, state, record: Mapping, scores: Mapping) -> None:
  """Begins to save; training may go on at once.

  Args:
    manager: from `open_manager`.
    step: updates made.
    state: the training state.
    record: JSON values; see `check_same_run`.
    scores: those that the best checkpoint is chosen by, if evaluated.
  """
  manager.save(
    step,
    args=ocp.args.Composite(
      state=ocp.args.PyTreeSave(state), record=ocp.args.JsonSave(dict(record))
    ),
    metrics=dict(scores) if scores else None,
    force=True,  # when to save is the caller's decision alone
  )


def restore(manager, step: int, state):
  """Returns the state saved at `step`, laid out on the devices as `state` is.

  Args:
    manager: from `open_manager`.
    step: one of `manager.all_steps()`.
    state: of the same run, such as a new one. Where only the padding of a
      first axis differs (another number of devices), the saved array is cut
      or filled up with zeros.
  """
  like = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
  )
  arrays = jax.tree.map(
    lambda x: ocp.ArrayRestoreArgs(
      sharding=x.sharding, global_shape=x.shape, dtype=x.dtype, strict=False
    ),
    like,
  )
  restored = manager.restore(
    step,
    args=ocp.args.Composite(
      state=ocp.args.PyTreeRestore(like, restore_args=arrays)
    ),
  )
  return restored.state


def has_begun(workdir: pathlib.Path) -> bool:
  """Whether a run's workdir holds a checkpoint."""
  folder = workdir / 'checkpoints'
  return folder.is_dir() and any(p.name.isdigit() for p in folder.iterdir())


def choose_step(manager, wanted: str) -> int:
  """The step of a checkpoint: of 'last', of 'best', or of a step number.

  Raises:
    UserError: if there is no such checkpoint; those there are are listed.
  """
  steps = manager.all_steps()
  chosen = {
    'last': manager.latest_step(),
    'best': manager.best_step(),
    **{str(step): step for step in steps},
  }.get(wanted)
  if chosen is None:
    raise errors.UserError(
      f'No checkpoint {wanted!r} in {manager.directory}. There are steps:'
      f' {", ".join(map(str, steps)) or "none"}.'
    )
  return chosen


def claim_workdir(workdir: pathlib.Path, record: Mapping) -> None:
  """Writes the record of a new run, or checks that the workdir is this run's.

  Args:
    workdir: made if it is not there.
    record: {'fixed': {name: value}, 'free': {name: value}}: a changed fixed
      value would make a different run, a changed free one is only told.

  Raises:
    UserError: if a fixed value differs (both values are named), there are
      checkpoints without a record, or the folder cannot be made.
  """
  path = workdir / 'run.json'
  if jax.process_index() == 0 and not path.exists():
    _write_record(workdir, path, record)
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices('run.json')
  try:
    old = json.loads(path.read_text())
  except json.JSONDecodeError as error:
    raise errors.UserError(f'{path} cannot be read: {error}.') from error
  _compare(path, old, record)


def _write_record(workdir, path, record):
  if (workdir / 'checkpoints').exists():
    raise errors.UserError(
      f'{workdir} has checkpoints but no run.json that says of which run.'
      ' Give another --workdir.'
    )
  try:
    workdir.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise errors.UserError(
      f'--workdir={workdir} cannot be made a folder: {error.strerror}.'
    ) from error
  atomic.write_text(path, json.dumps(record, indent=2, sort_keys=True) + '\n')


def _compare(path, old, new):
  new = json.loads(json.dumps(new))  # tuples become lists, as in the file
  changed = _differences(old['fixed'], new['fixed'])
  if changed:
    raise errors.UserError(
      f'{path.parent} holds another run: '
      + '; '.join(f'{n} was {a!r}, now {b!r}' for n, a, b in changed)
      + '. Give the old values to go on with it, or another --workdir.'
    )
  for name, before, now in _differences(old['free'], new['free']):
    _log.warning('%s was %r, now %r.', name, before, now)


def _differences(old, new):
  return [
    (name, old.get(name), new.get(name))
    for name in sorted(old.keys() | new.keys())
    if old.get(name) != new.get(name)
  ]
