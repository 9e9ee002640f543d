"""The head alone, forward and backward, against the one-hot formulation.

BoundaryFace (ArcFace margin, boundary rule and penalty) at batch 256 and 512
dimensions, float32: the loss and its gradients with respect to embeddings and
centres, on one CPU device. The other side is PyTorch with one-hot products
over [batch, classes], as the published code is written. Measured against each
other, all ours: the rules `posterior` and `boundary`, cosines in chunks and all
at once, products in bfloat16 and float32.
"""

import ctypes
import functools
import math
import pathlib
import re
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import timing
from bfjax import runtime, sharding
from bfjax.heads import margins, penalties, rules, softmax

ROWS, DIM = 256, 512
CLASSES = {10_000: 'at least 3', 100_000: 'at least 4'}
CHUNK = 2048  # classes of one
SCALE, MARGIN, WEIGHT = 32.0, 0.5, math.pi


def run(*, repeats: int = 5) -> list[timing.Row]:
  """Rows of time and of peak memory at each number of classes."""
  table = [_chunks_in_memory(100_000), _chunks_in_memory(1_000_000)]
  for classes, goal in CLASSES.items():
    arrays = _arrays(classes)
    steps = {name: _SIDES[name](*arrays) for name in ('ours', 'theirs')}
    _check_equal(steps)
    secs = _times(('ours', 'theirs'), classes, repeats)
    # Apart, since threads of PyTorch spin on for a while.
    rules = _times(('ours', 'posterior'), classes, repeats)
    chunks = _times(('ours', 'chunks'), classes, repeats)
    size = {name: [_peak_bytes(steps[name])] for name in ('ours', 'theirs')}
    what = f'head, {ROWS} rows, {classes:,} classes, forward and backward'
    sides = ('class-parallel softmax', 'PyTorch, one-hot products')
    table += [
      timing.Row(what, *sides, secs['ours'], secs['theirs'], goal),
      timing.Row(
        f'{what}: memory',
        *sides,
        size['ours'],
        size['theirs'],
        '',
        note='peak of the process over what it held before, gradients included',
        unit='B',
      ),
      timing.Row(
        f'{what}: the rule',
        'posterior',
        'boundary',
        rules['posterior'],
        rules['ours'],
        'at least 0.87',
        note='0.87: at most 15 % more',
      ),
      timing.Row(
        f'{what}: {CHUNK:,} classes at a time',
        'chunks, computed twice',
        'all cosines, once',
        chunks['chunks'],
        chunks['ours'],
        'at least 0.77',
        note='0.77: at most 1.3 times the time',
      ),
    ]
  return [*table, _coarse_products(10_000, repeats)]


def _chunks_in_memory(classes) -> timing.Row:
  """What the compiled programs take beside centres and gradients."""
  arrays = [
    jax.ShapeDtypeStruct(shape, kind)
    for shape, kind in (
      ((ROWS, DIM), 'f4'),
      ((classes, DIM), 'f4'),
      ((ROWS,), 'i4'),
      ((ROWS,), '?'),
    )
  ]
  size = [
    _gradient(classes, chunk_classes=chunk)
    .lower(*arrays)
    .compile()
    .memory_analysis()
    .temp_size_in_bytes
    for chunk in (CHUNK, 0)
  ]
  return timing.Row(
    f'head, {ROWS} rows, {classes:,} classes, {CHUNK:,} at a time: memory',
    'chunks, computed twice',
    'all cosines, once',
    size[:1],
    size[1:],
    'below 50 MB',
    note='of the compiled program, beside centres and gradients',
    unit='B',
  )


