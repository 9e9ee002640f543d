"""All that a model of ours can be written as."""

import pathlib

from bfjax import model, modelcard
from bfjax.convert import embedding, onnx_out, stablehlo_out, torch_out

FORMATS = (*torch_out.FORMATS, 'onnx', 'stablehlo')


def write(
  given: model.Model,
  file_format: str,
  path: pathlib.Path,
  *,
  code_base: str = '',
  colour_order: str = '',
  whole: bool = False,
  signature: embedding.Signature = embedding.USUAL,
) -> torch_out.Written:
  """Writes a model to a new file, which computes in float32.

  Args:
    given: from `model.load_model`.
    file_format: one of `FORMATS`.
    path: of the file.
    code_base: of a state dict, see `torch_out.write`; likewise the next two.
    colour_order: of a state dict.
    whole: of a state dict.
    signature: of a graph: what goes in and comes out.

  Raises:
    UserError: if the model cannot be written so, or what was written is not
      the same function; then nothing is left.
  """
  given = _in_float32(given)
  if file_format == 'onnx':
    return onnx_out.write(given, path, signature)
  if file_format == 'stablehlo':
    return stablehlo_out.write(given, path, signature)
  return torch_out.write(
    given,
    path,
    file_format=file_format,
    code_base=code_base,
    colour_order=colour_order,
    whole=whole,
  )


def _in_float32(given):
  """The model computing in float32, whatever it was trained in."""
  backbone = {**given.description['backbone'], 'dtype': 'float32'}
  description = {**given.description, 'backbone': backbone}
  return given._replace(
    backbone=modelcard.build_backbone(description), description=description
  )
