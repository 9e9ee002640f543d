"""Files of weights: PyTorch's and safetensors, read without running them.

A PyTorch file is a pickle, and a pickle from the internet is code: it is read
with `weights_only`, which builds tensors and plain containers and nothing else.
"""

import pathlib
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bfjax import convert, errors

# What PyTorch raises for files that are damaged, here and there.
_DAMAGED = (
  ArithmeticError,
  AssertionError,
  AttributeError,
  EOFError,
  ImportError,
  LookupError,
  MemoryError,
  OSError,
  RuntimeError,
  TypeError,
  ValueError,
  struct.error,
)


def read(path: pathlib.Path) -> tuple[Any, dict[str, str]]:
  """What a file holds, with numpy arrays for tensors; and its metadata.

  Raises:
    UserError: if it cannot be read, is cut short, or is a pickle that needs
      more than tensors and plain containers (the message says what).
  """
  try:
    with open(path, 'rb') as file:
      start = file.read(9)
  except OSError as error:
    raise errors.UserError(
      f'{path} cannot be read: {error.strerror}.'
    ) from error
  # The length of a JSON object, then the object. A zip starts with PK.
  is_json = start[8:] == b'{' and not start.startswith((b'PK', b'\x80'))
  if is_json or path.suffix == '.safetensors':
    return _read_safetensors(path)
  return _read_torch(path), {}


def _read_safetensors(path):
  library = convert.library('safetensors')
  try:
    with library.safe_open(path, framework='numpy') as file:
      tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
      return tensors, file.metadata() or {}
  except (library.SafetensorError, OSError, ValueError, TypeError) as error:
    raise errors.UserError(
      f'{path} is no whole safetensors file: {error}.'
    ) from error


def _read_torch(path):
  torch = convert.library('torch')
  _check_sums(path)
  try:
    # It warns of old formats, which are read all the same or not at all.
    with warnings.catch_warnings(action='ignore'):
      loaded = torch.load(path, map_location='cpu', weights_only=True)
  except pickle.UnpicklingError as error:
    raise errors.UserError(_refusal(path, str(error))) from error
  except _DAMAGED as error:
    first = str(error).partition('\n')[0]
    if 'TorchScript' in first:
      raise errors.UserError(
        f'{path} is refused: it is a TorchScript archive, a program and not'
        ' weights alone. Save its `state_dict()`.'
      ) from error
    raise _damaged(
      path, first if ' ' in first else type(error).__name__
    ) from error
  return _to_numpy(torch, loaded, path)


def _check_sums(path):
  """Raises UserError for a zip whose bytes are not those that were saved."""
  if not zipfile.is_zipfile(path):
    return
  try:
    with zipfile.ZipFile(path) as archive:
      damaged = archive.testzip()
  except (*_DAMAGED, zipfile.BadZipFile, zlib.error) as error:
    raise _damaged(path, error) from error
  if damaged:
    raise _damaged(
      path, f'the bytes of {damaged} have another checksum than when saved'
    )


def _damaged(path, reason):
  return errors.UserError(
    f'{path} is no whole PyTorch file: {reason}. Download or copy it again.'
  )


def _refusal(path, message):
  found = re.search(r'GLOBAL (\S+)', message)
  if not found:
    reason = message.rpartition('WeightsUnpickler error: ')[2]
    first = reason.partition('\n')[0].strip()
    return (
      f'{path} is no whole PyTorch file of weights alone: {first}. It is'
      ' damaged, or it holds what only running it would tell.'
    )
  return (
    f'{path} is refused: to open it, {found[1]} would have to be run, and a'
    ' pickle that runs anything can do anything. If you trust where it is from,'
    ' save its weights alone, in a sandbox:\n'
    '  import torch\n'
    f"  whole = torch.load('{path.name}', weights_only=False)\n"
    "  torch.save({'state_dict': whole['state_dict']}, 'weights.pt')"
  )


def _to_numpy(torch, value, path):
  """Tensors to arrays, in nested dicts; bfloat16 to float32, which holds it."""
  if isinstance(value, torch.Tensor):
    value = value.detach()
    if value.dtype == torch.bfloat16:
      value = value.float()
    try:
      return value.contiguous().numpy()
    except (RuntimeError, TypeError) as error:
      raise errors.UserError(
        f'{path} holds a tensor of {value.dtype}, {value.layout}, on'
        f' {value.device}, that is no array. Save it dense, as float32.'
      ) from error
  if isinstance(value, Mapping):
    return {name: _to_numpy(torch, x, path) for name, x in value.items()}
  return value


def write_torch(path: pathlib.Path, tree: Mapping) -> None:
  """Writes nested dicts of arrays and numbers as a PyTorch file."""
  torch = convert.library('torch')

  def to_torch(value):
    if isinstance(value, Mapping):
      return {name: to_torch(item) for name, item in value.items()}
    return value if isinstance(value, int) else torch.tensor(value)

  torch.save(to_torch(tree), path)


def write_safetensors(
  path: pathlib.Path, state: Mapping[str, np.ndarray], metadata: Mapping
) -> None:
  """Writes a dict of arrays as a safetensors file; metadata are strings."""
  convert.library('safetensors')
  library = convert.library('safetensors.numpy')
  arrays = {name: np.array(value) for name, value in state.items()}
  # Not `save_file`, which makes a file that others cannot read.
  path.write_bytes(library.save(arrays, metadata=dict(metadata)))
