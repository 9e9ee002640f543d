"""The training step of a config, compiled for devices that are not here."""

import dataclasses
import functools
import importlib.util
import math
import os
import time

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from bfjax import builders, errors, sharding, step
from bfjax.planning import cards, hlo


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A compiled step, and what it takes of a device.

  Attributes:
    program: of one device.
    state: the abstract state, as it lies over the devices.
    memory: bytes of 'arguments', 'results' that take no argument's place, and
      'temporary'.
    compile_secs: how long the compiler took.
  """

  program: hlo.Program
  state: step.TrainState
  memory: dict[str, int]
  compile_secs: float


def devices(card: cards.Card, count: int) -> list:
  """So many devices of a kind, none of which need be there.

  Raises:
    UserError: if JAX's plug-in for CUDA is not installed, or the count cannot
      be spread over hosts.
  """
  if not card.target:
    return _virtual_devices(count)
  a_host = min(count, card.cards_a_host)
  if count % a_host:
    raise errors.UserError(
      f'{count} cards are no whole number of hosts of {a_host}.'
    )
  require_plugin()
  topology = topologies.get_topology_desc(
    'planned',
    'cuda',
    target_config=card.target,
    topology=f'1x{count // a_host}x{a_host}',
  )
  return list(topology.devices)


def _virtual_devices(count: int) -> list:
  found = jax.devices('cpu')
  if len(found) < count:
    flag = f'--xla_force_host_platform_device_count={count}'
    raise errors.UserError(
      f'JAX has {len(found)} virtual devices of the CPU, not {count}: set'
      f' XLA_FLAGS={flag}'
    )
  return found[:count]


def require_plugin() -> None:
  """Loads JAX's plug-in for CUDA, which compiles without a card too.

  Raises:
    UserError: if it is not installed.
  """
  # What it says of drivers that are not here is no news.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  if not has_plugin():
    raise errors.UserError(
      'To compile for a GPU, JAX needs its plug-in for CUDA, with which no GPU'
      " need be here: pip install 'bfjax[cuda]'. --card cpu compiles for the"
      ' CPU without it, which tells neither the memory of a GPU nor its time.'
    )


def has_plugin() -> bool:
  """Whether JAX's plug-in for CUDA is installed."""
  if importlib.util.find_spec('jax_plugins') is None:
    return False
  names = ('jax_plugins.xla_cuda12', 'jax_plugins.xla_cuda13')
  return any(map(importlib.util.find_spec, names))


def compile_step(
  config, card: cards.Card, count: int, num_classes: int, num_rows: int
) -> Compiled:
  """Compiles `step.train_step` of a config for so many devices.

  Raises:
    UserError: as `devices` and `builders.open_recipe`; if the batch cannot be
      split; or if the compiler refuses.
  """
  if config.batch % count:
    raise errors.UserError(
      f'config.batch={config.batch} rows cannot be split over {count} devices:'
      f' give a multiple of {count}.'
    )
  mesh = sharding.make_mesh(devices(card, count))
  recipe = _recipe(config, mesh, num_classes, num_rows)
  batch = config.batch * config.accumulate
  try:
    return compile_recipe(
      recipe,
      num_rows,
      batch,
      config.data.image_size,
      history=config.labels.history,
    )
  except jax.errors.JaxRuntimeError as error:
    raise errors.UserError(
      f'It does not compile for {count} x {card.title}: {error}'
    ) from error


def compile_recipe(
  recipe: step.Recipe,
  num_rows: int,
  batch: int,
  image_size: int,
  history: bool = False,
) -> Compiled:
  """Compiles the step of a recipe for `batch` rows of a data set's `num_rows`.

  With `history` that of the rows is kept; see `labels`.

  Raises:
    JaxRuntimeError: if the compiler refuses.
  """
  state = _abstract_state(recipe, num_rows, history)
  start = time.monotonic()
  compiled = (
    step.compile_step(recipe, state)
    .lower(  # type: ignore[attr-defined]
      state, _abstract_batch(batch, image_size, recipe.mesh)
    )
    .compile()
  )
  sizes = compiled.memory_analysis()
  results = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
  return Compiled(
    program=hlo.parse(compiled.as_text()),
    state=state,
    memory={
      'arguments': sizes.argument_size_in_bytes,
      'results': results,
      'temporary': sizes.temp_size_in_bytes,
    },
    compile_secs=time.monotonic() - start,
  )


def _recipe(config, mesh, num_classes, num_rows) -> step.Recipe:
  batch = config.batch * config.accumulate
  steps_per_epoch = -(-num_rows // batch)
  learning_rate = builders.open_learning_rate(
    config.optim,
    batch=batch,
    steps_per_epoch=steps_per_epoch,
    total_steps=steps_per_epoch * config.epochs,
  )
  return builders.open_recipe(
    config,
    learning_rate,
    mesh,
    num_classes=num_classes,
    steps_per_epoch=steps_per_epoch,
  )


def _abstract_state(recipe, num_rows, history) -> step.TrainState:
  make = functools.partial(
    builders.new_state, recipe=recipe, num_rows=num_rows, history=history
  )
  state = jax.eval_shape(make, jax.random.key(0))
  lying = step.state_shardings(state, recipe.mesh)
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    state,
    lying,
  )


def _abstract_batch(rows, size, mesh) -> dict[str, jax.ShapeDtypeStruct]:
  lying = sharding.rows(mesh)
  shapes = {
    'image': ((rows, size, size, 3), jnp.uint8),
    'label': ((rows,), jnp.int32),
    'row': ((rows,), jnp.int32),
    'mask': ((rows,), jnp.bool_),
    'skipped': ((rows,), jnp.float32),
  }
  return {
    name: jax.ShapeDtypeStruct(shape, dtype, sharding=lying)
    for name, (shape, dtype) in shapes.items()
  }


def bytes_of(tree) -> int:
  """Bytes that abstract arrays take of one device."""
  return sum(
    x.dtype.itemsize * math.prod(x.sharding.shard_shape(x.shape))
    for x in jax.tree.leaves(tree)
  )
