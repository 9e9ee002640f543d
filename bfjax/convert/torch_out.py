"""A model of ours as a state dict of another code base."""

import pathlib
from typing import NamedTuple

import numpy as np

from bfjax import atomic, errors, model
from bfjax.convert import contents, files, mapping, proof, torch_in, torch_nets
from bfjax.convert import names as names_lib

FORMATS = ('torch', 'safetensors')


class Written(NamedTuple):
  """What was written.

  Attributes:
    paths: the files.
    proof: that they are the model's function.
    notes: lines for the user.
  """

  paths: list[pathlib.Path]
  proof: proof.Proof
  notes: list[str]


def write(
  given: model.Model,
  path: pathlib.Path,
  *,
  file_format: str = 'torch',
  code_base: str = '',
  colour_order: str = '',
  whole: bool = False,
) -> Written:
  """Writes a state dict that the code base's net loads strictly.

  Args:
    given: from `model.load_model`.
    path: of the new file.
    file_format: 'torch' or 'safetensors'.
    code_base: whose names; '' for the one that has such nets.
    colour_order: of the images that the net is to take; '' for what the code
      base uses.
    whole: write the file as the code base's trainer does, with its keys and
      prefixes and with the class centres, instead of the state dict alone.

  Raises:
    UserError: if the code base has no such net, there are no centres to go
      into a whole file, a file is there already or cannot be written, or the
      written file is not the model's function; then nothing is left.
  """
  description = given.description
  architecture = names_lib.choose(description['backbone'], code_base)
  module = names_lib.load(architecture)
  order = colour_order or module.COLOUR_ORDER
  errors.choose('colour order', order, dict.fromkeys(torch_in.ORDERS))
  table = mapping.make_table(
    architecture, description['backbone'], given.image_size
  )
  source = description['source']
  state = mapping.to_torch(
    table,
    given.params,
    given.stats,
    source.get('batches_tracked', source.get('step', 0)),
    swap=order == 'BGR',
  )
  trees = {path: state}
  if whole:
    trees = _whole(module, state, given.centres, path)
    if file_format == 'safetensors':
      raise errors.UserError(
        'A whole file has more than arrays in it: --whole goes with --to torch.'
      )
  for place in trees:
    check_free(place)
  with atomic.writing(path) as draft:
    if file_format == 'safetensors':
      files.write_safetensors(draft, state, _metadata(given, module, order))
    else:
      files.write_torch(draft, trees[path])
    shown = _prove(architecture, draft, order, given)
    for place, tree in trees.items():
      if place != path:
        files.write_torch(place, tree)
  notes = [
    f'{module.CODE_BASE}: {len(state)} arrays; takes {order} images scaled as'
    f' {given.scale.formula}'
  ]
  if given.scale != module.SCALING:
    notes.append(
      f'{module.CODE_BASE} itself scales as {module.SCALING.formula}: give this'
      ' model the other scaling'
    )
  return Written(list(trees), shown, notes)


def check_free(path: pathlib.Path) -> None:
  """Raises UserError if there is something at `path` already."""
  if path.exists():
    raise errors.UserError(f'{path} is there already. Give another name.')
  if not path.parent.is_dir():
    raise errors.UserError(f'There is no folder {path.parent} to write to.')


def _whole(module, state, centres, path):
  """path -> what the code base's trainer saves, centres where there are."""
  name, transposed = module.CENTRES
  head = {}
  if centres is not None:
    head = {name: np.ascontiguousarray(centres.T if transposed else centres)}
  if module.CODE_BASE == 'boundaryface':
    about = {'iters': 0, 'currentEpoch': 1}
    trees = {path: {**about, 'net_state_dict': state}}
    if head:
      trees[contents.margin_path(path)] = {**about, 'net_state_dict': head}
    return trees
  if module.CODE_BASE == 'insightface':
    tree = {'state_dict_backbone': state}
    return {path: tree | ({'state_dict_softmax_fc': head} if head else {})}
  prefix = module.PREFIX
  arrays = {f'{prefix}{name}': value for name, value in state.items()}
  arrays |= {f'head.{name}': value for name, value in head.items()}
  return {path: {'state_dict': arrays}}


def _metadata(given, module, order):
  return {
    'code_base': module.CODE_BASE,
    'architecture': ' '.join(
      f'{k}={v}' for k, v in given.description['backbone'].items()
    ),
    'colour_order': order,
    'input_scaling': given.scale.formula,
    'scaling_mean': repr(given.scale.mean),
    'scaling_std': repr(given.scale.std),
    'image_size': str(given.image_size),
    'embedding_dim': str(given.description['embedding_dim']),
  }


def _prove(architecture, draft, order, given):
  """The written file, read again, against the model."""
  loaded, _ = files.read(draft)
  state = contents.unpack(loaded, draft).state
  mean, std = np.float32(given.scale.mean), np.float32(given.scale.std)

  def embed(pixels):
    theirs = pixels[..., ::-1] if order == 'BGR' else pixels
    scaled = (theirs.astype(np.float32) - mean) / std
    return torch_nets.embed(architecture, state, scaled)

  return proof.check_file(given, embed, 'The model and the file')
