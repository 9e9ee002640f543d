"""What a file of another trainer holds: the net's state dict, the centres."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bfjax import errors

# Where trainers put the net's state dict, and the prefixes they give it.
_STATES = (
  'net_state_dict',  # BoundaryFace, one GPU
  'state_dict',  # BoundaryFace, several; FaceX-Zoo; AdaFace
  'state_dict_backbone',  # arcface_torch, to go on training
)
_SOFTMAX = 'state_dict_softmax_fc'  # its centres, of one GPU
_PARALLEL = 'module.'
_NET_PREFIXES = ('backbone.', 'model.')
_HEAD = 'head.'
_CENTRES = ('weight', 'kernel')
# What heads keep beside their centres: averages for their margins.
_HEAD_STATE = ('t', 'batch_mean', 'batch_std')


class Contents(NamedTuple):
  """What is in a file."""

  state: dict[str, np.ndarray]  # the net's state dict, without prefixes
  centres: tuple[str, np.ndarray] | None  # name and array, as they are there
  layout: str  # where in the file it was, for the record
  passed_over: list[str]  # names in the head that a model does not hold


def unpack(loaded: Any, path: pathlib.Path) -> Contents:
  """Finds the state dict in what `weights.read` gave.

  Raises:
    UserError: if there is none, or its head has what is not known.
  """
  key, tensors = _inside(loaded)
  layout, head = [key] if key else [], {}
  softmax = loaded.get(_SOFTMAX) if isinstance(loaded, Mapping) else None
  if isinstance(softmax, Mapping):
    head = _state_dict(softmax, path)
  tensors = _state_dict(tensors, path)
  if all(name.startswith(_PARALLEL) for name in tensors):
    tensors = _under(_PARALLEL, tensors)
    layout.append(_PARALLEL)
  for prefix in _NET_PREFIXES:
    if all(name.startswith((prefix, _HEAD)) for name in tensors):
      head |= _under(_HEAD, tensors)
      tensors = _under(prefix, tensors)
      layout.append(prefix)
  centres = [(name, head.pop(name)) for name in _CENTRES if name in head]
  unknown = [name for name in head if name not in _HEAD_STATE]
  if len(centres) > 1 or unknown:
    names = ', '.join([*unknown, *(name for name, _ in centres[1:])])
    raise errors.UserError(f'{path}: left over in the head: {names}.')
  return Contents(
    state=tensors,
    centres=centres[0] if centres else None,
    layout=' '.join(layout),
    passed_over=[_HEAD + name for name in head],
  )


def read_margin(loaded: Any, path: pathlib.Path) -> tuple[str, np.ndarray]:
  """The centres of a margin's file, (name, array).

  Raises:
    UserError: if it holds no centres.
  """
  _, loaded = _inside(loaded)
  for name, value in _state_dict(loaded, path).items():
    short = name.removeprefix(_PARALLEL).removeprefix(_HEAD)
    if short in _CENTRES and value.ndim == 2:
      return short, value
  raise errors.UserError(
    f'{path} holds no class centres: no {" or ".join(_CENTRES)} [classes, d].'
  )


def margin_path(path: pathlib.Path) -> pathlib.Path:
  """Where BoundaryFace's trainer saves the margin of a net saved at `path`."""
  before, found, after = path.stem.rpartition('_net')
  stem = f'{before}_margin{after}' if found else f'{path.stem}_margin'
  return path.with_name(stem + path.suffix)


def _inside(loaded):
  """(key, what is under it) of the first key of state dicts; ('', loaded)."""
  if isinstance(loaded, Mapping):
    for key in _STATES:
      if isinstance(loaded.get(key), Mapping):
        return key, loaded[key]
  return '', loaded


def _under(prefix, tensors):
  """Those whose names begin so, without it."""
  return {
    name.removeprefix(prefix): value
    for name, value in tensors.items()
    if name.startswith(prefix)
  }


def _state_dict(value, path):
  """A dict of arrays by name, checked; float16 and float64 become float32."""
  is_dict = isinstance(value, Mapping) and len(value) > 0
  if not is_dict or not all(
    isinstance(name, str) and isinstance(item, np.ndarray)
    for name, item in value.items()
  ):
    names = ', '.join(map(str, list(value)[:8])) if is_dict else ''
    held = f'with {names}' if is_dict else f'a {type(value).__name__}'
    raise errors.UserError(
      f'{path} holds no state dict, but {held}. Expected names and tensors, or'
      f' such a dict under {" or ".join(_STATES)}.'
    )
  return {name: _float32(name, item, path) for name, item in value.items()}


def _float32(name, value, path):
  if value.dtype.kind != 'f':
    return value
  with np.errstate(over='ignore'):
    narrow = value.astype(np.float32)
  if not np.isfinite(narrow).all():
    raise errors.UserError(f'{path}: {name} has values that are not finite.')
  if not np.array_equal(narrow, value):
    raise errors.UserError(
      f'{path}: {name} is {value.dtype}, and float32 does not hold its values.'
    )
  return narrow
