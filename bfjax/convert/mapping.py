"""Arrays of a state dict to arrays of our trees, and back, bit for bit.

torch has convolutions as [out, in, h, w] where ours are [h, w, in, out], dense
layers as [out, in] where ours are [in, out], and flattens a map in the order
(channel, height, width) where ours is (height, width, channel).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
from flax import traverse_util

from bfjax import modelcard
from bfjax.convert import names as names_lib

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


class Layout(NamedTuple):
  """How an array is laid out there: to there, and from there."""

  to_torch: Callable
  to_ours: Callable


_SAME = Layout(lambda x: x, lambda x: x)
_CONVOLUTION = Layout(
  lambda x: x.transpose(3, 2, 0, 1), lambda x: x.transpose(2, 3, 1, 0)
)
_DENSE = Layout(lambda x: x.T, lambda x: x.T)
_POINTWISE = Layout(lambda x: x.T[:, :, None, None], lambda x: x[:, :, 0, 0].T)


def _flattened(channels: int) -> Layout:
  """Of a dense layer on a square map of so many channels."""

  def to_torch(x):
    side = round((x.shape[0] / channels) ** 0.5)
    kernel = x.reshape(side, side, channels, -1)
    return kernel.transpose(3, 2, 0, 1).reshape(x.shape[1], x.shape[0])

  def to_ours(x):
    side = round((x.shape[1] / channels) ** 0.5)
    kernel = x.reshape(-1, channels, side, side)
    return kernel.transpose(2, 3, 1, 0).reshape(x.shape[1], x.shape[0])

  return Layout(to_torch, to_ours)


def _with_leading_ones(count: int) -> Layout:
  """Of an array that has so many more dimensions there."""
  return Layout(
    lambda x: x.reshape((1,) * count + x.shape),
    lambda x: x.reshape(x.shape[count:]),
  )


class Array(NamedTuple):
  """One array: its path here, name, layout and shape there."""

  path: str
  name: str
  layout: Layout
  shape: tuple[int, ...]


class Table(NamedTuple):
  """All that makes an architecture's state dict.

  Attributes:
    arrays: those with a place in our trees.
    counters: names of the int64 scalars that count a batch norm's batches.
    stem: name of the weight whose input channels are the colours.
  """

  arrays: tuple[Array, ...]
  counters: tuple[str, ...]
  stem: str


def make_table(architecture: str, backbone: Mapping, image_size: int) -> Table:
  """The table of a backbone of ours in an architecture of `names`."""
  net = modelcard.build_backbone(
    {'backbone': backbone, 'image_size': image_size}
  )
  leaves = _leaves(jax.eval_shape(net.init, jax.random.key(0)))
  shapes = {path: leaf.shape for path, leaf in leaves.items()}
  names = names_lib.load(architecture).names(shapes, backbone)
  arrays, counters = [], []
  for path, leaf in leaves.items():
    module, _, array = path.partition('/')[2].rpartition('/')
    if path in names.arrays:
      name, ndim = names.arrays[path]
      layout = _with_leading_ones(ndim - leaf.ndim)
    else:
      there = names.modules[module]
      name = f'{there}.{_ARRAYS[array]}'
      layout = _layout(names, there, array, leaf.ndim)
      if array == 'mean':
        counters.append(f'{there}.{_COUNTER}')
    shape = jax.eval_shape(layout.to_torch, leaf).shape
    arrays.append(Array(path, name, layout, shape))
  return Table(tuple(arrays), tuple(counters), f'{names.stem}.weight')


def _layout(names, there, array, ndim):
  if array != 'kernel':
    return _SAME
  if ndim == 4:
    return _CONVOLUTION
  if there in names.pointwise:
    return _POINTWISE
  if there in names.flattened:
    return _flattened(names.flattened[there])
  return _DENSE


def _leaves(trees):
  params, stats = trees
  return traverse_util.flatten_dict({'params': params, 'stats': stats}, sep='/')


def differences(table: Table, shapes: Mapping[str, tuple]) -> list[str]:
  """Lines that say what of a state dict is missing, left over or misshapen."""
  wanted = {array.name: array.shape for array in table.arrays}
  lines = [f'missing: {x} {wanted[x]}' for x in wanted if x not in shapes]
  lines += [
    f'left over: {name} {tuple(shape)}'
    for name, shape in shapes.items()
    if name not in wanted and name not in table.counters
  ]
  lines += [
    f'shape: {name} is {tuple(shapes[name])}, expected {shape}'
    for name, shape in wanted.items()
    if tuple(shapes.get(name, shape)) != shape
  ]
  return lines


def to_ours(table: Table, state: Mapping[str, np.ndarray], swap: bool):
  """(params, stats) of a state dict without differences.

  Args:
    table: from `make_table`.
    state: name -> array.
    swap: whether the stem's colours are to change their order.
  """
  flat = {}
  for array in table.arrays:
    value = state[array.name]
    if swap and array.name == table.stem:
      value = value[:, ::-1]
    flat[array.path] = np.ascontiguousarray(array.layout.to_ours(value))
  trees = traverse_util.unflatten_dict(flat, sep='/')
  return trees['params'], trees.get('stats', {})


def to_torch(
  table: Table, params, stats, counts: Mapping[str, int] | int, swap: bool
) -> dict[str, np.ndarray]:
  """The state dict, in the order of `table`, of a model of ours.

  Args:
    table: from `make_table`.
    params: of the backbone.
    stats: its running statistics.
    counts: the counters, by name, or one number for all.
    swap: whether the stem's colours are to change their order.
  """
  leaves = _leaves((params, stats))
  state = {}
  for array in table.arrays:
    value = array.layout.to_torch(np.asarray(leaves[array.path]))
    if swap and array.name == table.stem:
      value = value[:, ::-1]
    state[array.name] = np.ascontiguousarray(value)
  for name in table.counters:
    count = counts if isinstance(counts, int) else counts.get(name, 0)
    state[name] = np.int64(count)
  return state
