"""tools/embed.py: features of any images, whole after any interruption."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import jax
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import tiny
from bfjax import backbones, errors, model, modelcard, setup, sharding
from bfjax.data import files, sources
from bfjax.evaluation.features import (
  embed,
  extraction,
  imagesets,
  rowtable,
  store,
)
from bfjax.storage import checkpoint
from tools import embed as embed_tool

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
SIZE = 8
DIM = SIZE * SIZE * 3


def flattened(params, stats, images, *, train, dropout_key=None):
  return images.reshape(len(images), -1) * params, stats


def tiny_backbone():
  return {
    'name': 'iresnet',
    'widths': (8, 8, 16),
    'blocks': (1, 1),
    'stem_stride': 2,
    'embedding_dim': 8,
  }


FLAT = backbones.Backbone(None, flattened, DIM)


@pytest.fixture
def images(tmp_path):
  rng = np.random.default_rng(0)
  root = tmp_path / 'images'
  for i in range(11):
    path = root / f'{i % 3} é' / f'{i}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8))
  return imagesets.open_set(str(root), format='folder')


def extract(images, out, scale=2.0, form=None, stop_at=None, **options):
  """Extracts with a network that shows its input; may stop half-way."""
  mesh = sharding.make_mesh(jax.devices()[:2])
  embedder = embed.Embedder(FLAT, mesh, batch=2, image_size=SIZE)

  def embed_batches(files, first):
    for row, features in embedder(np.float32(scale), {}, files, first):
      if stop_at is not None and row >= stop_at:
        raise KeyboardInterrupt
      yield row, features

  extraction.extract(
    embed_batches,
    images,
    out,
    form=form or store.Form(),
    batch=2,
    embedding_dim=DIM,
    settings={'weights_sha256': str(scale), 'about': {'step': 1}},
    **options,
  )


def embedded(images, scale=2.0):
  """float64 [n, 2, d], computed image by image."""
  out = []
  for content in images.read(np.arange(images.num_rows)):
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    both = np.stack([image, image[:, ::-1]])
    out.append(((both / 255 - 0.5) / 0.5 * scale).reshape(2, -1))
  return np.array(out)


@pytest.mark.parametrize('normalised', [False, True])
@pytest.mark.parametrize('flip', ['none', 'sum', 'joined', 'both'])
def test_features_are_fused_as_asked_for(images, tmp_path, flip, normalised):
  form = store.Form(flip, normalised)
  extract(images, tmp_path / 'out', form=form)
  found = store.open_store(tmp_path / 'out')
  both = embedded(images)
  expected = {
    'none': both[:, 0],
    'sum': both.sum(axis=1),
    'joined': both.reshape(len(both), -1),
    'both': both,
  }[flip]
  if normalised:
    expected = expected / np.linalg.norm(expected, axis=-1, keepdims=True)
  np.testing.assert_allclose(found.features, expected, rtol=1e-5, atol=1e-6)
  assert found.features.dtype == np.float32
  assert found.meta['flip'] == flip
  assert list(found.names) == [images.name(i) for i in range(11)]
  assert found.labels[0] == '0 é'


def test_half_precision(images, tmp_path):
  extract(images, tmp_path / 'out', form=store.Form(dtype='float16'))
  found = store.open_store(tmp_path / 'out')
  assert found.features.dtype == np.float16
  expected = embedded(images).sum(axis=1)
  np.testing.assert_allclose(found.features, expected, rtol=1e-3, atol=1e-3)
  assert found.labels[10] == '2 é'


def test_a_store_of_an_earlier_version_goes_on(images, tmp_path):
  """It may have its table of rows in Parquet."""
  out = tmp_path / 'out'
  with pytest.raises(KeyboardInterrupt):
    extract(images, out, stop_at=4, flush_secs=0.0)
  names = [images.name(i) for i in range(11)]
  columns = {'row': range(11), 'path': names, 'label': ['x'] * 11}
  parquet.write_table(pa.table(columns), out / 'rows.parquet')
  (out / rowtable.NAME).unlink()
  noted = json.loads((out / store.UNFINISHED).read_text())
  noted |= {'rows': 'rows.parquet', 'table': 'parquet'}
  (out / store.UNFINISHED).write_text(json.dumps(noted))
  extract(images, out)
  found = store.open_store(out)
  assert list(found.names) == names
  assert found.labels[3] == 'x'
  extract(images, tmp_path / 'whole')
  whole = store.open_store(tmp_path / 'whole')
  np.testing.assert_array_equal(found.features, whole.features)
  assert not (out / rowtable.NAME).exists()


def test_a_last_image_that_cannot_be_decoded_is_named_once(images, tmp_path):
  path = images.path(10)
  pathlib.Path(path).write_bytes(b'none')
  with pytest.raises(errors.UserError) as caught:
    extract(images, tmp_path / 'out')
  assert str(caught.value).count(path) == 1


def test_a_tree_has_the_layout_of_the_megaface_scripts(images, tmp_path):
  form = store.Form(layout='tree', normalised=True)
  extract(images, tmp_path / 'out', form=form)
  feature = np.load(tmp_path / 'out' / '0 é' / '0.npy')
  assert feature.shape == (DIM,)
  np.testing.assert_allclose(np.linalg.norm(feature), 1, rtol=1e-5)
  names = [images.name(i) for i in range(11)]
  found = store.open_tree(tmp_path / 'out', names)
  extract(images, tmp_path / 'rows', form=store.Form(normalised=True))
  rows = store.open_store(tmp_path / 'rows')
  np.testing.assert_array_equal(found.features, rows.features)


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }


@pytest.mark.parametrize('layout', ['rows', 'tree'])
@pytest.mark.parametrize('stop_at', [0, 2, 6, 10])
@pytest.mark.parametrize('flush_secs', [0.0, 100.0])
def test_what_is_stopped_goes_on_to_the_same_bytes(
  images, tmp_path, layout, stop_at, flush_secs
):
  form = store.Form(layout=layout)
  extract(images, tmp_path / 'whole', form=form)
  parts = tmp_path / 'parts'
  with pytest.raises(KeyboardInterrupt):
    extract(images, parts, form=form, stop_at=stop_at, flush_secs=flush_secs)
  with pytest.raises(errors.UserError, match='unfinished'):
    store.open_store(parts)
  extract(images, parts, form=form)
  assert contents(parts) == contents(tmp_path / 'whole')
  # Finished: nothing is computed.
  extract(images, parts, form=form, stop_at=0)


@pytest.mark.parametrize('stop_at', [4, None])
def test_two_models_or_settings_never_share_a_folder(images, tmp_path, stop_at):
  out = tmp_path / 'out'
  try:
    extract(images, out, stop_at=stop_at, flush_secs=0.0)
  except KeyboardInterrupt:
    assert stop_at
  before = contents(out)
  for changed, message in (
    ({'scale': 3.0}, "weights_sha256 was '2.0', now '3.0'"),
    ({'form': store.Form('none')}, "flip was 'sum', now 'none'"),
    ({'form': store.Form(dtype='float16')}, 'dtype'),
  ):
    with pytest.raises(errors.UserError, match=message):
      extract(images, out, **changed)
  fewer = files.ImageFiles([images.name(0)], tmp_path / 'images')
  with pytest.raises(errors.UserError, match='num_rows was 11, now 1'):
    extract(fewer, out)
  assert contents(out) == before


def test_a_folder_with_something_else_is_left_alone(images, tmp_path):
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'mine.txt').write_text('mine')
  with pytest.raises(errors.UserError, match='is not empty'):
    extract(images, tmp_path / 'out')
  assert contents(tmp_path / 'out') == {'mine.txt': b'mine'}
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='Cannot write features'):
    extract(images, tmp_path / 'file' / 'out')


def test_a_disk_without_room_is_refused_at_once(images, tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)
  full = usage._replace(free=11 * DIM * 4 - 1)
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: full)
  with pytest.raises(errors.UserError, match='No space left'):
    extract(images, tmp_path / 'out')
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
  extract(images, tmp_path / 'out')
  assert len(store.open_store(tmp_path / 'out').features) == 11


def test_a_folder_of_another_program_is_refused(images, tmp_path):
  (tmp_path / 'out').mkdir()
  for text, message in (('{}', 'made otherwise'), ('none', 'cannot be read')):
    (tmp_path / 'out' / store.META).write_text(text)
    with pytest.raises(errors.UserError, match=message):
      extract(images, tmp_path / 'out')


def test_features_that_are_not_finite_name_the_image(images, tmp_path):
  first = images.name(0)
  with pytest.raises(errors.UserError, match=f'{first} are not finite'):
    extract(images, tmp_path / 'a', scale=np.inf)
  with pytest.raises(errors.UserError, match='Too large for float16'):
    form = store.Form(dtype='float16')
    extract(images, tmp_path / 'b', scale=1e6, form=form)


def test_images_that_a_tree_cannot_hold_apart(images, tmp_path):
  root = tmp_path / 'images'
  form = store.Form(layout='tree')
  for names, message in (
    (['0 é/0.png', '0 é/0.jpg'], 'in one file'),
    ([str(root / '0 é' / '0.png')], 'outside'),
    (['../images/0 é/0.png'], 'outside'),
  ):
    given = files.ImageFiles(names, root)
    with pytest.raises(errors.UserError, match=message):
      extract(given, tmp_path / 'out', form=form)


def test_bare_lists_and_folders_of_any_depth(images, tmp_path):
  root = tmp_path / 'images'
  below = imagesets.open_paths(str(root))
  assert below.num_rows == 11
  extract(below, tmp_path / 'out')
  assert set(store.open_store(tmp_path / 'out').labels) == {''}
  listed = tmp_path / 'list.txt'
  listed.write_text('0 é/3.png\r\n\n2 é/5.png\n')
  found = imagesets.open_paths(str(listed), str(root))
  assert [found.name(i) for i in range(2)] == ['0 é/3.png', '2 é/5.png']
  listed.write_text('0 é/4.png\n')
  with pytest.raises(errors.UserError, match=r'4\.png'):
    imagesets.open_paths(str(listed), str(root))
  listed.write_text('\n')
  with pytest.raises(errors.UserError, match='lists no images'):
    imagesets.open_paths(str(listed))
  (tmp_path / 'empty').mkdir()
  with pytest.raises(errors.UserError, match='no images'):
    imagesets.open_paths(str(tmp_path / 'empty'))
  with pytest.raises(errors.UserError, match=r'none\.txt'):
    imagesets.open_paths(str(tmp_path / 'none.txt'))


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A model folder with a tiny network."""
  folder = tmp_path_factory.mktemp('models')
  options = tiny_backbone()
  backbone = backbones.build(**options, image_size=16)
  params, stats = jax.jit(backbone.init)(jax.random.key(0))
  description = modelcard.describe(
    backbone=options,
    image_size=16,
    embedding_dim=8,
    num_classes=None,
    source={'file': 'made up'},
  )
  model.save_model(folder / 'model', description, params, stats)
  return folder / 'model'