def _coarse_products(classes, repeats) -> timing.Row:
  """How many labels are others with products in bfloat16, and the time."""
  rng = np.random.default_rng(1)
  centres = rng.standard_normal((classes, DIM), dtype='f4')
  steps = {
    name: _gradient(classes, precision=name, chunk_classes=CHUNK)
    for name in ('bfloat16', 'float32')
  }
  rows, other, corrected = 40 * ROWS, 0, 0
  for _ in range(rows // ROWS):
    # Anywhere between the given class and another one, at any sureness.
    given, true = rng.integers(0, classes, (2, ROWS))
    share = rng.random((ROWS, 1), dtype='f4')
    embedding = share * centres[true] + (1 - share) * centres[given]
    noise = rng.standard_normal((ROWS, DIM), dtype='f4')
    embedding += rng.random((ROWS, 1), dtype='f4') * noise
    arrays = embedding, centres, given.astype('i4'), np.ones(ROWS, bool)
    coarse, exact = (np.asarray(step(*arrays)[0][1]) for step in steps.values())
    other += np.sum(coarse != exact)
    corrected += np.sum(exact != given)
  calls = {name: functools.partial(x, *arrays) for name, x in steps.items()}
  secs = timing.interleaved(calls, repeats=repeats)
  return timing.Row(
    f'head, {ROWS} rows, {classes:,} classes: products in bfloat16',
    'bfloat16, sums in float32',
    'float32',
    secs['bfloat16'],
    secs['float32'],
    '',
    note=f'of {rows:,} rows {corrected:,} are corrected; bfloat16 decides'
    f' {other:,} otherwise',
  )


def _times(names, classes, repeats):
  """Each side in a process of its own, as its users run it; see `timing`."""
  sides = {name: timing.Apart(_side, name, classes) for name in names}
  calls = {name: apart.call('step') for name, apart in sides.items()}
  secs = timing.interleaved(calls, repeats=repeats)
  for apart in sides.values():
    apart.close()
  return secs


def _side(name, classes) -> dict[str, Callable]:
  if name != 'theirs':
    runtime.keep_memory()
    runtime.start()
  return {'step': _SIDES[name](*_arrays(classes))}


def _arrays(classes):
  """Embeddings near their centres, 20 % of the labels flipped."""
  rng = np.random.default_rng(0)
  centres = rng.standard_normal((classes, DIM), dtype='f4')
  label = rng.integers(0, classes, ROWS)
  noise = rng.standard_normal((ROWS, DIM), dtype='f4')
  embedding = centres[label] + noise
  flipped = rng.random(ROWS) < 0.2
  label = np.where(flipped, rng.integers(0, classes, ROWS), label)
  return embedding, centres, label.astype('i4')


def _gradient(classes, rule='boundary', **options) -> Callable:
  """Arrays -> ((loss, labels), gradients), jitted; `options` of the head."""
  mesh = sharding.make_mesh(jax.devices('cpu')[:1])
  head = softmax.Head(
    mesh,
    margin=margins.build('arcface', m=MARGIN),
    rule=rules.build(rule),
    penalty=penalties.PENALTIES['boundary'],
    num_classes=classes,
    scale=SCALE,
    **options,
  )
  state = head.init_state()

  def objective(embedding, centres, label, mask):
    out = head(embedding, centres, label, mask, state, softmax.Now(True))
    loss = (out.weight * (out.loss + WEIGHT * out.penalty)).mean()
    return loss, out.label

  return jax.jit(jax.value_and_grad(objective, (0, 1), has_aux=True))


def _our_step(embedding, centres, label, **options) -> Callable:
  step = _gradient(len(centres), **options)
  arrays = embedding, centres, label, np.ones(ROWS, bool)
  arrays = [jnp.asarray(x) for x in arrays]
  return lambda: jax.block_until_ready(step(*arrays))


def _their_step(embedding, centres, label) -> Callable:
  embedding = torch.tensor(embedding, requires_grad=True)
  centres = torch.tensor(centres, requires_grad=True)
  label = torch.tensor(label, dtype=torch.int64)

  def step():
    loss = _one_hot_loss(embedding, centres, label)
    return (loss.detach(), None), torch.autograd.grad(
      loss, (embedding, centres)
    )

  return step


_SIDES = {
  'ours': _our_step,
  'chunks': functools.partial(_our_step, chunk_classes=CHUNK),
  'theirs': _their_step,
  'posterior': functools.partial(_our_step, rule='posterior'),
}


def _one_hot_loss(embedding, centres, label):
  """BoundaryFace with every choice of a class written as a product."""
  normalise = torch.nn.functional.normalize
  cosine = torch.mm(normalise(embedding), normalise(centres).T)
  phi = cosine * math.cos(MARGIN)
  phi = phi - torch.sqrt(1 - cosine**2) * math.sin(MARGIN)
  beyond = cosine - MARGIN * math.sin(math.pi - MARGIN)
  phi = torch.where(cosine > math.cos(math.pi - MARGIN), phi, beyond)
  one_hot = torch.zeros_like(cosine).scatter_(1, label[:, None], 1)
  with torch.no_grad():
    other_phi, other = ((1 - one_hot) * phi).max(1)
    target_cosine, _ = (one_hot * cosine).max(1)
    label = torch.where(other_phi > target_cosine, other, label)
  one_hot = torch.zeros_like(cosine).scatter_(1, label[:, None], 1)
  logits = one_hot * phi + (1 - one_hot) * cosine
  loss = torch.nn.functional.cross_entropy(SCALE * logits, label)
  other_cosine, _ = ((1 - one_hot) * cosine).max(1)
  target_phi, _ = (one_hot * phi).max(1)
  return loss + WEIGHT * torch.relu(other_cosine - target_phi).mean()


def _check_equal(steps):
  """Both sides do the same work, or the ratio means nothing."""
  ((ours, _), our_gradients), ((theirs, _), their_gradients) = (
    steps[name]() for name in ('ours', 'theirs')
  )
  np.testing.assert_allclose(float(ours), float(theirs), rtol=1e-4)
  for a, b in zip(our_gradients, their_gradients, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4 * float(jnp.abs(a).max()))


def _peak_bytes(step) -> int:
  """The most memory the process held during `step`, less that before it."""
  # What the allocator keeps for later use would hide what the step takes.
  ctypes.CDLL(None).malloc_trim(0)
  done = threading.Event()
  held = _resident_bytes()
  peak = held

  def watch():
    nonlocal peak
    while not done.wait(0.001):
      peak = max(peak, _resident_bytes())

  watcher = threading.Thread(target=watch)
  watcher.start()
  step()
  done.set()
  watcher.join()
  return peak - held


def _resident_bytes() -> int:
  status = pathlib.Path('/proc/self/status').read_text()
  return 1024 * int(re.search(r'VmRSS:\s*(\d+) kB', status)[1])
