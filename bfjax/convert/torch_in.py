"""A checkpoint of another code base becomes a model of ours."""

import pathlib
from typing import NamedTuple

import numpy as np

from bfjax import errors, model, modelcard, scalings
from bfjax.convert import (
  architectures,
  contents,
  mapping,
  naming,
  proof,
  torch_nets,
  weights,
)
from bfjax.storage import digests

ORDERS = ('RGB', 'BGR')


class Converted(NamedTuple):
  """A model in memory and the proof that it is the file's function."""

  model: model.Model  # as `model.load_model` gives it
  proof: proof.Proof
  notes: list[str]  # what was recognised, what was passed over


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
  loaded, metadata = weights.read(path)
  found = contents.unpack(loaded, path)
  architecture, options, table = _recognise(found.state, path)
  image_size = options.pop('image_size')
  code_base = architectures.ARCHITECTURES[architecture].code_base
  habits = naming.CODE_BASES[code_base]
  order = colour_order or metadata.get('colour_order') or habits.colour_order
  errors.choose('colour order', order, dict.fromkeys(ORDERS))
  scaling = scaling or _scaling(metadata) or habits.scaling
  params, stats = mapping.to_ours(table, found.state, swap=order == 'BGR')
  margin, origin = _margin(found, path, centres, code_base)
  placed = _place(margin, options['embedding_dim'], habits, path)
  num_classes = None if placed is None else len(placed)
  if class_names and num_classes and len(class_names) != num_classes:
    raise errors.UserError(
      f'{len(class_names)} class names for {num_classes} class centres.'
    )
  description = modelcard.describe(
    backbone=options,
    image_size=image_size,
    scaling=scaling,
    embedding_dim=options['embedding_dim'],
    num_classes=num_classes,
    source={
      'file': path.name,
      'sha256': digests.of_file(path),
      'code_base': code_base,
      'layout': found.layout,
      'colour_order': order,
      'batches_tracked': _counts(table, found.state),
      **origin,
    },
  )
  made = model.Model(
    backbone=modelcard.build_backbone(description),
    params=params,
    stats=stats,
    scale=scaling,
    image_size=image_size,
    centres=placed,
    class_names=None if placed is None else class_names,
    description=description,
  )
  pixels = proof.images(image_size)
  wanted = torch_nets.embed(architecture, found.state, pixels, scaling, order)
  what = 'The file and its conversion'
  shown = proof.check(proof.ours(made, pixels), wanted, what)
  return Converted(made, shown, _notes(architecture, made, found.passed_over))


def _recognise(state, path):
  """Architecture, options of our backbone, and the table of all its arrays."""
  shapes = {name: tuple(value.shape) for name, value in state.items()}
  architecture, options = architectures.recognise(shapes, path)
  backbone = {k: v for k, v in options.items() if k != 'image_size'}
  table = mapping.make_table(architecture, backbone, options['image_size'])
  differences = mapping.differences(table, state)
  if differences:
    raise errors.UserError(
      f'{path} is like {architecture} ({_shown(backbone)}), but:\n  '
      + '\n  '.join(differences)
      + '\nNothing is written.'
    )
  return architecture, options, table


def _shown(options):
  return ', '.join(f'{k}={v!r}' for k, v in options.items())


def _scaling(metadata):
  values = [metadata.get(f'scaling_{x}') for x in ('mean', 'std')]
  return scalings.Scaling(*map(float, values)) if all(values) else None


def _margin(found, path, centres, code_base):
  """((name, centres) or None, what the record says of where they are from)."""
  if centres is None and found.centres is None:
    centres = contents.margin_path(path)
    if code_base != 'boundaryface' or not centres.exists():
      return None, {}
  if centres is None:
    return found.centres, {}
  loaded, _ = weights.read(centres)
  digest = digests.of_file(centres)
  origin = {'centres_file': centres.name, 'centres_sha256': digest}
  return contents.read_margin(loaded, centres), origin


def _place(margin, embedding_dim, habits, path):
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
  habit = name == 'kernel' or habits.centres[1]
  transposed = habit if all(fits) else fits[0]
  return np.ascontiguousarray(value.T if transposed else value)


def _counts(table, state):
  """The counters of batches: one number where all are the same."""
  counts = {x: int(state[x]) for x in table.counters if x in state}
  values = set(counts.values())
  return counts if len(values) > 1 else next(iter(values), 0)


def _notes(architecture, made, passed_over):
  """Lines for the user."""
  about, size = made.description, made.image_size
  order = about['source']['colour_order']
  swap = ', made RGB' if order == 'BGR' else ''
  count, dim = about['num_classes'], about['embedding_dim']
  notes = [
    f'recognised {architecture}: {_shown(about["backbone"])}, {size} x {size}'
    ' pixels',
    f'colour order {order}{swap}; scaling {made.scale.formula}',
    f'class centres: {count} of {dim} numbers' if count else 'no class centres',
  ]
  if passed_over:
    notes.append('not taken over: ' + ', '.join(passed_over))
  return notes
