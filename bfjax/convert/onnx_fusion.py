"""Batch norm and PReLU found again in a graph that has them as arithmetic.

JAX has no operation for either: a traced net has three for each, and a runtime
reads and writes the whole map three times. As one node, a batch norm after a
convolution even becomes part of it. Any other backbone's graph is left as it
is where these patterns do not occur.
"""

from typing import Any

import numpy as np

from bfjax import convert


def fuse(model: Any) -> None:
  """Rewrites an `onnx.ModelProto` whose constants are initializers, in place.

  (x - mean) * factor + bias    -> BatchNormalization
  where(x > 0, x, slope * x)    -> PRelu
  """
  graph = _Graph(model.graph)
  for node in list(model.graph.node):
    if node.op_type == 'Add':
      graph.fuse_norm(node)
    elif node.op_type == 'Where':
      graph.fuse_prelu(node)
  graph.drop_unused()


class _Graph:
  """A graph with what it takes to look things up."""

  def __init__(self, graph):
    self._onnx = convert.library('onnx')
    self._graph = graph
    self._constants = {
      x.name: self._onnx.numpy_helper.to_array(x) for x in graph.initializer
    }
    self._producers = {y: n for n in graph.node for y in n.output}

  def _split(self, name: str, operation: str):
    """(other input, constant) of the node that makes `name`, or None."""
    node = self._producers.get(name)
    if node is None or node.op_type != operation:
      return None
    first, second = node.input
    if second in self._constants:
      return first, self._constants[second]
    if first in self._constants and operation != 'Sub':
      return second, self._constants[first]
    return None

  def fuse_norm(self, add) -> None:
    added = self._split(add.output[0], 'Add')
    scaled = added and self._split(added[0], 'Mul')
    centred = scaled and self._split(scaled[0], 'Sub')
    if not centred:
      return
    values = [scaled[1], added[1], centred[1]]
    if not all(_is_per_channel(x, values[0].shape) for x in values):
      return
    vectors = [x.reshape(-1) for x in values]
    vectors.append(np.ones_like(vectors[0]))
    names = [
      self._constant(f'{add.output[0]}_{kind}', value)
      for kind, value in zip(
        ('scale', 'bias', 'mean', 'variance'), vectors, strict=True
      )
    ]
    self._replace(add, 'BatchNormalization', [centred[0], *names], epsilon=0.0)

  def fuse_prelu(self, where) -> None:
    condition, x, below = where.input
    greater = self._split(condition, 'Greater')
    product = self._split(below, 'Mul')
    if not greater or not product or np.any(greater[1] != 0):
      return
    if greater[0] == x == product[0]:
      name = self._constant(f'{where.output[0]}_slope', product[1])
      self._replace(where, 'PRelu', [x, name])

  def _constant(self, name, value):
    tensor = self._onnx.numpy_helper.from_array(value, name)
    self._graph.initializer.append(tensor)
    return name

  def _replace(self, node, operation, inputs, **attributes):
    made = self._onnx.helper.make_node(
      operation, inputs, list(node.output), **attributes
    )
    node.CopyFrom(made)

  def drop_unused(self) -> None:
    """Removes nodes and constants that nothing takes any more."""
    while True:
      taken = {x for node in self._graph.node for x in node.input}
      taken |= {x.name for x in self._graph.output}
      idle = [n for n in self._graph.node if not taken & set(n.output)]
      for node in idle:
        self._graph.node.remove(node)
      if not idle:
        break
    for tensor in [x for x in self._graph.initializer if x.name not in taken]:
      self._graph.initializer.remove(tensor)


def _is_per_channel(value, shape) -> bool:
  """Whether it is [1, c] or [1, c, 1, 1], of this shape."""
  return value.shape == shape and value.ndim > 1 and value.size == shape[1]