def command(saved, out, *more):
  source = ['--source', 'synthetic', '--option', 'image_size=16']
  source += ['--option', f'cache_dir={saved.parent / "faces"}']
  options = ['--model', str(saved), '--out', str(out), *source, *more]
  return [*options, '--option', 'identities=20']


def test_a_killed_command_goes_on_to_the_same_bytes(saved, tmp_path, capsys):
  more = '--flush-secs=0', '--batch=8', '--option=images_per_identity=20'
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  embed_tool.main(embed_tool.parse_arguments(command(saved, whole, *more)))
  arguments = [sys.executable, '-m', 'tools.embed']
  arguments += command(saved, parts, *more)
  noted = parts / store.UNFINISHED
  with subprocess.Popen(
    arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment()
  ) as process:
    deadline = time.monotonic() + 200
    while not noted.exists() or json.loads(noted.read_text())['done'] < 64:
      assert process.poll() is None, process.communicate()
      assert time.monotonic() < deadline
      time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
  done = json.loads(noted.read_text())['done']
  assert 64 <= done < 400
  # As a kill in the middle of a note leaves it.
  (parts / f'.{store.UNFINISHED}.0123').touch()
  capsys.readouterr()
  embed_tool.main(embed_tool.parse_arguments(command(saved, parts, *more)))
  # What was done is not done again, and the bar says so.
  assert re.search(rf' {done}(\.0)?/400 ', capsys.readouterr().err)
  assert contents(parts) == contents(whole)
  found = store.open_store(parts)
  assert found.features.shape == (400, 8)


