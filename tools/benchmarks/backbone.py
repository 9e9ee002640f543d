"""IR-50, a training step and inference, against the same net in PyTorch.

Batch 16, 112x112, float32, all cores on both sides. A step is: forward in
training mode with dropout, the gradient of a fixed linear function of the
embeddings, and SGD with momentum. Each side has a process of its own, as its
users run it, and they are called in turn. PyTorch runs in its own layout
(channels first, as the published code) and, as a second line, channels last.
"""

import importlib.util
import os
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import timing
from bfjax import backbones, runtime

ROWS, SIZE, DIM = 16, 112, 512
# Small steps: hundreds of them on one batch must not run away.
RATE, MOMENTUM = 1e-4, 0.9

_PARTS = (
  ('training step', 'at least 0.9'),
  ('inference', 'at least 0.95'),
)


def run(*, repeats: int = 5) -> list[timing.Row]:
  """Rows of the training step and of inference, each against both layouts."""
  sides = {
    'ours': timing.Apart(_ours),
    'PyTorch': timing.Apart(_theirs, 'contiguous_format'),
    'PyTorch, channels last': timing.Apart(_theirs, 'channels_last'),
  }
  table = []
  for name, goal in _PARTS:
    calls = {side: apart.call(name) for side, apart in sides.items()}
    secs = timing.interleaved(calls, repeats=repeats)
    what = f'IR-50 {name}, batch {ROWS}, {SIZE}x{SIZE}, float32'
    ours = secs.pop('ours')
    table += [
      timing.Row(
        what, 'backbones.iresnet', side, ours, theirs, goal if i == 0 else ''
      )
      for i, (side, theirs) in enumerate(secs.items())
    ]
  for apart in sides.values():
    apart.close()
  return table


def _data() -> tuple[np.ndarray, np.ndarray]:
  """Images and the weights of the linear function, the same on all sides."""
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (ROWS, SIZE, SIZE, 3)).astype(np.float32)
  return images, rng.standard_normal((ROWS, DIM), dtype=np.float32)


def _ours() -> dict[str, Callable]:
  """A training step and an inference, each a function of no arguments."""
  runtime.keep_memory()
  runtime.start()
  images, weight = map(jnp.asarray, _data())
  net = backbones.build('iresnet')
  params, stats = jax.jit(net.init)(jax.random.key(0))

  def step(params, velocity, stats, key):
    def loss(params):
      embedding, new_stats = net.apply(
        params, stats, images, train=True, dropout_key=key
      )
      return jnp.sum(embedding * weight), new_stats

    gradients, stats_after = jax.grad(loss, has_aux=True)(params)
    velocity = jax.tree.map(
      lambda v, gradient: MOMENTUM * v + gradient, velocity, gradients
    )
    params = jax.tree.map(lambda p, v: p - RATE * v, params, velocity)
    return params, velocity, stats_after, jax.random.split(key, 1)[0]

  step = jax.jit(step, donate_argnums=(0, 1, 2, 3))

  @jax.jit
  def infer(params, stats):
    return net.apply(params, stats, images, train=False)[0]

  velocity = jax.tree.map(jnp.zeros_like, params)
  # The step gives its state away, and inference has its own.
  state = jax.tree.map(jnp.copy, (params, velocity, stats))
  state = (*state, jax.random.key(1))

  def train():
    nonlocal state
    state = step(*state)
    return state

  return {
    'training step': train,
    'inference': lambda: infer(params, stats),
  }


def _theirs(layout: str) -> dict[str, Callable]:
  """The same in PyTorch, in a memory format."""
  torch.set_num_threads(os.cpu_count())
  layout = getattr(torch, layout)
  images, weight = _data()
  net = oracle('torch_boundaryface').CBAMResNet().to(memory_format=layout)
  images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
  images = images.contiguous(memory_format=layout)
  weight = torch.from_numpy(weight)
  optimizer = torch.optim.SGD(net.parameters(), RATE, momentum=MOMENTUM)

  def train():
    net.train()
    optimizer.zero_grad()
    (net(images) * weight).sum().backward()
    optimizer.step()

  def infer():
    net.eval()
    with torch.inference_mode():
      net(images)

  return {'training step': train, 'inference': infer}


def oracle(name: str):
  """A file of the tests, by its path: `tests` is no package."""
  path = pathlib.Path(__file__).parents[2] / 'tests' / f'{name}.py'
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
