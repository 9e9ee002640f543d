"""A model of ours as a state dict of another code base."""

import pathlib

import numpy as np

from bfjax import atomic, errors, model
from bfjax.convert import (
  architectures,
  contents,
  mapping,
  naming,
  proof,
  torch_in,
  torch_nets,
  weights,
)

FORMATS = ('torch', 'safetensors')


def write(
  given: model.Model,
  path: pathlib.Path,
  *,
  file_format: str,
  code_base: str,
  colour_order: str,
  whole: bool,
) -> proof.Written:
  """Writes a state dict that the code base's net loads strictly.

  Args and errors are those of `exports.write`.
  """
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
