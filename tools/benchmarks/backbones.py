"""Every backbone: parameters, multiply-adds, and images/s beside PyTorch.

Inference, batch 16, 112x112, float32, all cores on both sides, each in a
process of its own. GFLOPs are billions of multiply-adds an image in
convolutions, linear layers and attention, as the field counts them, by
PyTorch's counter on the original.
"""

import functools
import os
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.utils import flop_counter

from benchmarks import backbone, timing
from bfjax import backbones, runtime

ROWS, SIZE = 16, 112


class Net(NamedTuple):
  """A backbone and its original.

  Attributes:
    name: what its code base calls it.
    options: of `backbones.build`.
    module: the tests' file that has the original.
    make: the class there.
    sizes: its arguments.
  """

  name: str
  options: dict[str, Any]
  module: str
  make: str
  sizes: dict[str, Any]


def _iresnet(name, variant, module, make, **options):
  ours = dict(name='iresnet', variant=variant, **options)
  return Net(name, ours, module, make, options)


_boundaryface = functools.partial(
  _iresnet,
  variant='boundaryface',
  module='torch_boundaryface',
  make='CBAMResNet',
)
_insightface = functools.partial(
  _iresnet, variant='insightface', module='torch_insightface', make='IResNet'
)
_adaface = functools.partial(
  _iresnet, variant='adaface', module='torch_adaface', make='Backbone'
)
_facexzoo = functools.partial(
  _iresnet, variant='facexzoo', module='torch_facexzoo', make='Resnet'
)


def _mobilefacenet(variant, **sizes):
  ours = dict(name='mobilefacenet', variant=variant)
  return Net(variant, ours, 'torch_insightface', 'MobileFaceNet', sizes)


def _vit(variant, dim, depth):
  ours = dict(name='vit', variant=variant)
  sizes = dict(dim=dim, depth=depth)
  return Net(variant, ours, 'torch_vit', 'VisionTransformer', sizes)


NETS = (
  _boundaryface('BoundaryFace IR-50', depth=50),
  _boundaryface('BoundaryFace IR-SE-50', depth=50, mode='ir_se'),
  _boundaryface('BoundaryFace IR-100', depth=100),
  _boundaryface('BoundaryFace IR-152', depth=152),
  _insightface('InsightFace r18', depth=18),
  _insightface('InsightFace r34', depth=34),
  _insightface('InsightFace r50', depth=50),
  _insightface('InsightFace r100', depth=100),
  _insightface('InsightFace r200', depth=200),
  _mobilefacenet('mbf'),
  _mobilefacenet('mbf_large', scale=4, blocks=(2, 8, 12, 4)),
  _vit('vit_t', 256, 12),
  _vit('vit_s', 512, 12),
  _vit('vit_b', 512, 24),
  _vit('vit_l_dp005_mask_005', 768, 24),
  _adaface('AdaFace IR_18', depth=18),
  _adaface('AdaFace IR_50', depth=50),
  _adaface('AdaFace IR_101', depth=101),
  _adaface('AdaFace IR_152', depth=152),
  _facexzoo('FaceX-Zoo IR-50', depth=50),
  _facexzoo('FaceX-Zoo IR-SE-50', depth=50, mode='ir_se'),
)


def run(*, repeats: int = 5) -> list[timing.Row]:
  """A row a backbone."""
  return [_row(net, repeats) for net in NETS]


def _row(net: Net, repeats: int) -> timing.Row:
  parameters, flops = count(net)
  sides = {
    'ours': timing.Apart(_ours, net.options),
    'theirs': timing.Apart(_theirs, net),
  }
  calls = {side: apart.call('inference') for side, apart in sides.items()}
  secs = timing.interleaved(calls, repeats=repeats)
  for apart in sides.values():
    apart.close()
  ours, theirs = (ROWS / statistics.median(secs[side]) for side in sides)
  return timing.Row(
    f'{net.name}: {parameters / 1e6:.2f} M parameters, {flops / 1e9:.2f} '
    f'GFLOPs; inference of {ROWS} images',
    f'backbones.{net.options["name"]}',
    'PyTorch',
    secs['ours'],
    secs['theirs'],
    '',
    note=f'{ours:.1f} images/s; PyTorch {theirs:.1f}',
  )


def count(net: Net) -> tuple[int, int]:
  """The original's parameters, and its multiply-adds for one image."""
  with torch.device('meta'), torch.no_grad():  # sizes alone
    original = _original(net).eval()
    with flop_counter.FlopCounterMode(display=False) as counter:
      original(torch.empty(1, 3, SIZE, SIZE))
  parameters = sum(p.numel() for p in original.parameters())
  return parameters, counter.get_total_flops() // 2


def _original(net: Net) -> torch.nn.Module:
  return getattr(backbone.oracle(net.module), net.make)(**net.sizes)


def _images() -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.uniform(-1, 1, (ROWS, SIZE, SIZE, 3)).astype(np.float32)


def _ours(options: dict[str, Any]) -> dict[str, Callable]:
  runtime.keep_memory()
  runtime.start()
  net = backbones.build(**options)
  params, stats = jax.jit(net.init)(jax.random.key(0))
  images = jnp.asarray(_images())

  @jax.jit
  def infer(params, stats):
    return net.apply(params, stats, images, train=False)[0]

  return {'inference': lambda: infer(params, stats)}


def _theirs(net: Net) -> dict[str, Callable]:
  torch.set_num_threads(os.cpu_count())
  original = _original(net).eval()
  images = torch.from_numpy(_images().transpose(0, 3, 1, 2).copy())

  def infer():
    with torch.inference_mode():
      original(images)

  return {'inference': infer}
