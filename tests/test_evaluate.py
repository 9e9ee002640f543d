"""Suites of benchmarks, --mode=eval and tools/report.py, on tiny models."""

import errno
import json
import os
import shutil
import sys

import cv2
import jax
import numpy as np
import pytest

import tiny
from bfjax import (
  backbones,
  errors,
  evaluating,
  model,
  modelcard,
  scalings,
  sharding,
  training,
)
from bfjax.data import files
from bfjax.evaluation import benchmarks, suite
from bfjax.evaluation.features import distinct, embed, store
from tools import report as report_tool

pytestmark = pytest.mark.slow

SIZE = 8


def write_pairs(root, seed, num_images=40, num_pairs=60):
  """A pair list with its images; images of a person are alike."""
  rng = np.random.default_rng(seed)
  root.mkdir(parents=True, exist_ok=True)
  people = rng.integers(0, 256, (8, SIZE, SIZE, 3))
  for i in range(num_images):
    noise = rng.integers(-90, 90, people[0].shape)
    image = 90 + people[i % 8] // 4 + noise
    cv2.imwrite(str(root / f'{i}.png'), np.clip(image, 0, 255).astype(np.uint8))
  left, right = rng.integers(0, num_images, (2, num_pairs))
  flags = np.where(left % 8 == right % 8, 1, -1)
  lines = [
    f'{a}.png {b}.png {flag}\n'
    for a, b, flag in zip(left, right, flags, strict=True)
  ]
  (root / 'pairs.txt').write_text(''.join(lines))


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


FLAT = backbones.Backbone(None, flattened, SIZE * SIZE * 3)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp('sets')
  for seed, name in enumerate(('lfw', 'agedb_30')):
    write_pairs(root / name, seed)
  return root


def make_config(tmp_path, root, **changes):
  config = tiny.config(tmp_path)
  config.eval.benchmarks = ()
  config.eval.root = str(root)
  config.eval.field_sets = ('lfw', 'agedb_30')
  config.eval.update(changes)
  return config


def open_flat(config, num_devices=8):
  mesh = sharding.make_mesh(jax.devices()[:num_devices])
  return suite.open_suite(config, FLAT, mesh, image_size=SIZE)


def scores_of(config, num_devices=8):
  opened = open_flat(config, num_devices)
  return suite.run(opened, np.float32(2), {})


def test_scores_do_not_depend_on_devices_batch_or_order(tmp_path, root):
  expected = scores_of(make_config(tmp_path, root))
  assert 0.55 < expected['lfw/boundaryface/accuracy'] < 1
  for num_devices, batch in ((1, 3), (2, 64), (8, 1)):
    config = make_config(tmp_path, root, batch=batch)
    assert scores_of(config, num_devices) == expected
  config = make_config(tmp_path, root, field_sets=('agedb_30', 'lfw'))
  assert scores_of(config) == expected


def test_the_order_of_the_images_does_not_matter(tmp_path, root):
  expected = scores_of(make_config(tmp_path, root))
  opened = open_flat(make_config(tmp_path, root))
  benchmark = opened.benchmarks['lfw']
  order = np.random.default_rng(0).permutation(benchmark.files.num_rows)
  place = np.argsort(order)
  names = [benchmark.files.name(row) for row in order]
  shuffled = type(benchmark)(
    files.ImageFiles(names, root / 'lfw'),
    place[benchmark.left],
    place[benchmark.right],
    benchmark.same,
  )
  images = distinct.Distinct([shuffled.files])
  opened = opened._replace(benchmarks={'lfw': shuffled}, images=images)
  scores = suite.run(opened, np.float32(2), {})
  assert scores == {k: x for k, x in expected.items() if k.startswith('lfw/')}


