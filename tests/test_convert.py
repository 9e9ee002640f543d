"""Checkpoints of other code bases: in and out again, and what is refused."""

import functools
import os
import pickle
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bfjax import errors, model, modelcard, scalings
from bfjax.convert import architectures, exports, mapping, proof, torch_in

torch = pytest.importorskip('torch')
import safetensors.torch  # noqa: E402

import torch_files  # noqa: E402

pytestmark = [
  pytest.mark.usefixtures('quick_compilation'),
  pytest.mark.slow,
]


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
  """case -> (the original, its file, the conversion), each made once."""
  folder = tmp_path_factory.mktemp('files')

  @functools.cache
  def get(case):
    net = torch_files.make(case)
    path = folder / f'{case}.pt'
    torch_files.save(case, net, path)
    return net, path, torch_in.convert(path)

  return get


@pytest.mark.parametrize('case', torch_files.NETS)
def test_a_net_comes_in_as_the_same_function_and_goes_out_bit_for_bit(
  case, converted, tmp_path
):
  net, _, found = converted(case)
  state = {name: value.clone() for name, value in net.state_dict().items()}
  given = found.model
  backbone = given.description['backbone']
  options = torch_files.NETS[case][1]
  assert {name: backbone[name] for name in options} == options
  assert given.image_size == torch_files.SIZE

  # In: what the original gives, in float64.
  pixels = proof.images(torch_files.SIZE)
  expected = torch_files.embed(torch_files.make(case), pixels)
  embedding = proof.ours(given, pixels)
  np.testing.assert_allclose(
    embedding, expected, rtol=0, atol=1e-5 * np.abs(expected).max()
  )

  # Out: every bit of every array, into the original's own class.
  model.save_model(
    tmp_path / 'net', given.description, given.params, given.stats
  )
  again = model.load_model(tmp_path / 'net')
  exports.write(again, 'torch', tmp_path / 'out.pt')
  written = torch.load(tmp_path / 'out.pt', weights_only=True)
  empty = torch_files.NETS[case][0]()
  empty.load_state_dict(written, strict=True)
  assert written.keys() == state.keys()
  for name, value in state.items():
    assert written[name].dtype == value.dtype, name
    assert torch.equal(written[name], value), name


@pytest.mark.parametrize('case', ['facexzoo ir_se', 'insightface iresnet'])
def test_a_training_step_between_in_and_out_is_the_originals(case, converted):
  """In, one step of SGD here, out: as one step of SGD there."""
  _, _, found = converted(case)
  given = found.model
  description = given.description
  backbone = dict(description['backbone'])
  if backbone['name'] == 'iresnet':
    backbone['dropout'] = 0.0
  net = modelcard.build_backbone({**description, 'backbone': backbone})
  generator = np.random.default_rng(3)
  pixels = proof.images(torch_files.SIZE)[:6]
  weight = generator.normal(size=(6, torch_files.DIM)).astype(np.float32)
  rate = 0.1

  @jax.jit
  def step(params):
    def loss(params):
      embedding, stats = net.apply(
        params, given.stats, given.scale(pixels), train=True
      )
      return jnp.sum(embedding * weight), stats

    gradients, stats = jax.grad(loss, has_aux=True)(params)
    return jax.tree.map(lambda p, g: p - rate * g, params, gradients), stats

  params, stats = jax.device_get(step(given.params))
  table = mapping.make_table(
    architectures.choose(backbone), backbone, given.image_size
  )
  order = description['source']['colour_order']
  ours = mapping.to_torch(table, params, stats, 1235, swap=order == 'BGR')

  original = torch_files.make(case).double().train()
  for part in original.modules():
    if isinstance(part, torch.nn.Dropout):
      part.p = 0.0
  embedding = torch_files.embed(original, pixels, training=True)
  (embedding * torch.from_numpy(weight)).sum().backward()
  with torch.no_grad():
    for p in original.parameters():
      if p.grad is not None:
        p -= rate * p.grad
  for name, value in original.state_dict().items():
    value = value.numpy()
    np.testing.assert_allclose(
      ours[name],
      value,
      rtol=0,
      atol=1e-4 * max(np.abs(value).max(), 1),
      err_msg=name,
    )