def environment():
  flags = '--xla_force_host_platform_device_count=8'
  return os.environ | {'XLA_FLAGS': flags}


def test_a_run_is_told_by_its_weights(tmp_path, saved):
  config = tiny.config(saved.parent / 'faces')
  run = setup.open_run(config)
  checkpoint.claim_workdir(tmp_path / 'run', run.record)
  with checkpoint.open_manager(tmp_path / 'run') as manager:
    for step, seed in ((1, 0), (2, 1)):
      config.seed = seed
      state = setup.make_state(run, config)
      checkpoint.save(manager, step, state, run.record, {})
  images = sources.build(
    'synthetic',
    image_size=16,
    identities=4,
    cache_dir=str(saved.parent / 'faces'),
  )
  options = {'form': store.Form(), 'batch': 8}
  path = tmp_path / 'run'
  out = tmp_path / 'out'
  extraction.compute(path, images, out, checkpoint='1', **options)
  with pytest.raises(errors.UserError, match='weights_sha256'):
    extraction.compute(path, images, out, checkpoint='last', **options)
  with pytest.raises(errors.UserError, match='batch was 8, now 16'):
    extraction.compute(
      path, images, out, checkpoint='1', form=store.Form(), batch=16
    )
  meta = store.open_store(out).meta
  assert meta['about']['model']['step'] == 1
  assert meta['input_scaling']['formula'] == '(x / 255 - 0.5) / 0.5'


def test_no_images_are_named():
  arguments = embed_tool.parse_arguments(['--model', 'm', '--out', 'o'])
  with pytest.raises(errors.UserError, match='Which images'):
    embed_tool.main(arguments)