def test_nothing_is_compiled_twice_and_no_image_read_twice(
  tmp_path, root, monkeypatch
):
  read = []
  read_one = files.ImageFiles.read

  def reading(self, rows):
    read.extend(self.path(int(row)) for row in rows)
    return read_one(self, rows)

  monkeypatch.setattr(files.ImageFiles, 'read', reading)
  config = make_config(tmp_path, root, batch=16)
  config.eval.benchmarks = ('again',)
  lines = (root / 'lfw' / 'pairs.txt').read_text().splitlines(keepends=True)
  (tmp_path / 'half.txt').write_text(''.join(lines[::2]))
  config.benchmarks.again = {
    'kind': 'pairs',
    'root': str(root / 'lfw'),
    'pairs': str(tmp_path / 'half.txt'),
  }
  compiled = []

  def apply(*arguments, **options):
    compiled.append(True)
    return flattened(*arguments, **options)

  opened = suite.open_suite(
    config, FLAT._replace(apply=apply), sharding.make_mesh(), image_size=SIZE
  )
  assert len(opened.benchmarks) == 3
  for _ in range(2):
    read.clear()
    scores = suite.run(opened, np.float32(2), {})
    # The last batch is filled up with the last image.
    last = opened.images.path(opened.images.num_rows - 1)
    once = [path for path in read if path != last]
    assert len(once) == len(set(once)) == opened.images.num_rows - 1
  assert len(compiled) == 1
  assert 'again/boundaryface/accuracy' in scores


def test_more_features_than_memory_is_for_are_in_a_file(
  tmp_path, root, monkeypatch
):
  config = make_config(tmp_path, root)
  expected = scores_of(config)
  monkeypatch.setattr(store, '_IN_MEMORY', 0)
  assert scores_of(config) == expected

  def full(file, offset, size):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(os, 'posix_fallocate', full)
  with pytest.raises(errors.UserError, match=r'No room for .* TMPDIR'):
    scores_of(config)


def test_distinct_images_lead_back_to_all(tmp_path):
  for name in 'abcd':
    (tmp_path / name).write_bytes(name.encode())
  first = files.ImageFiles(['a', 'b', 'a'], tmp_path)
  second = files.ImageFiles(['./d', str(tmp_path / 'b'), 'c'], tmp_path)
  images = distinct.Distinct([first, second, first])
  contents = np.array(images.read(np.arange(images.num_rows)))
  assert sorted(contents) == [b'a', b'b', b'c', b'd']
  assert list(contents[images.rows_of(first)]) == [b'a', b'b', b'a']
  assert list(contents[images.rows_of(second)]) == [b'd', b'b', b'c']
  assert images.read([2, 0, 2]) == [contents[i] for i in (2, 0, 2)]
  assert images.path(1) == str(tmp_path / 'b')


def test_a_set_that_is_not_there_is_an_error_or_reported(tmp_path, root):
  config = make_config(tmp_path, root, field_sets=('lfw', 'xqlfw'))
  with pytest.raises(
    errors.UserError, match=r"'xqlfw' is not there: .* optional"
  ):
    open_flat(config)
  config.eval.optional = True
  opened = open_flat(config)
  assert list(opened.benchmarks) == ['lfw']
  assert 'xqlfw' in opened.absent['xqlfw']


def test_an_incomplete_set_is_an_error_even_if_optional(tmp_path, root):
  write_pairs(tmp_path / 'lfw', 0)
  name = (tmp_path / 'lfw' / 'pairs.txt').read_text().split()[0]
  (tmp_path / 'lfw' / name).unlink()
  config = make_config(tmp_path, tmp_path, field_sets=('lfw',), optional=True)
  with pytest.raises(errors.UserError, match=f'no such image: .*{name}'):
    open_flat(config)


def test_options_of_a_benchmark_say_that_it_is_optional(tmp_path):
  config = make_config(tmp_path, '', benchmarks=('own',))
  config.benchmarks.own.root = str(tmp_path / 'nowhere')
  with pytest.raises(benchmarks.Absent, match='nowhere'):
    open_flat(config)
  config.benchmarks.own.optional = True
  assert list(open_flat(config).absent) == ['own']


def test_the_list_of_xqlfw_is_found_under_its_own_name(tmp_path):
  write_pairs(tmp_path / 'xqlfw', 0)
  path = tmp_path / 'xqlfw' / 'pairs.txt'
  path.rename(path.with_name('xqlfw_pairs.txt'))
  config = make_config(tmp_path, tmp_path, field_sets=('xqlfw',))
  assert len(open_flat(config).benchmarks['xqlfw'].same) == 60


