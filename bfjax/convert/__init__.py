"""Models in and out: PyTorch and safetensors, ONNX, StableHLO.

`torch_in.convert` makes a model folder of a checkpoint of another code base;
`exports` has what a model can be written as. Whichever way, `proof` runs both
sides on the same images, and nothing is left if they differ.

`architectures` are those of other code bases: what their modules are called
there. `torch_nets` are the same as plain functions of a state dict, written
apart from the names, so that an error in the one shows against the other.

PyTorch, safetensors, ONNX and jax2onnx are used here alone, and imported when
needed.
"""

import importlib
import types

from bfjax import errors

EXTRA = "pip install -e '.[convert]'"


def library(name: str) -> types.ModuleType:
  """Imports a library that only conversion needs.

  Raises:
    UserError: if it is not installed; the message says how to.
  """
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise errors.UserError(
      f'Converting needs {name}, which is not installed: {EXTRA}'
    ) from error
