"""All that a model of ours can be written as."""

import pathlib

import jax
from jax import export

from bfjax import atomic, model, modelcard
from bfjax.convert import embedding, onnx_out, proof, torch_out

FORMATS = (*torch_out.FORMATS, 'onnx', 'stablehlo')
PLATFORMS = ('cpu', 'cuda')


def write(
  given: model.Model,
  file_format: str,
  path: pathlib.Path,
  *,
  code_base: str = '',
  colour_order: str = '',
  whole: bool = False,
  signature: embedding.Signature = embedding.USUAL,
) -> proof.Written:
  """Writes a model to a new file, which computes in float32, and runs it.

  Args:
    given: from `model.load_model`.
    file_format: one of `FORMATS`.
    path: of the file.
    code_base: whose names a state dict has; '' for the one that has such nets.
    colour_order: of the images that its net is to take; '' for what the code
      base uses.
    whole: write it as the code base's trainer does, with its keys and prefixes
      and with the class centres, instead of the state dict alone.
    signature: of a graph: what goes in and comes out. It takes a batch of any
      size.

  Raises:
    UserError: if the model cannot be written so (the code base has no such
      net, a whole file is to be safetensors), the file is there already or
      cannot be written, or is not the same function; then nothing is left.
  """
  given = _in_float32(given)
  if file_format in torch_out.FORMATS:
    return torch_out.write(
      given,
      path,
      file_format=file_format,
      code_base=code_base,
      colour_order=colour_order,
      whole=whole,
    )
  signature.check()
  proof.check_free(path)
  is_onnx = file_format == 'onnx'
  write_graph = onnx_out.write if is_onnx else _write_stablehlo
  with atomic.writing(path) as draft:
    embed = write_graph(given, draft, signature)
    what = f'The model and the {"ONNX" if is_onnx else "StableHLO"} graph'
    shown = embedding.prove(given, signature, embed, what)
  kind = f'opset {onnx_out.OPSET}' if is_onnx else f'for {", ".join(PLATFORMS)}'
  shape = ', '.join(map(str, signature.shape('batch', given.image_size)))
  notes = [
    f'{kind}; input: {signature.pixels} [{shape}], RGB; embedding: float32'
    f' [batch, {given.description["embedding_dim"]}], {signature.output}'
  ]
  return proof.Written([path], shown, notes)


def _write_stablehlo(given, path, signature):
  """Writes the function, weights in it; returns it as it is read again."""
  function = jax.jit(embedding.make(given, signature))
  exported = export.export(function, platforms=PLATFORMS)(
    signature.images(given.image_size)
  )
  path.write_bytes(exported.serialize())
  return export.deserialize(path.read_bytes()).call


def _in_float32(given):
  """The model computing in float32, whatever it was trained in."""
  backbone = {**given.description['backbone'], 'dtype': 'float32'}
  description = {**given.description, 'backbone': backbone}
  return given._replace(
    backbone=modelcard.build_backbone(description), description=description
  )
