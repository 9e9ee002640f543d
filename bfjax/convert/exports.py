"""All that a model of ours can be written as: state dicts and graphs."""

import pathlib

import jax
import numpy as np
from jax import export

from bfjax import atomic, errors, model, modelcard
from bfjax.convert import (
  architectures,
  contents,
  embedding,
  mapping,
  naming,
  onnx_out,
  proof,
  torch_in,
  torch_nets,
  weights,
)

STATE_FORMATS = ('torch', 'safetensors')
FORMATS = (*STATE_FORMATS, 'onnx', 'stablehlo')
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
  if file_format in STATE_FORMATS:
    return _write_state(
      given, path, file_format, code_base, colour_order, whole
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


def _write_state(
  given, path, file_format, code_base, colour_order, whole
) -> proof.Written:
  """Writes a state dict that the code base's net loads strictly."""
  backbone, source = given.description['backbone'], given.description['source']
  architecture = architectures.choose(backbone, code_base)
  code_base = architectures.ARCHITECTURES[architecture].code_base
  habits = naming.CODE_BASES[code_base]
  order = colour_order or habits.colour_order
  errors.choose('colour order', order, dict.fromkeys(torch_in.ORDERS))
  table = mapping.make_table(architecture, backbone, given.image_size)
  counts = source.get('batches_tracked', source.get('step', 0))
  state = mapping.to_torch(
    table, given.params, given.stats, counts, swap=order == 'BGR'
  )
  trees = {path: state}
  if whole:
    trees = _whole(code_base, state, given.centres, path)
    if file_format == 'safetensors':
      raise errors.UserError(
        'A whole file has more than arrays in it: --whole goes with --to torch.'
      )
  for place in trees:
    proof.check_free(place)
  with atomic.writing(path) as draft:
    if file_format == 'safetensors':
      about = proof.metadata(given) | {
        'code_base': code_base,
        'colour_order': order,
        'input_scaling': given.scale.formula,
      }
      weights.write_safetensors(draft, state, about)
    else:
      weights.write_torch(draft, trees[path])
    # The written file, read again, against the model.
    theirs = contents.unpack(weights.read(draft)[0], draft).state
    pixels = proof.images(given.image_size)
    found = torch_nets.embed(architecture, theirs, pixels, given.scale, order)
    wanted = proof.ours(given, pixels)
    shown = proof.check(found, wanted, 'The model and the file')
    for place, tree in trees.items():
      if place != path:
        weights.write_torch(place, tree)
  notes = [
    f'{code_base}: {len(state)} arrays; takes {order} images scaled as'
    f' {given.scale.formula}'
  ]
  if given.scale != habits.scaling:
    notes.append(
      f'{code_base} itself scales as {habits.scaling.formula}: give this model'
      ' the other scaling'
    )
  return proof.Written(list(trees), shown, notes)


def _whole(code_base, state, centres, path):
  """path -> what the code base's trainer saves, centres where there are."""
  name, transposed = naming.CODE_BASES[code_base].centres
  head = {}
  if centres is not None:
    head = {name: np.ascontiguousarray(centres.T if transposed else centres)}
  if code_base == 'boundaryface':
    about = {'iters': 0, 'currentEpoch': 1}
    trees = {path: {**about, 'net_state_dict': state}}
    if head:
      trees[contents.margin_path(path)] = {**about, 'net_state_dict': head}
    return trees
  if code_base == 'insightface':
    tree = {'state_dict_backbone': state}
    return {path: tree | ({'state_dict_softmax_fc': head} if head else {})}
  prefix = {'adaface': 'model.', 'facexzoo': 'backbone.'}[code_base]
  arrays = {f'{prefix}{name}': value for name, value in state.items()}
  arrays |= {f'head.{name}': value for name, value in head.items()}
  return {path: {'state_dict': arrays}}


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
