"""Models on disk: what is saved is what is read, whole or not at all."""

import functools
import json
import shutil

import jax
import numpy as np
import pytest

import damages
import tiny
from bfjax import backbones, errors, model, modelcard, scalings, setup, training
from bfjax.storage import checkpoint, digests, wholeness

pytestmark = pytest.mark.slow

NET = {'name': 'iresnet', 'widths': (8, 16), 'blocks': (1,), 'embedding_dim': 4}
SIZE = 8


def random_arrays(seed=0):
  backbone = backbones.build(**NET, image_size=SIZE)
  generator = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: generator.uniform(0.1, 1, x.shape).astype(np.float32),
    jax.eval_shape(backbone.init, jax.random.key(0)),
  )


def save(path, scaling=scalings.STANDARD, **changes):
  params, stats = random_arrays()
  centres = np.arange(12, dtype=np.float32).reshape(3, 4)
  description = modelcard.describe(
    backbone=NET,
    image_size=SIZE,
    scaling=scaling,
    embedding_dim=4,
    num_classes=3,
    source={'file': 'net.pt'},
  )
  model.save_model(
    path,
    description | changes,
    params,
    stats,
    centres=centres,
    class_names=['ann', 'bob\ta', 'ç'],
  )
  return params, stats, centres


def test_what_is_saved_is_what_is_loaded(tmp_path):
  params, stats, centres = save(tmp_path / 'a' / 'net')
  loaded = model.load_model(tmp_path / 'a' / 'net')
  jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
  jax.tree.map(np.testing.assert_array_equal, loaded.stats, stats)
  np.testing.assert_array_equal(loaded.centres, centres)
  assert loaded.class_names == ['ann', 'bob\ta', 'ç']
  assert loaded.image_size == SIZE
  assert loaded.backbone.embedding_dim == 4
  assert loaded.description['source'] == {'file': 'net.pt'}
  assert [p.name for p in (tmp_path / 'a').iterdir()] == ['net']
  images = np.zeros((2, SIZE, SIZE, 3), np.uint8)
  embedding, _ = loaded.backbone.apply(
    loaded.params, loaded.stats, loaded.scale(images), train=False
  )
  assert embedding.shape == (2, 4)
  bare = model.load_model(tmp_path / 'a' / 'net', with_centres=False)
  assert bare.centres is None
  assert bare.class_names is None


def test_scaling_comes_from_the_model(tmp_path):
  save(tmp_path / 'net', scaling=scalings.Scaling(127.5, 128.0))
  loaded = model.load_model(tmp_path / 'net')
  pixels = np.array([0, 51, 255], np.uint8)
  np.testing.assert_allclose(
    loaded.scale(pixels), (pixels - 127.5) / 128, atol=1e-7
  )
  text = json.loads((tmp_path / 'net' / 'model.json').read_text())
  assert text['input_scaling']['formula'] == '(x - 127.5) / 128'
  np.testing.assert_array_equal(
    scalings.Scaling()(pixels), backbones.scale_pixels(pixels)
  )


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
  def fail(*arguments):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(model.labelled, 'save_class_names', fail)
  with pytest.raises(errors.UserError, match='No space left'):
    save(tmp_path / 'net')
  assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(tmp_path):
  save(tmp_path / 'net')
  with pytest.raises(errors.UserError, match='not an empty folder'):
    save(tmp_path / 'net')


def change(path, **changes):
  """Another description, as if it had been saved so."""
  file = path / 'model.json'
  file.write_text(json.dumps(json.loads(file.read_text()) | changes))
  (path / digests.LIST).unlink()
  digests.write(path)


@pytest.mark.parametrize(
  ('damage', 'said'),
  [
    (lambda path: (path / 'model.json').unlink(), 'holds no model'),
    (lambda path: (path / 'model.json').write_text('{'), 'cannot be read'),
    (lambda path: (path / 'model.json').write_text('[]'), 'not the descript'),
    (functools.partial(change, version=2), 'version 2; this program reads'),
    (functools.partial(change, format='x'), 'not the description'),
    (
      functools.partial(change, image_size=16),
      r'\(256, 4\), expected \(1024, 4\)',
    ),
    (functools.partial(change, backbone={'name': 'vgg'}), "called 'vgg'"),
    (lambda path: shutil.rmtree(path / 'arrays'), 'damaged: arrays/.*missing'),
  ],
)
def test_a_damaged_folder_is_refused(tmp_path, damage, said):
  save(tmp_path / 'net')
  damage(tmp_path / 'net')
  with pytest.raises(errors.UserError, match=said):
    model.load_model(tmp_path / 'net')


@pytest.mark.parametrize('damage', damages.ALL)
def test_each_file_of_a_model_counts(tmp_path, damage):
  save(tmp_path / 'net')
  for number, file in enumerate(damages.files(tmp_path / 'net')):
    copy = shutil.copytree(tmp_path / 'net', tmp_path / str(number))
    damage(copy / file)
    with pytest.raises(errors.UserError):
      model.load_model(copy)


def test_all_that_does_not_fit_is_named(tmp_path):
  save(tmp_path / 'net')
  change(tmp_path / 'net', backbone={**NET, 'mode': 'ir_se', 'widths': (4, 16)})
  with pytest.raises(errors.UserError) as caught:
    model.load_model(tmp_path / 'net')
  said = str(caught.value)
  assert 'stem_conv/kernel: (3, 3, 3, 8), expected (3, 3, 3, 4)' in said
  assert 'stage1_block1/attention/mlp/squeeze/kernel: not there' in said


def test_a_model_has_no_steps(tmp_path):
  save(tmp_path / 'net')
  model.load_model(tmp_path / 'net', 'best')
  with pytest.raises(errors.UserError, match="no step '7'"):
    model.load_model(tmp_path / 'net', '7')


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('run')
  config = tiny.config(folder / 'faces', checkpoint={'max_to_keep': 1})
  training.train_and_evaluate(config, folder / 'run')
  return folder / 'run'


def test_a_run_loads_as_a_model(workdir):
  config = tiny.config(workdir.parent / 'faces')
  run = setup.open_run(config)
  for name in ('last', 'best'):
    loaded = model.load_model(workdir, name)
    step = wholeness.choose_step(workdir, name, config.checkpoint.best_metric)
    with checkpoint.open_manager(workdir) as manager:
      state = checkpoint.restore(manager, step, setup.make_state(run, config))
    jax.tree.map(
      np.testing.assert_array_equal, loaded.params, state.params['backbone']
    )
    jax.tree.map(np.testing.assert_array_equal, loaded.stats, state.stats)
    np.testing.assert_array_equal(
      loaded.centres, np.asarray(state.params['centres'])[:10]
    )
    assert loaded.description['source']['step'] == step
  assert loaded.class_names == run.source.class_names
  assert loaded.image_size == 16
  with pytest.raises(errors.UserError, match=r"No checkpoint '5'.*16"):
    model.load_model(workdir, '5')
