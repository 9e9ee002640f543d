"""Nested dicts of arrays on disk, read on the host with nothing of them here.

A checkpoint of a run is restored onto devices by `checkpoint`; this is for
whoever wants some of its arrays, or those of a model folder, as they are.
"""

import contextlib
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp

from bfjax import errors


def save(path: pathlib.Path, tree) -> None:
  """Writes nested dicts of arrays to the new folder `path`."""
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    checkpointer.save(path.absolute(), args=ocp.args.PyTreeSave(tree))


def saved(path: pathlib.Path):
  """Nested dict of what such a folder holds: leaves have shape and dtype.

  Raises:
    UserError: if the folder cannot be read.
  """
  with _reading(path) as checkpointer:
    return checkpointer.metadata(path.absolute()).item_metadata.tree


def read(path: pathlib.Path, like):
  """Reads the arrays of such a folder that `like`, a part of it, names.

  Args:
    path: the folder; `checkpoints/STEP/state` of a run is one.
    like: nested dict of shapes and dtypes, as `saved` gives them.

  Returns:
    the same nested dict of numpy arrays.

  Raises:
    UserError: if the folder cannot be read.
  """
  restore_args = jax.tree.map(
    lambda x: ocp.RestoreArgs(restore_type=np.ndarray, dtype=x.dtype), like
  )
  arguments = ocp.args.PyTreeRestore(
    like, restore_args=restore_args, partial_restore=True
  )
  with _reading(path) as checkpointer:
    return checkpointer.restore(path.absolute(), args=arguments)


@contextlib.contextmanager
def _reading(path):
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    try:
      yield checkpointer
    except (OSError, ValueError, KeyError, AttributeError) as error:
      raise errors.UserError(
        f'The arrays in {path} cannot be read: {error}'
      ) from error


def check_same_shapes(given, wanted, error: str, *, padded: bool = False):
  """Raises UserError, with all that differs, unless two trees fit.

  Args:
    given: nested dicts of arrays or shapes.
    wanted: likewise.
    error: what is wrong then, before the lines that tell what differs.
    padded: whether the length of first axes may differ.
  """
  given, wanted = _shapes(given), _shapes(wanted)

  def fits(name):
    one, other = given.get(name), wanted.get(name)
    if padded and one and other:
      return one[1:] == other[1:]
    return one == other

  lines = [
    f'  {name}: {given.get(name, "not there")}, expected'
    f' {wanted.get(name, "nothing of this name")}'
    for name in sorted(given.keys() | wanted.keys())
    if not fits(name)
  ]
  if lines:
    raise errors.UserError('\n'.join([error, *lines]))


def _shapes(tree) -> dict[str, tuple[int, ...]]:
  """'a/b/c' -> shape, of every leaf of a tree."""
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): tuple(leaf.shape)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
