"""The tool: the issue's own words, and a converted model evaluated."""

import json

import cv2
import numpy as np
import pytest

import tiny
from bfjax import defaults, errors, evaluating, model, training
from tools import convert_checkpoint

torch = pytest.importorskip('torch')
import torch_files  # noqa: E402

pytestmark = [
  pytest.mark.usefixtures('quick_compilation'),
  pytest.mark.slow,
]


def run(*arguments):
  convert_checkpoint.main(
    convert_checkpoint.parse_arguments(list(map(str, arguments)))
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder with a checkpoint, `net.pt`, and its conversion, `net`."""
  path = tmp_path_factory.mktemp('models')
  case = 'boundaryface ir'
  torch_files.save(case, torch_files.make(case), path / 'net.pt')
  run('--from', 'torch', path / 'net.pt', '--to', path / 'net')
  return path


def test_the_proof_is_printed(folder, tmp_path, capsys):
  run('--from', 'torch', folder / 'net.pt', '--to', tmp_path / 'net')
  said = capsys.readouterr().out
  assert 'recognised boundaryface' in said
  assert 'colour order BGR, made RGB' in said
  assert '32 images through both: largest relative difference' in said
  assert 'smallest cosine 1.0000' in said
  assert model.load_model(tmp_path / 'net').image_size == torch_files.SIZE


def test_out_by_either_way_of_saying_it(folder, tmp_path, capsys):
  net = folder / 'net'
  run('--from', net, '--to', 'torch', tmp_path / 'a.pt')
  run('--from', net, '--to', 'torch', '--out', tmp_path / 'b.pt')
  states = [
    torch.load(tmp_path / f'{name}.pt', weights_only=True) for name in 'ab'
  ]
  assert all(torch.equal(states[1][k], v) for k, v in states[0].items())
  run(
    *('--from', 'torch', folder / 'net.pt', '--to', 'safetensors'),
    *(tmp_path / 'c.safetensors', '--as', 'boundaryface'),
    *('--colour-order', 'BGR'),
  )
  assert 'Wrote' in capsys.readouterr().out


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (('--to', 'torch'), 'expected one file'),
    (('--to', 'a', 'b'), 'expected a folder, or one of'),
    (('--to', 'torch', 'x.pt', '--as', 'adaface'), 'adaface does not have'),
    (('--to', '{net}'), 'not an empty folder'),
    (('--to', 'new', '--as', 'adaface'), '--as has no use'),
    (('--to', 'torch', 'x.pt', '--pixels', 'float'), '--pixels has no use'),
    (('--to', 'onnx', 'x.onnx', '--mean-std', '0', '1'), '--mean-std has no'),
  ],
)
def test_what_is_not_understood_is_refused(folder, arguments, said):
  arguments = [x.format(net=folder / 'net') for x in arguments]
  with pytest.raises(errors.UserError, match=said):
    run('--from', folder / 'net', *arguments)


@pytest.mark.parametrize('mean_std', [(127.5, 0), ('nan', 1), (0, 'inf')])
def test_a_scaling_that_is_none_is_refused(folder, tmp_path, mean_std):
  with pytest.raises(errors.UserError, match='expected mean and deviation'):
    run(
      *('--from', 'torch', folder / 'net.pt', '--to', tmp_path / 'net'),
      *('--mean-std', *mean_std),
    )


def test_nothing_is_left_of_a_refused_file(tmp_path):
  torch.save({'state_dict': {'conv.weight': torch.zeros(3)}}, tmp_path / 'a.pt')
  with pytest.raises(errors.UserError, match='of no architecture known'):
    run('--from', 'torch', tmp_path / 'a.pt', '--to', tmp_path / 'net')
  assert [x.name for x in tmp_path.iterdir()] == ['a.pt']


def test_a_converted_model_is_evaluated_without_another_flag(folder, tmp_path):
  generator = np.random.default_rng(0)
  root = tmp_path / 'sets' / 'lfw'
  root.mkdir(parents=True)
  pairs = []
  for i in range(20):
    for side in 'ab':
      pixels = generator.integers(0, 256, (torch_files.SIZE,) * 2 + (3,))
      cv2.imwrite(str(root / f'{i}{side}.png'), pixels.astype(np.uint8))
    pairs.append(f'{i}a.png {i}b.png {1 if i % 2 else -1}\n')
  (root / 'pairs.txt').write_text(''.join(pairs))
  config = defaults.get_config()
  config.eval.root = str(tmp_path / 'sets')
  config.eval.field_sets = ('lfw',)
  config.eval.batch = 8
  scores = evaluating.evaluate(config, folder / 'net')
  assert 0 <= scores['lfw/boundaryface/accuracy'] <= 1
  results = json.loads((folder / 'net' / 'results.json').read_text())
  assert 'boundaryface' in json.dumps(results)


def test_a_run_goes_out(tmp_path, capsys):
  """One that no code base has: its stem has stride 2."""
  config = tiny.config(tmp_path / 'faces', epochs=1)
  config.eval.benchmarks = ()
  config.checkpoint.best_metric = ''
  workdir = tmp_path / 'run'
  training.train_and_evaluate(config, workdir)
  run('--from', workdir, '--to', 'stablehlo', tmp_path / 'net.stablehlo')
  assert (tmp_path / 'net.stablehlo').stat().st_size > 0
  with pytest.raises(errors.UserError, match=r'No code base has .*stem_stride'):
    run('--from', workdir, '--to', 'torch', tmp_path / 'net.pt')
  run('--from', workdir, '--to', tmp_path / 'net')
  jax_model, folder_model = map(model.load_model, (workdir, tmp_path / 'net'))
  np.testing.assert_array_equal(jax_model.centres, folder_model.centres)
  assert jax_model.class_names == folder_model.class_names
