"""`import bfjax`: quick to import, its examples true, and checked input."""

import argparse
import doctest
import json
import pathlib
import re
import subprocess
import sys
import types

import cv2
import jax
import numpy as np
import pytest

import bfjax
import tiny
from bfjax import backbones, model, modelcard, program, runtime
from bfjax.heads import margins, penalties, rules, softmax

ROOT = pathlib.Path(__file__).parents[1]
NET = {
  'name': 'iresnet',
  'widths': (8, 8, 16),
  'blocks': (1, 1),
  'stem_stride': 2,
  'embedding_dim': 8,
}


def test_import_is_quick_and_loads_nothing():
  code = (
    'import sys; before = set(sys.modules); import bfjax\n'
    'print(*sorted({x.split(".")[0] for x in set(sys.modules) - before}))\n'
    'print(bfjax.__version__, *dir(bfjax))\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  loaded, told = done.stdout.splitlines()
  assert loaded == 'bfjax'
  assert {*bfjax.__all__} <= {*told.split()}
  assert re.match(r'\d+\.\d+\.\d+ ', told)


def test_no_module_is_in_the_way_of_a_public_function():
  for name in bfjax.__all__:
    there = (ROOT / 'bfjax' / name).with_suffix('.py').exists()
    assert not there or not callable(getattr(bfjax, name))


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """A folder with what the examples in docstrings use."""
  folder = tmp_path_factory.mktemp('place')
  backbone = backbones.build(**NET, image_size=16)
  params, stats = backbone.init(jax.random.key(0))
  description = modelcard.describe(
    backbone=NET, image_size=16, embedding_dim=8, num_classes=3, source={}
  )
  centres = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
  names = ['a', 'b', 'c']
  model.save_model(
    folder / 'models/net',
    description,
    params,
    stats,
    centres=centres,
    class_names=names,
  )
  lines = []
  for i in range(20):
    pixels = np.random.default_rng(i).integers(0, 256, (20, 16, 3), np.uint8)
    cv2.imwrite(str(folder / f'{i}.png'), pixels)
    lines.append(f'{i}.png {(i + 2 - i % 2) % 20}.png {i % 2}\n')
  (folder / 'pairs.txt').write_text(''.join(lines))
  for i, name in enumerate(('one', 'other')):
    (folder / f'{name}.png').write_bytes((folder / f'{i}.png').read_bytes())
  (folder / 'tiny.py').write_text(
    'import tiny\ndef get_config():\n  return tiny.config("faces")\n'
  )
  return folder


def run_examples(name, place, monkeypatch):
  """Runs those in the docstring of `bfjax.NAME`."""
  monkeypatch.chdir(place)
  found = bfjax
  for part in name.split('.'):
    found = getattr(found, part)
  [test] = doctest.DocTestFinder(recurse=False).find(found, name)
  runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
  said = []
  runner.run(test, out=said.append)
  assert test.examples and not said, ''.join(said)


@pytest.mark.parametrize(
  'name',
  [
    *('heads.make', 'heads.functions.HeadFunctions.apply'),
    *(f'FaceModel.{x}' for x in ('embed', 'similarity', 'save')),
    'evaluate',
  ],
)
def test_an_example_is_true(name, place, monkeypatch):
  run_examples(name, place, monkeypatch)


@pytest.mark.slow
def test_examples_of_training_and_loading_are_true(place, monkeypatch):
  run_examples('train', place, monkeypatch)
  run_examples('load', place, monkeypatch)


@pytest.mark.slow
def test_a_loop_of_ones_own_corrects_labels():
  path = ROOT / 'examples/own_loop.py'
  assert path.read_text().count('\n') <= 60
  done = subprocess.run(
    [sys.executable, path],
    env={'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  wrong = [float(x) for x in re.findall(r'wrong labels (.*)%', done.stdout)]
  assert wrong[0] > 19 and wrong[-1] < 4


@pytest.fixture(scope='module')
def net(place):
  return bfjax.load(place / 'models/net')


def pixels_of(place, number):
  return cv2.imread(str(place / f'{number}.png'))[:, :, ::-1]


def test_paths_and_pixels_have_the_same_embeddings(net, place):
  paths = [place / f'{i}.png' for i in range(5)]
  arrays = [pixels_of(place, i) for i in range(5)]
  of_paths = net.embed(paths, batch=2)
  assert of_paths.dtype == np.float32
  np.testing.assert_allclose(of_paths, net.embed(arrays), atol=1e-5)
  np.testing.assert_allclose(of_paths, net.embed(np.stack(arrays)), atol=1e-5)
  np.testing.assert_allclose(of_paths[3], net.embed(arrays[3]), atol=1e-5)
  by_numpy = net.embed(np.array([str(x) for x in paths]))
  np.testing.assert_allclose(of_paths, by_numpy, atol=1e-5)
  large = [cv2.resize(arrays[0], (60, 90)), str(paths[1])]  # mixed
  np.testing.assert_allclose(of_paths[1], net.embed(large)[1], atol=1e-5)


def test_embeddings_are_those_of_the_net(net, place):
  """Against the net itself, mirror images and fusion by hand."""
  pixels = cv2.resize(pixels_of(place, 0).copy(), (16, 16))
  own = net.loaded
  x, mirrored = (
    np.asarray(
      own.backbone.apply(
        own.params, own.stats, own.scale(p[None]), train=False
      )[0][0],
      np.float64,
    )
    for p in (pixels, pixels[:, ::-1])
  )
  for flip, want in {
    'none': x,
    'sum': x + mirrored,
    'joined': np.concatenate([x, mirrored]),
    'both': np.stack([x, mirrored]),
  }.items():
    found = net.embed(pixels, flip=flip)
    np.testing.assert_allclose(found, want, atol=1e-5)
  unit = net.embed(pixels, normalise=True)
  np.testing.assert_allclose(np.linalg.norm(unit), 1, atol=1e-6)


def test_similarity_is_the_cosine(net, place):
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(3, 8)), rng.normal(size=(4, 8))
  want = a @ b.T
  want /= np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
  np.testing.assert_allclose(net.similarity(a, b), want, atol=1e-6)
  np.testing.assert_allclose(net.similarity(a[0], b), want[0], atol=1e-6)
  np.testing.assert_allclose(net.similarity(a, b[1]), want[:, 1], atol=1e-6)
  assert np.shape(net.similarity(a[0], b[0])) == ()
  paths = [place / f'{i}.png' for i in range(3)]
  of_images = net.similarity(paths, pixels_of(place, 1))
  assert of_images.shape == (3,) and of_images.argmax() == 1
  with pytest.raises(bfjax.UserError, match='of 8 and of 16 numbers'):
    net.similarity(a, rng.normal(size=(4, 16)))


@pytest.mark.parametrize(
  'wrong, said',
  [
    ([], 'No images'),
    (np.zeros((2, 9, 9, 3)), r'Image 0 is float64 \[9, 9, 3\]: expected a'),
    (np.zeros((9, 9), np.uint8), r'Image 0 is uint8 \[9, 9\]'),
    ([np.zeros((9, 9, 3), np.uint8), 7], 'Image 1 is int: expected'),
    (np.zeros((2, 9, 0, 3), np.uint8), r'uint8 \[9, 0, 3\]'),
    (7, 'Image 0 is int: expected'),
    (np.zeros((3, 8), np.uint8), r'Image 0 is uint8 \[3, 8\]'),
    ('none.png', 'Cannot read the image .*none.png: No such file'),
    ('tiny.py', 'Cannot decode the image tiny.py: not a JPEG'),
    ('.', 'Is a directory'),
  ],
)
def test_wrong_images_are_refused(net, place, monkeypatch, wrong, said):
  monkeypatch.chdir(place)
  with pytest.raises(bfjax.UserError, match=said):
    net.embed(wrong)


def test_wrong_options_are_refused(net, place):
  with pytest.raises(bfjax.UserError, match="No flip called 'add'"):
    net.embed(place / '1.png', flip='add')
  with pytest.raises(bfjax.UserError, match='A batch of 0'):
    net.embed(place / '1.png', batch=0)
  with pytest.raises(bfjax.UserError, match='There is no model'):
    bfjax.load(place / 'none')
  with pytest.raises(bfjax.UserError, match='no folder with sets'):
    bfjax.evaluate(net, place)
  with pytest.raises(bfjax.UserError, match="has no key 'mm'"):
    bfjax.train(tiny.config(place), place / 'run', {'head.mm': 1})
  with pytest.raises(bfjax.UserError, match=r'There is no .*config\.head\.m,'):
    bfjax.train(tiny.config(place), place / 'run', {'head': {'s': 1.0}})
  with pytest.raises(bfjax.UserError, match=r'no config file none\.py'):
    bfjax.train('none.py', place / 'run')


def test_what_is_saved_is_what_was_loaded(net, tmp_path, place):
  net.save(tmp_path / 'net')
  again = bfjax.load(tmp_path / 'net')
  np.testing.assert_array_equal(again.centres, net.centres)
  assert list(again.class_names) == ['a', 'b', 'c']
  image = place / '1.png'
  np.testing.assert_array_equal(again.embed(image), net.embed(image))


def test_a_set_of_the_field_is_found_in_a_folder(net, place, tmp_path):
  (tmp_path / 'lfw').symlink_to(place)
  scores = bfjax.evaluate(net, tmp_path, batch=8)
  own = bfjax.evaluate(place / 'models/net', {'own': place / 'pairs.txt'})
  assert {x.split('/')[0] for x in scores} == {'lfw'}
  assert list(scores.values()) == pytest.approx(list(own.values()))


def test_a_made_head_is_the_head():
  """Its loss and gradients are those of `softmax.Head`, put together."""
  rng = np.random.default_rng(0)
  embedding = rng.normal(size=(16, 4)).astype(np.float32)
  label = rng.integers(0, 10, 16).astype(np.int32)
  mask = rng.random(16) < 0.8
  made = bfjax.heads.make(
    'arcface',
    num_classes=10,
    rule='posterior',
    penalty='boundary',
    m=0.3,
    s=20.0,
    steps_per_epoch=5,
  )
  centres, state = made.init(jax.random.key(0), 4)
  assert centres.shape == (16, 4)  # padded to 8 devices
  head = softmax.Head(
    made.mesh,
    margin=margins.build('arcface', m=0.3),
    rule=rules.build('posterior'),
    penalty=penalties.boundary,
    num_classes=10,
    scale=20.0,
    kept=0.5 ** (1 / 5),
  )

  def of_made(centres):
    out = made.apply(
      centres, state, embedding, label, mask=mask, penalty_weight=3.0
    )
    return out.loss.sum(), out

  def of_head(centres):
    now = softmax.Now(np.bool_(True))
    out = head(embedding, centres, label, mask, head.init_state(), now)
    return (out.weight * (out.loss + 3 * out.penalty)).sum(), out

  a, b = (
    jax.jit(jax.value_and_grad(x, has_aux=True))(centres)
    for x in (of_made, of_head)
  )
  (loss, out), gradient = a
  (want, wanted), want_gradient = b
  np.testing.assert_allclose(loss, want, rtol=1e-6)
  np.testing.assert_allclose(gradient, want_gradient, atol=1e-5)
  np.testing.assert_array_equal(out.label, wanted.label)
  jax.tree.map(np.testing.assert_array_equal, out.state, wanted.state)
  places = jax.tree.map(lambda x: x.sharding.spec, (centres, state))
  assert places[0] == out.state['class_rows'].sharding.spec
  assert places[1]['class_rows'] == out.state['class_rows'].sharding.spec


def test_a_head_that_cannot_be_is_refused():
  make = bfjax.heads.make
  with pytest.raises(bfjax.UserError, match="No margin called 'arc'"):
    make('arc', num_classes=3)
  with pytest.raises(bfjax.UserError, match=r"No option .* called 'scale'"):
    make(num_classes=3, scale=64.0)
  with pytest.raises(bfjax.UserError, match='give steps_per_epoch'):
    make(num_classes=3, rule='posterior')
  head = make(num_classes=3, rule='boundary', visits=2)
  label = np.zeros(8, np.int32)
  with pytest.raises(bfjax.UserError, match='give past'):
    head.apply(*head.init(jax.random.key(0), 4), np.ones((8, 4)), label)
  out = head.apply(
    *head.init(jax.random.key(0), 4),
    np.ones((8, 4), np.float32),
    label,
    past=bfjax.labels.Past(label, label, label),
  )
  assert out.past.times.shape == (8,)


def test_clean_is_the_command_by_its_options(tmp_path, monkeypatch):
  def parse_arguments(words):
    parser = argparse.ArgumentParser()
    for option in ('--model', '--out', '--root'):
      parser.add_argument(option, default='')
    return parser.parse_args(words)

  def main(given):
    pathlib.Path(given.out, 'summary.json').write_text(json.dumps(vars(given)))

  command = types.SimpleNamespace(parse_arguments=parse_arguments, main=main)
  monkeypatch.setattr(program, 'load', {'clean': command}.get)
  monkeypatch.setattr(runtime, 'start', lambda: None)
  found = bfjax.clean('runs/mine', tmp_path, root='IMAGES')
  assert found == {'model': 'runs/mine', 'out': str(tmp_path), 'root': 'IMAGES'}
  with pytest.raises(bfjax.UserError, match=r"No option .* called 'roto'"):
    bfjax.clean('runs/mine', tmp_path, roto='IMAGES')
