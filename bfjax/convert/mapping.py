"""Arrays of a state dict to arrays of our trees, and back, bit for bit.

torch has convolutions as [out, in, h, w] where ours are [h, w, in, out], dense
layers as [out, in] where ours are [in, out], and flattens a map in the order
(channel, height, width) where ours is (height, width, channel).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from flax import traverse_util

from bfjax import modelcard
from bfjax.convert import architectures

# What an array of a module is called here -> there.
_ARRAYS = {
  'kernel': 'weight',
  'scale': 'weight',
  'slope': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'variance': 'running_var',
}
_COUNTER = 'num_batches_tracked'


class Array(NamedTuple):
  """One array: reshaped to `split`, transposed by `axes`, it is that there."""

  path: str  # of it in our trees
  name: str  # there
  ours: tuple[int, ...]  # its shape here
  split: tuple[int, ...]
  axes: tuple[int, ...]
  shape: tuple[int, ...]  # there

  def to_torch(self, value: np.ndarray) -> np.ndarray:
    """The array there of one here."""
    return value.reshape(self.split).transpose(self.axes).reshape(self.shape)

  def to_ours(self, value: np.ndarray) -> np.ndarray:
    """The array here of one there."""
    value = value.reshape([self.split[axis] for axis in self.axes])
    return value.transpose(np.argsort(self.axes)).reshape(self.ours)


class Table(NamedTuple):
  """All that makes an architecture's state dict."""

  arrays: tuple[Array, ...]  # those with a place in our trees
  counters: tuple[str, ...]  # int64 scalars that count a batch norm's batches
  stem: str  # the weight whose input channels are the colours


def make_table(architecture: str, backbone: Mapping, image_size: int) -> Table:
  """The table of a backbone of ours in one of `architectures`."""
  net = modelcard.build_backbone(
    {'backbone': backbone, 'image_size': image_size}
  )
  leaves = _leaves(jax.eval_shape(net.init, jax.random.key(0)))
  shapes = {path: leaf.shape for path, leaf in leaves.items()}
  names = architectures.ARCHITECTURES[architecture].names(shapes, backbone)
  arrays, counters = [], []
  for path, ours in shapes.items():
    module, _, array = path.partition('/')[2].rpartition('/')
    if path in names.arrays:
      name, ndim = names.arrays[path]
      shape = (1,) * (ndim - len(ours)) + ours
      layout = ours, tuple(range(len(ours))), shape
    else:
      there = names.modules[module]
      name = f'{there}.{_ARRAYS[array]}'
      layout = _layout(names, there, ours)
      if array == 'mean':
        counters.append(f'{there}.{_COUNTER}')
    arrays.append(Array(path, name, ours, *layout))
  return Table(tuple(arrays), tuple(counters), f'{names.stem}.weight')


def _layout(names, there, ours):
  """`split`, `axes` and `shape` of an array of a module, see `Array`."""
  if len(ours) == 1:
    return ours, (0,), ours
  if len(ours) == 4:
    height, width, inputs, outputs = ours
    return ours, (3, 2, 0, 1), (outputs, inputs, height, width)
  inputs, outputs = ours
  if there in names.pointwise:
    return ours, (1, 0), (outputs, inputs, 1, 1)
  if there in names.flattened:
    channels = names.flattened[there]
    side = math.isqrt(inputs // channels)
    return (side, side, channels, outputs), (3, 2, 0, 1), (outputs, inputs)
  return ours, (1, 0), (outputs, inputs)


def _leaves(trees):
  params, stats = trees
  return traverse_util.flatten_dict({'params': params, 'stats': stats}, sep='/')


def differences(table: Table, state: Mapping[str, np.ndarray]) -> list[str]:
  """Lines that say what of a state dict is missing, left over or misshapen."""
  wanted = {array.name: array.shape for array in table.arrays}
  lines = [f'missing: {x} {wanted[x]}' for x in wanted if x not in state]
  lines += [
    f'left over: {name} {value.shape}'
    for name, value in state.items()
    if name not in wanted and name not in table.counters
  ]
  for name in (x for x in wanted if x in state):
    shape, dtype = state[name].shape, state[name].dtype
    if shape != wanted[name]:
      lines.append(f'shape: {name} is {shape}, expected {wanted[name]}')
    if dtype != np.float32:
      lines.append(f'type: {name} is {dtype}, expected float32')
  return lines


def to_ours(table: Table, state: Mapping[str, np.ndarray], swap: bool):
  """(params, stats) of a state dict without differences.

  With `swap` the stem's colours change their order.
  """
  flat = {}
  for array in table.arrays:
    value = state[array.name]
    if swap and array.name == table.stem:
      value = value[:, ::-1]
    flat[array.path] = np.ascontiguousarray(array.to_ours(value))
  trees = traverse_util.unflatten_dict(flat, sep='/')
  return trees['params'], trees.get('stats', {})


def to_torch(
  table: Table, params, stats, counts: Mapping[str, int] | int, swap: bool
) -> dict[str, np.ndarray]:
  """The state dict, in the order of `table`, of a model of ours.

  `counts` are the counters by name, or one number for all; with `swap` the
  stem's colours change their order.
  """
  leaves = _leaves((params, stats))
  state = {}
  for array in table.arrays:
    value = array.to_torch(np.asarray(leaves[array.path]))
    if swap and array.name == table.stem:
      value = value[:, ::-1]
    state[array.name] = np.ascontiguousarray(value)
  for name in table.counters:
    count = counts if isinstance(counts, int) else counts.get(name, 0)
    state[name] = np.asarray(count, np.int64)
  return state
