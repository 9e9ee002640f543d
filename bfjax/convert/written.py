"""What all files that are written have: a free name, metadata, a proof."""

import pathlib
from typing import NamedTuple

from bfjax import errors, model
from bfjax.convert import proof


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


def check_free(path: pathlib.Path) -> None:
  """Raises UserError if there is something at `path` already."""
  if path.exists():
    raise errors.UserError(f'{path} is there already. Give another name.')
  if not path.parent.is_dir():
    raise errors.UserError(f'There is no folder {path.parent} to write to.')


def metadata(given: model.Model) -> dict[str, str]:
  """What a file says of any model."""
  backbone = given.description['backbone']
  return {
    'architecture': ' '.join(f'{k}={v}' for k, v in backbone.items()),
    'image_size': str(given.image_size),
    'scaling_mean': repr(given.scale.mean),
    'scaling_std': repr(given.scale.std),
    'embedding_dim': str(given.description['embedding_dim']),
  }
