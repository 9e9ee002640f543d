"""ONNX and StableHLO: run without our code, on any batch, as ours computes."""

import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from bfjax import backbones, errors, model, modelcard, scalings
from bfjax.convert import embedding, exports, onnx_out, proof

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('jax2onnx')

pytestmark = [
  pytest.mark.usefixtures('quick_compilation'),
  pytest.mark.slow,
]

SIZE, DIM = 16, 8
NETS = {
  'iresnet': dict(widths=(16, 16), blocks=(1,), mode='ir_cbam'),
  'mobilefacenet': dict(width=8, blocks=(1, 1, 1, 1)),
  'vit': dict(dim=16, depth=1, heads=2, patch_size=8),
}


def make(name, **options):
  """A model with random weights; nothing is 0 or 1 by construction."""
  backbone = {'name': name, 'embedding_dim': DIM, **NETS[name], **options}
  net = backbones.build(**backbone, image_size=SIZE)
  generator = np.random.default_rng(0)

  def leaf(shape):
    value = generator.uniform(0.2, 1, shape.shape)
    if shape.ndim > 1:
      fan = shape.size / shape.shape[-1]
      value = (2 / fan) ** 0.5 * generator.normal(size=shape.shape)
    return value.astype(np.float32)

  params, stats = jax.tree.map(
    leaf, jax.eval_shape(net.init, jax.random.key(0))
  )
  description = modelcard.describe(
    backbone=backbone,
    image_size=SIZE,
    embedding_dim=DIM,
    num_classes=7,
    source={'file': 'net.pt'},
  )
  return model.Model(
    net, params, stats, scalings.STANDARD, SIZE, None, None, description
  )


def images(rows):
  generator = np.random.default_rng(1)
  return generator.integers(0, 256, (rows, SIZE, SIZE, 3), dtype=np.uint8)


def unit(vectors):
  return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def assert_close(found, expected):
  assert found.dtype == np.float32
  np.testing.assert_allclose(
    found, expected, rtol=0, atol=1e-5 * np.abs(expected).max()
  )


@pytest.mark.parametrize('name', NETS)
def test_onnx_computes_what_the_model_does_on_any_batch(name, tmp_path):
  given = make(name)
  path = tmp_path / 'net.onnx'
  exports.write(given, 'onnx', path)
  session = onnxruntime.InferenceSession(path)
  [taken], [made] = session.get_inputs(), session.get_outputs()
  assert (taken.name, taken.type) == ('input', 'tensor(uint8)')
  assert taken.shape == ['batch', 3, SIZE, SIZE]
  assert (made.name, made.type) == ('embedding', 'tensor(float)')
  for rows in (1, 5):
    pixels = images(rows)
    [found] = session.run(None, {'input': pixels.transpose(0, 3, 1, 2)})
    assert_close(found, unit(proof.ours(given, pixels)))
  operations = {node.op_type for node in onnx.load(path).graph.node}
  if name != 'vit':
    assert {'Conv', 'PRelu'} <= operations
    assert not {'Where', 'Greater', 'Sqrt'} & operations


def test_onnx_says_what_it_is(tmp_path):
  path = tmp_path / 'net.onnx'
  signature = embedding.Signature(
    pixels='float', layout='nhwc', scaling='outside', output='raw'
  )
  given = make('iresnet')
  exports.write(given, 'onnx', path, signature=signature)
  graph = onnx.load(path)
  told = {x.key: x.value for x in graph.metadata_props}
  assert told['colour_order'] == 'RGB'
  assert told['scaling'] == '(x / 255 - 0.5) / 0.5, outside the graph'
  assert told['embedding_dim'] == '8'
  assert told['num_classes'] == '7'
  assert 'mode=ir_cbam' in told['architecture']
  [opset] = graph.opset_import
  assert opset.domain == ''
  assert told['opset'] == str(opset.version) == '21'

  session = onnxruntime.InferenceSession(path)
  assert session.get_inputs()[0].shape == ['batch', SIZE, SIZE, 3]
  assert session.get_inputs()[0].type == 'tensor(float)'
  pixels = images(2)
  scaled = ((pixels / 255 - 0.5) / 0.5).astype(np.float32)
  [found] = session.run(None, {'input': scaled})
  assert_close(found, proof.ours(given, pixels))


def test_float_pixels_are_scaled_inside(tmp_path):
  path = tmp_path / 'net.stablehlo'
  given = make('iresnet')._replace(scale=scalings.Scaling(127.5, 128.0))
  signature = embedding.Signature(pixels='float', output='raw')
  exports.write(given, 'stablehlo', path, signature=signature)
  embed = jax.export.deserialize(path.read_bytes()).call
  pixels = images(3)
  found = np.asarray(embed(pixels.transpose(0, 3, 1, 2).astype(np.float32)))
  assert_close(found, proof.ours(given, pixels))


_ALONE = """
import sys
import numpy as np
from jax import export
embed = export.deserialize(open(sys.argv[1], 'rb').read()).call
images = np.load(sys.argv[2])
for rows in (1, 5):
  np.save(f'{sys.argv[3]}{rows}', embed(images[:rows]))
assert not any(name.startswith('bfjax') for name in sys.modules)
"""


def test_stablehlo_runs_without_our_code(tmp_path):
  given = make('mobilefacenet', dtype='bfloat16')
  path = tmp_path / 'net.stablehlo'
  exports.write(given, 'stablehlo', path)
  pixels = images(5)
  np.save(tmp_path / 'images.npy', pixels.transpose(0, 3, 1, 2))
  subprocess.run(
    [
      *(sys.executable, '-c', _ALONE, path, tmp_path / 'images.npy'),
      tmp_path / 'found',
    ],
    check=True,
    cwd=tmp_path,
  )
  expected = unit(proof.ours(make('mobilefacenet'), pixels))
  for rows in (1, 5):
    assert_close(np.load(tmp_path / f'found{rows}.npy'), expected[:rows])
  exported = jax.export.deserialize(path.read_bytes())
  assert set(exported.platforms) == {'cpu', 'cuda'}


def test_what_cannot_be_is_refused_and_nothing_written(tmp_path, monkeypatch):
  given = make('iresnet')
  path = tmp_path / 'net.onnx'
  with pytest.raises(errors.UserError, match='cannot be uint8'):
    exports.write(
      given, 'onnx', path, signature=embedding.Signature(scaling='outside')
    )
  with pytest.raises(errors.UserError, match='There is no folder'):
    exports.write(given, 'onnx', pathlib.Path('/nowhere/net.onnx'))
  fuse = onnx_out.fuse

  def wrong(graph):
    fuse(graph)
    slope = next(x for x in graph.graph.initializer if 'slope' in x.name)
    array = 2 * onnx.numpy_helper.to_array(slope)
    slope.CopyFrom(onnx.numpy_helper.from_array(array, slope.name))

  monkeypatch.setattr(onnx_out, 'fuse', wrong)
  with pytest.raises(errors.UserError, match='not the same function'):
    exports.write(given, 'onnx', path)
  assert not list(tmp_path.iterdir())
