"""What tools/plan.py predicts of the first case, compiled without the card."""

import os

import jax

from benchmarks.accelerator import recipes, sizes
from bfjax import sharding
from bfjax.planning import cards, compiling


def peak_bytes(found: sizes.Sizes) -> int | str:
  """Bytes of the first case on this card; or why they are not known."""
  os.environ['CUDA_VISIBLE_DEVICES'] = ''
  jax.config.update('jax_platforms', 'cpu')
  name = 'cpu'
  if found.is_card:
    kind = found.device.lower().replace(' ', '')
    name = next((x for x in cards.names() if x in kind), '')
    if not name:
      return f'tools/plan.py has no card {found.device}'
    if not compiling.has_plugin():
      return "the plan needs JAX's plug-in for CUDA"
  case = found.cases[0]
  mesh = sharding.make_mesh(compiling.devices(cards.read(name), 1))
  compiled = compiling.compile_recipe(
    recipes.recipe(found, case, mesh),
    recipes.ROWS_A_CLASS * case.classes,
    case.batch,
    found.image_size,
  )
  return sum(compiled.memory.values())