def test_bgr_nets_take_rgb_and_scaling_is_kept(converted):
  _, _, found = converted('facexzoo ir')
  assert found.model.description['source']['colour_order'] == 'BGR'
  assert found.model.description['colour_order'] == 'RGB'
  assert found.model.scale == scalings.Scaling(127.5, 128.0)
  _, path, usual = converted('boundaryface ir')
  rgb = torch_in.convert(path, colour_order='RGB').model
  kernel = usual.model.params['stem_conv']['kernel']
  np.testing.assert_array_equal(
    rgb.params['stem_conv']['kernel'], kernel[:, :, ::-1]
  )


@pytest.mark.parametrize('case', ['facexzoo ir', 'adaface ir'])
def test_centres_come_along_from_the_same_file(case, converted):
  _, _, found = converted(case)
  np.testing.assert_array_equal(found.model.centres, torch_files.centres())
  assert found.model.description['num_classes'] == torch_files.CLASSES
  assert ('not taken over: head.t' in found.notes) == (case == 'adaface ir')


def test_centres_come_along_from_the_margin_beside(tmp_path):
  case = 'boundaryface ir'
  net = torch_files.make(case)
  path = tmp_path / 'Iter_000100_net.ckpt'
  torch_files.save(case, net, path)
  weight = torch.from_numpy(torch_files.centres())
  margin = tmp_path / 'Iter_000100_margin.ckpt'
  torch.save({'iters': 100, 'net_state_dict': {'weight': weight}}, margin)
  found = torch_in.convert(path, class_names=list('abcde')).model
  np.testing.assert_array_equal(found.centres, weight)
  assert found.class_names == list('abcde')
  assert found.description['source']['centres_file'] == margin.name
  # And out again, as that trainer saves both.
  out = tmp_path / 'mine_net.ckpt'
  exports.write(found, 'torch', out, whole=True)
  written = torch.load(out, weights_only=True)['net_state_dict']
  assert all(torch.equal(written[k], v) for k, v in net.state_dict().items())
  written = torch.load(tmp_path / 'mine_margin.ckpt', weights_only=True)
  assert torch.equal(written['net_state_dict']['weight'], weight)


@pytest.mark.parametrize('case', ['facexzoo ir', 'adaface ir'])
def test_a_whole_file_comes_out_as_it_went_in(case, converted, tmp_path):
  _, path, found = converted(case)
  exports.write(found.model, 'torch', tmp_path / 'out.pt', whole=True)
  before = torch.load(path, weights_only=True)['state_dict']
  after = torch.load(tmp_path / 'out.pt', weights_only=True)['state_dict']
  before = {k.removeprefix('module.'): v for k, v in before.items()}
  before.pop('head.t', None)
  assert before.keys() == after.keys()
  assert all(torch.equal(after[k], v) for k, v in before.items())


def test_safetensors_go_in_and_out(converted, tmp_path):
  net, _, found = converted('insightface mbf')
  state = net.state_dict()
  path = tmp_path / 'in.safetensors'
  safetensors.torch.save_file(state, path)
  given = torch_in.convert(path).model
  jax.tree.map(np.testing.assert_array_equal, given.params, found.model.params)
  out = tmp_path / 'out.safetensors'
  exports.write(given, 'safetensors', out, colour_order='BGR')
  written = safetensors.torch.load_file(out)
  stem = 'layers.0.layers.0.weight'
  assert torch.equal(written.pop(stem), state[stem].flip(1))
  assert all(torch.equal(v, state[k]) for k, v in written.items())
  # It says of itself that it takes BGR.
  again = torch_in.convert(out).model
  jax.tree.map(np.testing.assert_array_equal, again.params, given.params)


def test_half_precision_is_widened(converted, tmp_path):
  net, _, _ = converted('insightface mbf')
  state = net.state_dict()
  half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
  torch.save(half, tmp_path / 'half.pt')
  given = torch_in.convert(tmp_path / 'half.pt').model
  np.testing.assert_array_equal(
    given.stats['head_norm']['mean'],
    half['features.layers.0.layers.1.running_mean'].float(),
  )


