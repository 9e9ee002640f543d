"""The head alone, forward and backward: ours, and PyTorch's."""

import functools
import os
import time

import jax
import torch

from benchmarks import timing
from benchmarks.accelerator import head_torch, recipes, sizes
from bfjax import runtime, sharding
from bfjax.heads import softmax


def ours(
  found: sizes.Sizes, repeats: int, until: float
) -> dict[int, list[float] | str]:
  """Classes -> seconds of each repeat, or words why there are none."""
  os.environ['XLA_PYTHON_CLIENT_MEM_FRACTION'] = '0.92'
  runtime.start('')
  return _each(found, repeats, until, _ours)


def theirs(
  found: sizes.Sizes, repeats: int, until: float
) -> dict[int, list[float] | str]:
  """The same of PyTorch's side."""
  return _each(found, repeats, until, _theirs)


def _each(found, repeats, until, make):
  secs = {}
  for classes in found.head_classes:
    if time.time() >= until:
      break
    timing.tell(f'{classes:,} classes')
    try:
      several = make(found, classes)
      found_secs = timing.interleaved({'head': several}, repeats)['head']
      secs[classes] = [x / found.steps for x in found_secs]
    except torch.OutOfMemoryError:
      secs[classes] = sizes.NO_MEMORY
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      secs[classes] = sizes.NO_MEMORY
  return secs


def _ours(found, classes):
  mesh = sharding.make_mesh(jax.devices()[:1])
  head = recipes.head(mesh, classes)

  @functools.partial(jax.grad, argnums=(0, 1))
  def gradient(embedding, centres, label, mask):
    state, now = head.init_state(), softmax.Now(True)
    out = head(embedding, centres, label, mask, state, now)
    per_row = out.loss + recipes.WEIGHT * out.penalty
    return (out.weight * per_row).mean()

  embedding, centres, label = recipes.embeddings(
    found.head_rows, classes, found.dim
  )
  mask = label >= 0
  arrays = jax.device_put(
    (embedding, centres, label, mask), sharding.rows(mesh)
  )
  call = jax.jit(gradient)

  def several():
    for _ in range(found.steps):
      out = call(*arrays)
    return out

  return several


def _theirs(found, classes):
  device = 'cuda' if found.is_card else 'cpu'
  embedding, centres, label = (
    torch.from_numpy(x).to(device)
    for x in recipes.embeddings(found.head_rows, classes, found.dim)
  )
  label = label.long()
  embedding.requires_grad_()
  centres.requires_grad_()
  call = head_torch.loss
  if found.is_card:
    call = torch.compile(call, dynamic=False)

  def several():
    for _ in range(found.steps):
      loss = call(embedding, centres, label)
      torch.autograd.grad(loss, (embedding, centres))
    return loss.item()  # waits for the card

  return several
