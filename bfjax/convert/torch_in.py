"""A checkpoint of another code base becomes a model of ours."""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from bfjax import errors, model, modelcard, scalings
from bfjax.convert import contents, files, mapping, proof, torch_nets
from bfjax.convert import names as names_lib
from bfjax.storage import digests

ORDERS = ('RGB', 'BGR')


class Converted(NamedTuple):
  """A model in memory and the proof that it is the file's function.

  Attributes:
    model: as `model.load_model` gives it.
    proof: of both sides.
    notes: lines for the user: what was recognised, what was passed over.
  """

  model: model.Model
  proof: proof.Proof
  notes: list[str]


def convert(
  path: pathlib.Path,
  *,
  centres: pathlib.Path | None = None,
  colour_order: str = '',
  scaling: scalings.Scaling | None = None,
  class_names: list[str] | None = None,
) -> Converted:
  """Converts a checkpoint, recognised by its names and shapes.

  Args:
    path: of a PyTorch or safetensors file.
    centres: the margin's file, where the centres are in one of its own; None
      for the one that BoundaryFace's trainer saves beside, if it is there.
    colour_order: of the images that the file's net takes; '' for what its
      code base uses.
    scaling: of their pixels; None for what its code base uses.
    class_names: of the centres.

  Raises:
    UserError: if the file cannot be read safely, its architecture is not
      known, a name is left over or missing or has another shape (all of them
      are listed), or both sides are not the same function.
  """
  loaded, metadata = files.read(path)
  found = contents.unpack(loaded, path)
  shapes = {name: tuple(value.shape) for name, value in found.state.items()}
  architecture, options = recognise(shapes, path)
  module = names_lib.load(architecture)
  order = colour_order or metadata.get('colour_order') or module.COLOUR_ORDER
  errors.choose('colour order', order, dict.fromkeys(ORDERS))
  if scaling is None:
    scaling = _scaling(metadata) or module.SCALING
  image_size = options.pop('image_size')
  table = mapping.make_table(architecture, options, image_size)
  lines = mapping.differences(table, shapes)
  lines += _other_types(table, found.state)
  if lines:
    shown = ', '.join(f'{k}={v!r}' for k, v in options.items())
    raise errors.UserError(
      f'{path} is like {architecture} ({shown}), but:\n  '
      + '\n  '.join(lines)
      + '\nNothing is written.'
    )
  params, stats = mapping.to_ours(table, found.state, swap=order == 'BGR')
  embedding_dim = options['embedding_dim']
  margin, origin = _margin(found, path, centres, module)
  description = modelcard.describe(
    backbone=options,
    image_size=image_size,
    scaling=scaling,
    embedding_dim=embedding_dim,
    num_classes=None,
    source={
      'file': path.name,
      'sha256': digests.of_file(path),
      'code_base': module.CODE_BASE,
      'layout': found.layout,
      'colour_order': order,
      'batches_tracked': _counts(table, found.state),
      **origin,
    },
  )
  placed = _place(margin, embedding_dim, module, path)
  if placed is not None:
    description['num_classes'] = len(placed)
    _check_class_names(class_names, len(placed))
  made = model.Model(
    backbone=modelcard.build_backbone(description),
    params=params,
    stats=stats,
    scale=scaling,
    image_size=image_size,
    centres=placed,
    class_names=class_names if placed is not None else None,
    description=description,
  )
  notes = _notes(architecture, options, image_size, order, scaling)
  notes.append(
    'no class centres'
    if placed is None
    else f'class centres: {len(placed)} of {embedding_dim} numbers'
  )
  if found.passed_over:
    notes.append('not taken over: ' + ', '.join(found.passed_over))
  return Converted(made, _prove(architecture, found, order, made), notes)


def recognise(shapes, path) -> tuple[str, dict[str, Any]]:
  """The architecture and the options of our backbone for a state dict.

  Raises:
    UserError: if no architecture is like it.
  """
  for name in names_lib.all_names():
    options = names_lib.load(name).recognise(shapes)
    if options is not None:
      return name, options
  first = '\n  '.join(f'{name} {shapes[name]}' for name in list(shapes)[:10])
  raise errors.UserError(
    f'{path} is of no architecture known here:'
    f' {", ".join(names_lib.all_names())}. It begins\n  {first}'
  )


def _other_types(table, state):
  """Lines that say which arrays are of something else than real numbers."""
  values = {x.name: state[x.name] for x in table.arrays if x.name in state}
  return [
    f'type: {name} is {value.dtype}, expected float32'
    for name, value in values.items()
    if value.dtype != np.float32
  ]


def _scaling(metadata):
  if {'scaling_mean', 'scaling_std'} <= metadata.keys():
    return scalings.Scaling(
      float(metadata['scaling_mean']), float(metadata['scaling_std'])
    )
  return None


def _margin(found, path, centres, module):
  """((name, centres) or None, what the record says of where they are from)."""
  if centres is None and found.centres is None:
    centres = contents.margin_path(path)
    if module.CODE_BASE != 'boundaryface' or not centres.exists():
      return None, {}
  if centres is None:
    return found.centres, {}
  loaded, _ = files.read(centres)
  origin = {
    'centres_file': centres.name,
    'centres_sha256': digests.of_file(centres),
  }
  return contents.read_margin(loaded, centres), origin


def _place(margin, embedding_dim, module, path):
  """The centres as [classes, embedding_dim]."""
  if margin is None:
    return None
  name, value = margin
  fits = [size == embedding_dim for size in value.shape]
  if value.ndim != 2 or not any(fits):
    raise errors.UserError(
      f'{path}: the class centres `{name}` are {value.shape}, but embeddings'
      f' have {embedding_dim} numbers.'
    )
  # As many classes as numbers: only habit tells. A `kernel` is [d, classes]
  # in all of the code bases.
  habit = name == 'kernel' or module.CENTRES[1]
  transposed = habit if all(fits) else fits[0]
  return np.ascontiguousarray(value.T if transposed else value)


def _check_class_names(class_names, num_classes):
  if class_names is not None and len(class_names) != num_classes:
    raise errors.UserError(
      f'{len(class_names)} class names for {num_classes} class centres.'
    )


def _counts(table, state):
  """The counters of batches: one number where all are the same."""
  counts = {x: int(state[x]) for x in table.counters if x in state}
  values = set(counts.values())
  return counts if len(values) > 1 else next(iter(values), 0)


def _notes(architecture, options, image_size, order, scaling):
  shown = ', '.join(f'{k}={v!r}' for k, v in options.items())
  swap = ', made RGB' if order == 'BGR' else ''
  return [
    f'recognised {architecture}: {shown}, {image_size} x {image_size} pixels',
    f'colour order {order}{swap}; scaling {scaling.formula}',
  ]


def _prove(architecture, found, order, made):
  pixels = proof.images(made.image_size)
  theirs = pixels[..., ::-1] if order == 'BGR' else pixels
  mean, std = np.float32(made.scale.mean), np.float32(made.scale.std)
  wanted = torch_nets.embed(
    architecture, found.state, (theirs.astype(np.float32) - mean) / std
  )
  return proof.check(
    proof.ours(made, pixels), wanted, 'The file and its conversion'
  )
