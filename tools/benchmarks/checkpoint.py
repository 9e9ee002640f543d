"""Digests of a checkpoint: what they add to a save and to a restore.

The state of an IR-50 with class centres and momentum is saved and restored
as in training, in turn with digests and without. On both sides the files lie
in the system's memory when they are read, where the save has left them.
"""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from benchmarks import timing
from bfjax import backbones, runtime, sharding
from bfjax.storage import checkpoint, digests, wholeness

NET = {'name': 'iresnet', 'image_size': 112}
CLASSES = 30_000


def run(
  *, repeats: int = 5, net: Mapping[str, Any] = NET, classes: int = CLASSES
) -> list[timing.Row]:
  """Rows of a save and a restore, on the clock and in CPU time."""
  runtime.start()
  state = _state(net, classes)
  size = sum(x.nbytes for x in jax.tree.leaves(state)) / 1e9
  what = f'IR-50 of {classes:,} classes with momentum, {size:.2f} GB'
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    sides = {
      name: stack.enter_context(_open_side(folder / name, state, name))
      for name in ('digested', 'not digested')
    }
    # Each call returns the seconds of its parts. The first warms up; who goes
    # first alternates, for what is still being written hinders the other.
    found = [
      {name: sides[name](step) for name in list(sides)[:: (-1) ** step]}
      for step in range(1, repeats + 2)
    ][1:]
  return [
    timing.Row(
      f'{job}: {what}',
      *sides,
      *([one[name][job] for one in found] for name in sides),
      '',
    )
    for job in found[0]['digested']
  ]


def _state(net, classes):
  """Parameters and their momentum on one device, and running statistics."""
  backbone = backbones.build(**net)

  def init(key):
    weights, stats = backbone.init(key)
    centres = jax.random.normal(key, (classes, backbone.embedding_dim))
    params = {'backbone': weights, 'centres': centres}
    return {
      'params': params,
      # As hard to compress as momentum is.
      'momentum': jax.tree.map(lambda x: jnp.sin(1e4 * x), params),
      'stats': stats,
    }

  mesh = sharding.make_mesh(jax.devices()[:1])
  return jax.jit(init, out_shardings=sharding.replicated(mesh))(
    jax.random.key(0)
  )


def _clocks() -> tuple[float, float]:
  """Seconds on the wall, and those that all threads have computed."""
  return time.perf_counter(), time.process_time()


@contextlib.contextmanager
def _open_side(workdir, state, name) -> Callable[[int], dict[str, float]]:
  """Gives step -> seconds of the parts of its save and its restore."""
  undigested = mock.patch.object(digests, 'write', lambda folder: None)

  def side(step):
    with contextlib.nullcontext() if name == 'digested' else undigested:
      times = [_clocks()]
      checkpoint.save(manager, step, state, {}, {})
      times.append(_clocks())
      checkpoint.wait(manager)
      times.append(_clocks())
    if name == 'digested':
      wholeness.check(wholeness.folder_of(workdir, step), '')
    jax.block_until_ready(checkpoint.restore(manager, step, state))
    times.append(_clocks())
    begin, begun, saved, restored = times
    return {
      'save, until it is whole': saved[0] - begin[0],
      'save, CPU time': saved[1] - begin[1],
      'save, what training waits for': begun[0] - begin[0],
      'restore': restored[0] - saved[0],
      'restore, CPU time': restored[1] - saved[1],
    }

  with checkpoint.open_manager(workdir, max_to_keep=1) as manager:
    yield side