def test_another_code_base_does_not_have_the_net(converted, tmp_path):
  _, _, found = converted('facexzoo ir')
  with pytest.raises(errors.UserError, match=r'adaface does not .* facexzoo'):
    exports.write(found.model, 'torch', tmp_path / 'x.pt', code_base='adaface')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('case', 'other'),
  [
    ('boundaryface ir', 'insightface iresnet'),
    ('insightface iresnet', 'boundaryface ir'),
  ],
)
def test_a_net_that_two_code_bases_have_goes_to_either(
  case, other, converted, tmp_path
):
  _, _, found = converted(case)
  exports.write(
    found.model, 'torch', tmp_path / 'x.pt', code_base=other.split()[0]
  )
  net = torch_files.NETS[other][0]().eval()
  net.load_state_dict(torch.load(tmp_path / 'x.pt'), strict=True)
  pixels = proof.images(torch_files.SIZE)
  expected = torch_files.embed(net, pixels)
  np.testing.assert_allclose(
    proof.ours(found.model, pixels),
    expected,
    rtol=0,
    atol=1e-5 * np.abs(expected).max(),
  )


def test_a_conversion_that_is_another_function_is_refused(
  converted, tmp_path, monkeypatch
):
  _, path, found = converted('boundaryface ir')
  monkeypatch.setattr(proof, 'ours', lambda given, pixels: wrong)
  wrong = np.ones((proof.IMAGES, torch_files.DIM), np.float32)
  with pytest.raises(errors.UserError, match=r'not the same function.*cosine'):
    torch_in.convert(path)
  with pytest.raises(errors.UserError, match='not the same function'):
    exports.write(found.model, 'torch', tmp_path / 'x.pt')
  assert not list(tmp_path.iterdir())


def test_files_are_not_overwritten(converted, tmp_path):
  _, _, found = converted('boundaryface ir')
  (tmp_path / 'x.pt').write_text('mine')
  with pytest.raises(errors.UserError, match='there already'):
    exports.write(found.model, 'torch', tmp_path / 'x.pt')
  assert (tmp_path / 'x.pt').read_text() == 'mine'


def test_all_that_does_not_fit_is_listed(converted, tmp_path):
  net, _, _ = converted('boundaryface ir')
  state = dict(net.state_dict())
  state['output_layer.3.weight'] = state['output_layer.3.weight'].T
  del state['layer1.1.res_layer.2.running_var']
  del state['output_layer.4.bias']
  state['layer1.0.res_layer.9.weight'] = torch.zeros(3)
  state['classifier.weight'] = torch.zeros(2, 2)
  torch.save({'state_dict': state}, tmp_path / 'net.pt')
  with pytest.raises(errors.UserError) as caught:
    torch_in.convert(tmp_path / 'net.pt')
  said = str(caught.value)
  for line in (
    'missing: layer1.1.res_layer.2.running_var (16,)',
    'missing: output_layer.4.bias (8,)',
    'left over: layer1.0.res_layer.9.weight (3,)',
    'left over: classifier.weight (2, 2)',
    'shape: output_layer.3.weight is (512, 8), expected (8, 512)',
  ):
    assert line in said
  assert said.count('\n') == 6


class Malicious:
  """Runs a command when it is unpickled."""

  def __init__(self, command):
    self._command = command

  def __reduce__(self):
    return os.system, (self._command,)


def malicious_zip(path, mark):
  torch.save({'state_dict': Malicious(f'touch {mark}')}, path)


def malicious_pickle(path, mark):
  path.write_bytes(pickle.dumps(Malicious(f'touch {mark}')))


def malicious_old_format(path, mark):
  torch.save(
    {'x': Malicious(f'touch {mark}')},
    path,
    _use_new_zipfile_serialization=False,
  )