def test_features_that_are_not_finite_name_the_image(tmp_path, root):
  opened = open_flat(make_config(tmp_path, root))
  with pytest.raises(errors.UserError, match=r'[0-9]+\.png are not finite'):
    suite.run(opened, np.float32(np.inf), {})


@pytest.mark.parametrize(
  ('every', 'num_images', 'rows', 'expected'),
  [
    (3, 1000, 10, 3),
    (0, 0, 1000, 1),
    (0, 10, 1000, 1),
    (0, 11, 1000, 2),
    (0, 98_000, 490_623, 20),  # the field's sets, CASIA
    (0, 98_000, 5_822_653, 2),  # and MS1MV2
  ],
)
def test_evaluation_is_as_frequent_as_it_is_cheap(
  every, num_images, rows, expected
):
  assert suite.period(every, num_images, rows) == expected


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A finished run, with the log of its evaluations."""
  folder = tmp_path_factory.mktemp('evaluated')
  config = tiny.config(folder / 'faces')
  training.train_and_evaluate(config, folder / 'run')
  return config, folder / 'run'


def test_the_share_of_evaluation_is_in_the_metrics(finished):
  lines = [
    json.loads(line)
    for line in (finished[1] / 'metrics.jsonl').read_text().splitlines()
  ]
  shares = [x['eval/share_of_time'] for x in lines if 'eval/secs' in x]
  assert len(shares) == 2
  assert all(0 < share < 1 for share in shares)


def test_one_command_writes_data_table_and_page(finished, root, capsys):
  config, workdir = finished
  config = config.copy_and_resolve_references()
  config.eval.root = str(root)
  config.eval.field_sets = ('lfw', 'agedb_30', 'cplfw')
  config.eval.optional = True
  # What the checkpoint says counts, not the config.
  config.backbone.widths = (4, 4, 4)
  config.data.image_size = 9
  scores = evaluating.evaluate(config, workdir)
  assert set(scores) >= {
    'lfw/boundaryface/accuracy',
    'agedb_30/insightface/val',
    'unseen/boundaryface/accuracy',
  }
  written = json.loads((workdir / 'results.json').read_text())
  assert written['scores'] == scores
  assert written['about']['model']['image_size'] == 16
  assert written['about']['model']['source']['step'] == 16
  assert 'cplfw' in written['absent']
  table = (workdir / 'results.md').read_text()
  assert table in capsys.readouterr().out
  lines = [x for x in table.splitlines() if x.startswith('|')]
  cells = [x.strip() for x in lines[0].strip('|').split('|')]
  assert cells == ['model', 'protocol', 'LFW', 'AgeDB-30', 'CPLFW', 'unseen']
  assert lines[2].count('absent') == 1
  assert 'absent' in (workdir / 'results.html').read_text()


def test_several_checkpoints_in_one_table(finished, tmp_path, capsys):
  _, workdir = finished
  last, first = f'{workdir}@last', f'{workdir}@8'
  arguments = report_tool.parse_arguments(
    [last, first, '--out', str(tmp_path / 'out')]
  )
  report_tool.main(arguments)
  text = (tmp_path / 'out' / 'comparison.md').read_text()
  assert '| run@last ' in text
  assert '| run@8 ' in text
  assert '**' in text
  assert (tmp_path / 'out' / 'comparison.html').exists()
  one = json.loads((tmp_path / 'out' / 'run@8' / 'results.json').read_text())
  assert one['about']['model']['source']['step'] == 8
  assert 'Wrote' in capsys.readouterr().out
  shutil.copytree(workdir, tmp_path / 'bare')
  for name in ('config.json', 'results.json'):
    (tmp_path / 'bare' / name).unlink(missing_ok=True)
  with pytest.raises(errors.UserError, match='give --config or --eval-root'):
    report_tool.main(
      report_tool.parse_arguments(
        [str(tmp_path / 'bare'), '--out', str(tmp_path)]
      )
    )
  with pytest.raises(errors.UserError, match='There are'):
    report_tool.main(
      report_tool.parse_arguments([f'{workdir}@9', '--out', str(tmp_path)])
    )


def test_a_report_embeds_no_image_twice(finished, tmp_path, monkeypatch):
  _, workdir = finished
  arguments = report_tool.parse_arguments(
    [f'{workdir}@8', '--out', str(tmp_path)]
  )
  report_tool.main(arguments)
  scores = json.loads((tmp_path / 'run@8' / 'results.json').read_text())[
    'scores'
  ]
  kept = tmp_path / 'run@8' / 'features'
  [folder] = kept.iterdir()
  with monkeypatch.context() as patch:
    patch.setattr(embed.Embedder, '__call__', None)
    report_tool.main(arguments)
  again = json.loads((tmp_path / 'run@8' / 'results.json').read_text())
  assert again['scores'] == scores
  assert again['about']['config']['head.rule'] == 'boundary'

  # The features of another model are not taken for those of this one.
  folder.rename(kept / 'others')
  with monkeypatch.context() as patch:
    patch.setattr(embed.Embedder, '__call__', None)
    with pytest.raises(TypeError):
      report_tool.main(arguments)
  report_tool.main(arguments)
  assert list(kept.iterdir()) == [folder]


def test_a_report_can_have_a_config_of_its_own(
  finished, root, tmp_path, capsys
):
  _, workdir = finished
  config = tmp_path / 'mine.py'
  config.write_text(
    'from bfjax import defaults\n'
    'def get_config(name):\n'
    '  config = defaults.get_config()\n'
    f'  config.eval.root = {str(root)!r}\n'
    '  config.eval.field_sets = (name,)\n'
    '  return config\n'
  )
  given = [f'{workdir}@8', '--out', str(tmp_path / 'out'), '--config']
  report_tool.main(report_tool.parse_arguments([*given, f'{config}:agedb_30']))
  header = capsys.readouterr().out.split('|')
  assert 'AgeDB-30' in map(str.strip, header)
  assert 'LFW' not in map(str.strip, header)
  config.write_text('get_config(')
  for name in (config, tmp_path / 'none.py'):
    with pytest.raises(errors.UserError, match=name.name):
      report_tool.main(report_tool.parse_arguments([*given, str(name)]))


def test_a_model_folder_is_evaluated_as_it_says(root, tmp_path):
  """Architecture, size and scaling come from model.json."""
  config = make_config(tmp_path, root, field_sets=('lfw',))
  options = tiny_backbone()
  backbone = backbones.build(**options, image_size=SIZE)
  params, stats = jax.jit(backbone.init)(jax.random.key(0))
  scaling = scalings.Scaling(100.0, 50.0)
  description = modelcard.describe(
    backbone=options,
    image_size=SIZE,
    scaling=scaling,
    embedding_dim=8,
    num_classes=None,
    source={'file': 'r18.pth'},
  )
  model.save_model(tmp_path / 'model', description, params, stats)
  config.backbone.widths = (4, 4, 4)
  scores = evaluating.evaluate(config, tmp_path / 'model')
  mesh = sharding.make_mesh()
  opened = suite.open_suite(
    config, backbone, mesh, image_size=SIZE, scale=scaling
  )
  assert scores == suite.run(opened, params, stats)
  written = json.loads((tmp_path / 'model' / 'results.json').read_text())
  about = written['about']['model']
  assert about['input_scaling']['formula'] == '(x - 100) / 50'
  assert about['source'] == {'file': 'r18.pth'}
  with pytest.raises(errors.UserError, match='holds no model'):
    evaluating.evaluate(config, tmp_path)


def test_the_command_is_in_the_results(finished, monkeypatch, tmp_path):
  config, workdir = finished
  monkeypatch.setattr(sys, 'argv', ['bfjax', '--mode=eval', 'a b'])
  one = evaluating.evaluate_into(config, workdir, tmp_path, 'best', 'mine')
  assert one.about['command'] == "bfjax --mode=eval 'a b'"
  assert one.about['versions']['jax'] == jax.__version__
