"""Training steps on a card: ours, and the same in PyTorch."""

import concurrent.futures
import functools
import os
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import backbone, timing
from benchmarks.accelerator import head_torch, recipes, sizes
from bfjax import builders, runtime, sharding, step
from bfjax.planning import costs, hlo

_COMPILERS = 4  # at a time


class Ours(NamedTuple):
  """What was measured of our side.

  Attributes:
    secs: case -> seconds of a step, of each repeat; or why there are none.
    operations: case -> floating-point operations of its products, a step.
    peak_bytes: of the first case's memory; 0 if the device does not tell.
    matrix_peak: floating-point operations a second, of a bfloat16 product.
  """

  secs: dict[sizes.Case, list[float] | str]
  operations: dict[sizes.Case, int]
  peak_bytes: int
  matrix_peak: float


def ours(found: sizes.Sizes, repeats: int, until: float) -> Ours:
  """Measures our side, until that time."""
  os.environ['XLA_PYTHON_CLIENT_MEM_FRACTION'] = '0.92'
  runtime.start('')
  mesh = sharding.make_mesh(jax.devices()[:1])
  first, *others = found.cases
  secs, operations = {}, {}
  # Alone at first: what compiling takes of memory would be counted.
  compiled = {first: _compiled(found, mesh, first)}
  secs[first] = _run(found, mesh, first, compiled[first], repeats)
  stats = jax.devices()[0].memory_stats() or {}
  compiled |= _all_compiled(found, mesh, others, until)
  for case in others:
    if case in compiled and time.time() < until:
      timing.tell(f'{case}')
      secs[case] = _run(found, mesh, case, compiled[case], repeats)
  for case, one in compiled.items():
    kernels = costs.kernels(hlo.parse(one.as_text()))
    operations[case] = sum(x.times * x.operations for x in kernels)
  peak = stats.get('peak_bytes_in_use', 0)
  return Ours(secs, operations, peak, _matrix_peak(found, repeats))


def _all_compiled(found, mesh, cases, until) -> dict[sizes.Case, Any]:
  """Those of the cases that half of the time left is enough to compile.

  None is measured before the last is compiled, for which the card is used too.
  """
  with concurrent.futures.ThreadPoolExecutor(_COMPILERS) as pool:
    begun = {case: pool.submit(_compiled, found, mesh, case) for case in cases}
    left = max(until - time.time(), 0)
    concurrent.futures.wait(begun.values(), timeout=left / 2)
    return {
      case: future.result()
      for case, future in begun.items()
      if not future.cancel()
    }


def _compiled(found, mesh, case):
  recipe = recipes.recipe(found, case, mesh)
  state = jax.eval_shape(_state_maker(recipe, case), jax.random.key(0))
  lying = step.state_shardings(state, mesh)
  state = jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    state,
    lying,
  )
  batch = recipes.batch(found, case, mesh)
  return step.compile_step(recipe, state).lower(state, batch).compile()


def _state_maker(recipe, case):
  rows = recipes.ROWS_A_CLASS * case.classes
  return functools.partial(builders.new_state, recipe=recipe, num_rows=rows)


def _run(found, mesh, case, compiled, repeats):
  """Seconds of a step, of each repeat."""
  recipe = recipes.recipe(found, case, mesh)
  make = _state_maker(recipe, case)
  key = jax.random.key(0)
  lying = step.state_shardings(jax.eval_shape(make, key), mesh)
  try:
    state = jax.jit(make, out_shardings=lying)(key)
    batch = recipes.batch(found, case, mesh)

    def several():
      nonlocal state
      for _ in range(found.steps):
        state, outcome = compiled(state, batch)
      return jax.block_until_ready(outcome)

    secs = timing.interleaved({'ours': several}, repeats)['ours']
    assert bool(several()['finite'])
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    return sizes.NO_MEMORY
  return [x / found.steps for x in secs]


def _matrix_peak(found, repeats) -> float:
  size = found.matrix
  a, b = jax.random.normal(jax.random.key(0), (2, size, size), jnp.bfloat16)
  product = jax.jit(jnp.matmul)

  def several():
    x = a
    for _ in range(found.steps):
      x = product(x, b)
    return x

  secs = timing.interleaved({'peak': several}, repeats)['peak']
  return 2 * size**3 * found.steps / min(secs)


def theirs(
  found: sizes.Sizes, repeats: int, until: float
) -> dict[sizes.Case, list[float] | str]:
  """Measures PyTorch's side, until that time: as `Ours.secs`."""
  torch.backends.cudnn.benchmark = True
  secs = {}
  for case in found.cases:
    if time.time() >= until:
      break
    timing.tell(f'{case}')
    try:
      secs[case] = _run_torch(found, case, repeats)
    except torch.OutOfMemoryError:
      secs[case] = sizes.NO_MEMORY
    if found.is_card:
      torch.cuda.empty_cache()
  return secs


def _run_torch(found, case, repeats):
  device = 'cuda' if found.is_card else 'cpu'
  rng = np.random.default_rng(0)
  rows, size = case.batch, found.image_size
  images = rng.integers(0, 256, (rows, 3, size, size), np.uint8)
  images = torch.from_numpy(images).to(
    device, memory_format=torch.channels_last
  )
  label = torch.from_numpy(rng.integers(0, case.classes, rows)).to(device)
  _, options = found.nets[case.net]
  net = backbone.oracle('torch_boundaryface').CBAMResNet(**options)
  net = net.to(device, memory_format=torch.channels_last)
  centres = torch.randn(case.classes, found.dim, device=device)
  centres = torch.nn.Parameter(0.01 * centres)
  optimizer = torch.optim.SGD(
    [*net.parameters(), centres],
    recipes.RATE,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    fused=True,
  )

  def objective(images, label):
    with torch.autocast(device, torch.bfloat16):
      embedding = net(images / 127.5 - 1)
    return head_torch.loss(embedding, centres, label)

  if found.is_card:
    objective = torch.compile(objective, dynamic=False)

  def several():
    for _ in range(found.steps):
      optimizer.zero_grad(set_to_none=True)
      loss = objective(images, label)
      loss.backward()
      optimizer.step()
    return loss.item()  # waits for the card

  secs = timing.interleaved({'theirs': several}, repeats)['theirs']
  return [x / found.steps for x in secs]
