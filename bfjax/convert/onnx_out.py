"""A model of ours as an ONNX graph, written by jax2onnx."""

import contextlib
import io
import logging
import pathlib
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bfjax import convert, model
from bfjax.backbones.parts import convolution
from bfjax.convert import embedding

OPSET = 21
INPUT, OUTPUT = 'input', 'embedding'
_PROVIDERS = ['CPUExecutionProvider']


def write(
  given: model.Model, path: pathlib.Path, signature: embedding.Signature
) -> Callable[[np.ndarray], np.ndarray]:
  """Writes a graph; returns what onnxruntime makes of it, a batch at a time."""
  onnx = convert.library('onnx')
  graph = _export(given, signature)
  metadata = embedding.describe(given, signature) | {'opset': str(OPSET)}
  onnx.helper.set_model_props(graph, metadata)
  onnx.save_model(graph, path)
  onnx.checker.check_model(path, full_check=True)
  session = convert.library('onnxruntime').InferenceSession(
    path.read_bytes(), providers=_PROVIDERS
  )
  return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def _export(given, signature):
  with _quiet():
    jax2onnx = convert.library('jax2onnx')
    # It has its own versions of Flax's layers, with automatic broadcasting.
    with convolution.grouped_as_one(), jax.numpy_rank_promotion('allow'):
      graph = jax2onnx.to_onnx(
        embedding.make(given, signature),
        [signature.images(given.image_size)],
        model_name='bfjax',
        opset=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
      )
  graph = _simplified(graph)
  fuse(graph)
  return _with_used_opsets(_simplified(graph))


def _simplified(graph):
  """The graph with constants computed and no idle transposes.

  What onnxruntime calls basic are rewritings that any runtime can take.
  """
  runtime = convert.library('onnxruntime')
  onnx = convert.library('onnx')
  options = runtime.SessionOptions()
  options.graph_optimization_level = (
    runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
  )
  with tempfile.NamedTemporaryFile(suffix='.onnx') as file:
    options.optimized_model_filepath = file.name
    runtime.InferenceSession(
      graph.SerializeToString(), options, providers=_PROVIDERS
    )
    return onnx.load(file.name)


def _with_used_opsets(graph):
  """The graph without the operator sets that onnxruntime names and none uses.

  Other runtimes refuse sets that they do not know.
  """
  used = {node.domain for node in graph.graph.node}
  kept = [opset for opset in graph.opset_import if opset.domain in used]
  del graph.opset_import[:]
  graph.opset_import.extend(kept)
  return graph


@contextlib.contextmanager
def _quiet():
  """Keeps to itself what jax2onnx says of its plug-ins for other libraries.

  What it makes of the model is proven afterwards, whatever it says.
  """
  before = logging.root.manager.disable
  logging.disable(logging.CRITICAL)
  try:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
      warnings.simplefilter('ignore')
      yield
  finally:
    logging.disable(before)


def fuse(model: Any) -> None:
  """Finds batch norm and PReLU again in a graph that has them as arithmetic.

  JAX has no operation for either: a traced net has three for each, and a
  runtime reads and writes the whole map three times. As one node, a batch norm
  after a convolution even becomes part of it. In an `onnx.ModelProto` whose
  constants are initializers, in place:

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
    values = {'scale': scaled[1], 'bias': added[1], 'mean': centred[1]}
    shape = scaled[1].shape
    # [1, c] or [1, c, 1, 1], all of them alike.
    per_channel = len(shape) > 1 and scaled[1].size == shape[1]
    if per_channel and all(x.shape == shape for x in values.values()):
      vectors = {kind: x.reshape(-1) for kind, x in values.items()}
      vectors['variance'] = np.ones_like(vectors['scale'])
      self._replace(add, 'BatchNormalization', centred[0], vectors, epsilon=0.0)

  def fuse_prelu(self, where) -> None:
    condition, x, below = where.input
    greater = self._split(condition, 'Greater')
    product = self._split(below, 'Mul')
    if not greater or not product or np.any(greater[1] != 0):
      return
    if greater[0] == x == product[0]:
      self._replace(where, 'PRelu', x, {'slope': product[1]})

  def _replace(self, node, operation, x, constants, **attributes):
    """Makes a node another one, of `x` and new constants."""
    inputs = [x, *(f'{node.output[0]}_{kind}' for kind in constants)]
    for name, value in zip(inputs[1:], constants.values(), strict=True):
      tensor = self._onnx.numpy_helper.from_array(value, name)
      self._graph.initializer.append(tensor)
    made = self._onnx.helper.make_node(
      operation, inputs, list(node.output), **attributes
    )
    node.CopyFrom(made)

  def drop_unused(self) -> None:
    """Removes nodes and constants that nothing takes any more."""
    taken = {x.name for x in self._graph.output}
    for node in reversed(list(self._graph.node)):
      if taken.isdisjoint(node.output):
        self._graph.node.remove(node)
      else:
        taken.update(node.input)
    for tensor in [x for x in self._graph.initializer if x.name not in taken]:
      self._graph.initializer.remove(tensor)