@pytest.mark.parametrize(
  ('write', 'said'),
  [
    (malicious_zip, r'posix\.system would have to be run'),
    (malicious_old_format, r'posix\.system would have to be run'),
    (malicious_pickle, 'holds what only running it would tell'),
  ],
)
def test_a_file_that_would_run_something_is_refused(write, said, tmp_path):
  mark = tmp_path / 'mark'
  write(tmp_path / 'net.pt', mark)
  with pytest.raises(errors.UserError, match=said):
    torch_in.convert(tmp_path / 'net.pt')
  assert not mark.exists()


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ({'net_state_dict': {'x': 1}}, 'holds no state dict'),
    ({'epoch': 3}, 'holds no state dict, but with epoch'),
    ([1, 2], 'holds no state dict, but a list'),
    ({'conv9.weight': np.zeros(3)}, 'no architecture known here'),
    (
      {'backbone.conv9.weight': np.zeros(3), 'head.bias': np.zeros(3)},
      'left over in the head: bias',
    ),
    ({'conv9.weight': np.array([np.nan])}, 'values that are not finite'),
    ({'conv9.weight': np.array([1 + 1e-12])}, 'float32 does not hold'),
  ],
)
def test_a_file_of_something_else_is_refused(content, said, tmp_path):
  if isinstance(content, dict):
    content = {
      k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v
      for k, v in content.items()
    }
  torch.save(content, tmp_path / 'net.pt')
  with pytest.raises(errors.UserError, match=said):
    torch_in.convert(tmp_path / 'net.pt')


@pytest.mark.parametrize('suffix', ['pt', 'safetensors'])
@pytest.mark.parametrize('kept', [0, 3, 8, 100, 0.5, 0.95])
def test_a_file_cut_short_is_refused(converted, tmp_path, suffix, kept):
  net, _, _ = converted('insightface mbf')
  path = tmp_path / f'net.{suffix}'
  if suffix == 'pt':
    torch.save(net.state_dict(), path)
  else:
    safetensors.torch.save_file(net.state_dict(), path)
  whole = path.read_bytes()
  size = kept if isinstance(kept, int) else int(kept * len(whole))
  path.write_bytes(whole[:size])
  with pytest.raises(errors.UserError, match='no whole'):
    torch_in.convert(path)


def test_a_file_with_another_byte_is_refused(converted, tmp_path):
  net, path, _ = converted('insightface mbf')
  damaged = bytearray(path.read_bytes())
  weight = net.state_dict()['conv_sep.layers.0.weight'].numpy()
  damaged[damaged.index(weight.tobytes())] ^= 1
  (tmp_path / 'net.pt').write_bytes(damaged)
  with pytest.raises(errors.UserError, match='another checksum'):
    torch_in.convert(tmp_path / 'net.pt')


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    (lambda x: x.int(), r'type: conv1\.weight is int32, expected float32'),
    (lambda x: x.to(torch.complex64), r'type: conv1\.weight is complex64'),
    (lambda x: x.to_sparse(), r'torch\.sparse_coo, on cpu, that is no array'),
  ],
)
def test_weights_that_are_no_real_numbers_are_refused(
  change, said, converted, tmp_path
):
  net, _, _ = converted('insightface iresnet')
  state = net.state_dict()
  torch.save(
    {**state, 'conv1.weight': change(state['conv1.weight'])},
    tmp_path / 'net.pt',
  )
  with pytest.raises(errors.UserError, match=said):
    torch_in.convert(tmp_path / 'net.pt')


def test_a_program_is_refused(tmp_path):
  with zipfile.ZipFile(tmp_path / 'net.pt', 'w') as archive:
    for name in ('data.pkl', 'constants.pkl', 'version'):
      archive.writestr(f'net/{name}', '6')
  with pytest.raises(errors.UserError, match='TorchScript archive, a program'):
    torch_in.convert(tmp_path / 'net.pt')


def test_a_file_that_is_not_there_is_refused(tmp_path):
  with pytest.raises(errors.UserError, match='cannot be read: No such file'):
    torch_in.convert(tmp_path / 'net.pt')


def test_a_library_that_is_not_installed_is_named_with_the_remedy(
  converted, tmp_path, monkeypatch
):
  _, path, found = converted('insightface mbf')
  for name in ('torch', 'safetensors', 'onnx', 'jax2onnx'):
    monkeypatch.setitem(sys.modules, name, None)
  with pytest.raises(errors.UserError, match=r"torch, .*'\.\[convert\]'"):
    torch_in.convert(path)
  for file_format in ('safetensors', 'onnx'):
    with pytest.raises(errors.UserError, match='not installed'):
      exports.write(found.model, file_format, tmp_path / 'net')
  assert not list(tmp_path.iterdir())
