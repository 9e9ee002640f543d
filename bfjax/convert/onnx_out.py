"""A model of ours as an ONNX graph, written by jax2onnx."""

import contextlib
import logging
import pathlib
import warnings

import jax
import numpy as np

from bfjax import atomic, convert, model
from bfjax.convert import embedding, proof, torch_out

OPSET = 21
INPUT, OUTPUT = 'input', 'embedding'


def write(
  given: model.Model, path: pathlib.Path, signature: embedding.Signature
) -> torch_out.Written:
  """Writes a graph that takes a batch of any size, and runs it.

  Args:
    given: from `model.load_model`.
    path: of the new file.
    signature: what goes in and comes out.

  Raises:
    UserError: if the signature cannot be, the file is there already, or what
      onnxruntime computes is not the model's function; then nothing is left.
  """
  signature.check()
  torch_out.check_free(path)
  graph = _export(given, signature)
  metadata = embedding.describe(given, signature) | {'opset': str(OPSET)}
  for name, value in metadata.items():
    graph.metadata_props.add(key=name, value=value)
  onnx = convert.library('onnx')
  with atomic.writing(path) as draft:
    onnx.save_model(graph, draft)
    onnx.checker.check_model(draft, full_check=True)
    shown = _prove(given, signature, draft)
  notes = [
    f'opset {OPSET}; {INPUT}: {signature.pixels}'
    f' {list(signature.shape("batch", given.image_size))}, RGB; {OUTPUT}: float'
    f' [batch, {given.description["embedding_dim"]}], {signature.output}'
  ]
  return torch_out.Written([path], shown, notes)


def _export(given, signature):
  dtype = embedding.INPUTS[signature.pixels]
  [batch] = jax.export.symbolic_shape('batch')
  shape = signature.shape(batch, given.image_size)
  with _quiet():
    jax2onnx = convert.library('jax2onnx')
    return jax2onnx.to_onnx(
      embedding.make(given, signature),
      [jax.ShapeDtypeStruct(shape, dtype)],
      model_name='bfjax',
      opset=OPSET,
      input_names=[INPUT],
      output_names=[OUTPUT],
    )


@contextlib.contextmanager
def _quiet():
  """Keeps to itself what jax2onnx says of its plug-ins for other libraries.

  What it makes of the model is proven afterwards, whatever it says.
  """
  before = logging.root.manager.disable
  logging.disable(logging.CRITICAL)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      yield
  finally:
    logging.disable(before)


def _prove(given, signature, path):
  runtime = convert.library('onnxruntime')
  session = runtime.InferenceSession(
    path.read_bytes(), providers=['CPUExecutionProvider']
  )
  pixels = proof.images(given.image_size)
  images = embedding.feed(given, signature, pixels)
  parts = np.split(images, [1, 6])  # batches of 1, 5 and 26
  found = [session.run([OUTPUT], {INPUT: part})[0] for part in parts]
  wanted = embedding.expect(proof.ours(given, pixels), signature)
  return proof.check(
    np.concatenate(found), wanted, 'The model and the ONNX graph'
  )
