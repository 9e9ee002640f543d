"""A model of ours as an ONNX graph, written by jax2onnx."""

import contextlib
import io
import logging
import pathlib
import tempfile
import warnings
from collections.abc import Callable

import jax
import numpy as np

from bfjax import convert, model
from bfjax.backbones.parts import convolution
from bfjax.convert import embedding, onnx_fusion

OPSET = 21
INPUT, OUTPUT = 'input', 'embedding'
_PROVIDERS = ['CPUExecutionProvider']


def write(
  given: model.Model, path: pathlib.Path, signature: embedding.Signature
) -> Callable[[np.ndarray], np.ndarray]:
  """Writes a graph that takes a batch of any size.

  Args:
    given: from `model.load_model`.
    path: of the new file.
    signature: what goes in and comes out.

  Returns:
    what onnxruntime makes of the file: images -> embeddings.
  """
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
  onnx_fusion.fuse(graph)
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
