"""What a trained model is, as its model.json says it."""

import pathlib
from collections.abc import Mapping
from typing import Any

from bfjax import backbones, errors, scalings, text

_FORMAT, _VERSION = 'bfjax-model', 1
_KEYS = ('backbone', 'image_size', 'input_scaling', 'num_classes')


def describe(
  *,
  backbone: Mapping[str, Any],
  image_size: int,
  scaling: scalings.Scaling = scalings.STANDARD,
  embedding_dim: int,
  num_classes: int | None,
  source: Mapping[str, Any],
) -> dict[str, Any]:
  """The description of a model.

  Args:
    backbone: 'name' and its options, but for the image size.
    image_size: pixels of a side.
    scaling: of the pixels.
    embedding_dim: length of an embedding.
    num_classes: of the centres; None without them.
    source: what the model was made from; JSON values.
  """
  return {
    'format': _FORMAT,
    'version': _VERSION,
    'backbone': dict(backbone),
    'image_size': image_size,
    'colour_order': 'RGB',
    'input_scaling': {'formula': scaling.formula, **scaling._asdict()},
    'embedding_dim': embedding_dim,
    'num_classes': num_classes,
    'source': dict(source),
  }


def build_backbone(description: Mapping[str, Any]) -> backbones.Backbone:
  """The backbone that a description names.

  Raises:
    UserError: if there is no such backbone, or it has no such option.
  """

  def tuples(value):  # which JSON has as lists
    return tuple(map(tuples, value)) if isinstance(value, list) else value

  options = {k: tuples(v) for k, v in description['backbone'].items()}
  return backbones.build(**options, image_size=description['image_size'])


def read(path: pathlib.Path) -> dict[str, Any]:
  """The description in a file.

  Raises:
    UserError: if there is none, or it is one of another version.
  """
  description = text.read_json(path)
  if not isinstance(description, dict) or description.get('format') != _FORMAT:
    raise errors.UserError(f'{path} is not the description of a model.')
  if description.get('version') != _VERSION:
    raise errors.UserError(
      f'{path} has version {description.get("version")!r}; this program reads'
      f' version {_VERSION}.'
    )
  missing = [key for key in _KEYS if key not in description]
  if missing:
    raise errors.UserError(f'{path} lacks {", ".join(missing)}.')
  return description
