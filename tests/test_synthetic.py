"""The built-in data set on disk: cache, lists, pairs and the tool."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from bfjax import errors, faces
from bfjax.data import labelled, sources
from bfjax.evaluation import benchmarks
from bfjax.evaluation.benchmarks import pairs as pair_benchmark
from bfjax.faces import cache, sets, workers

ROOT = pathlib.Path(__file__).parents[1]
SMALL = sets.FaceSet(
  seed=1, first_identity=3, identities=4, images_per_identity=3, size=32
)
OPTIONS = {'identities': 5, 'images_per_identity': 10, 'image_size': 32}
PAIRS = {
  'identities': 20,
  'images_per_identity': 4,
  'num_pairs': 60,
  'image_size': 32,
}


def _contents(root):
  return {
    str(path.relative_to(root)): path.read_bytes()
    for path in sorted(pathlib.Path(root).rglob('*'))
    if path.is_file()
  }


def test_files_are_the_rendered_images(tmp_path):
  root = cache.cached(SMALL, tmp_path)
  names = list(SMALL.names())
  assert names[0] == 'face_0000003/face_0000003_0001.jpg'
  assert sorted(_contents(root)) == ['clean.txt', *sorted(names)]
  decoded = cv2.imread(str(root / names[4]))[..., ::-1].astype(int)
  rendered = faces.render(1, 4, [1], size=32)[0]
  assert abs(decoded - rendered).mean() < 8


def test_any_number_of_processes_writes_the_same(tmp_path):
  alone = cache.cached(SMALL, tmp_path / 'alone', 1)
  together = cache.cached(SMALL, tmp_path / 'together', 3)
  assert _contents(alone) == _contents(together)


def test_a_set_is_rendered_once(tmp_path, monkeypatch):
  root = cache.cached(SMALL, tmp_path)
  monkeypatch.setattr(faces, 'render', None)
  assert cache.cached(SMALL, tmp_path) == root


def _cached_in_a_process(face_set, cache_dir):
  program = (
    'import pathlib\n'
    'from bfjax.faces import cache, sets\n'
    f'face_set = sets.FaceSet(**{face_set._asdict()!r})\n'
    f'cache.cached(face_set, pathlib.Path({str(cache_dir)!r}), 2)\n'
  )
  return subprocess.Popen([sys.executable, '-c', program], cwd=ROOT)


def test_a_killed_rendering_leaves_nothing_that_looks_whole(tmp_path):
  face_set = SMALL._replace(identities=2000)
  process = _cached_in_a_process(face_set, tmp_path)
  deadline = time.monotonic() + 60
  while not list(tmp_path.rglob('*.jpg')):
    assert time.monotonic() < deadline
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert not (tmp_path / face_set.folder_name).exists()
  # Its workers notice and stop.
  counts = [-1, 0]
  while counts[-1] != counts[-2] and time.monotonic() < deadline:
    time.sleep(0.5)
    counts.append(len(list(tmp_path.rglob('*.jpg'))))
  assert 0 < counts[-1] < face_set.num_images
  # Starting again clears the remains away: here with fewer people in the
  # same place, to be quick.
  fewer = SMALL
  remains = next(tmp_path.glob('.*.partial-*'))
  remains.rename(tmp_path / f'.{fewer.folder_name}.partial-0')
  root = cache.cached(fewer, tmp_path)
  assert len(list(tmp_path.rglob('*.jpg'))) == fewer.num_images
  assert not list(tmp_path.glob('.*.partial-*'))
  assert len(list(root.rglob('*.jpg'))) == fewer.num_images


def test_two_processes_at_once_render_one_whole_set(tmp_path):
  face_set = SMALL._replace(identities=100)
  both = [_cached_in_a_process(face_set, tmp_path) for _ in range(2)]
  assert [process.wait() for process in both] == [0, 0]
  root = tmp_path / face_set.folder_name
  assert len(list(root.rglob('*.jpg'))) == face_set.num_images
  assert not list(tmp_path.glob('.*.partial-*'))


@pytest.mark.parametrize('processes', [1, 2])
def test_a_failure_ends_in_one_clear_message(tmp_path, processes):
  in_the_way = tmp_path / sets.person_name(SMALL.numbers[-1])
  in_the_way.mkdir()
  with pytest.raises(errors.UserError, match='Cannot write the rendered'):
    workers.write_images(tmp_path, SMALL, processes)


def test_source_serves_files_and_labels(tmp_path):
  source = sources.build(
    'synthetic', flip_rate=0.2, cache_dir=str(tmp_path), **OPTIONS
  )
  assert (source.num_rows, source.num_classes) == (50, 5)
  assert source.labels.dtype == source.true_labels.dtype == np.int32
  np.testing.assert_array_equal(source.true_labels, np.repeat(range(5), 10))
  flipped = source.labels != source.true_labels
  np.testing.assert_array_equal(flipped.reshape(5, 10).sum(1), [2] * 5)
  assert source.class_names == ['0', '1', '2', '3', '4']
  image = cv2.imdecode(np.frombuffer(source.read([7])[0], np.uint8), 1)
  assert image.shape == (32, 32, 3)


def test_lists_in_the_cache_give_the_same_source(tmp_path):
  source = sources.build(
    'synthetic', flip_rate=0.2, noise_seed=5, cache_dir=str(tmp_path), **OPTIONS
  )
  root = pathlib.Path(source.path(0)).parents[1]
  listed = sources.build(
    'imagelist',
    root=str(root),
    list='train-flip0.2-seed5.txt',
    truth='flips-flip0.2-seed5.txt',
  )
  np.testing.assert_array_equal(listed.labels, source.labels)
  np.testing.assert_array_equal(listed.true_labels, source.true_labels)
  assert listed.fingerprint == source.fingerprint
  lines = (root / 'train-flip0.2-seed5.txt').read_text().splitlines()
  assert lines[0] == f'{source.name(0)}  {source.labels[0]}'


def test_noise_changes_labels_and_fingerprint_but_not_images(tmp_path):
  built = [
    sources.build('synthetic', cache_dir=str(tmp_path), **OPTIONS, **noise)
    for noise in (
      {},
      {'flip_rate': 0.3},
      {'flip_rate': 0.3, 'noise_seed': 1},
    )
  ]
  assert len({source.fingerprint for source in built}) == 3
  assert len({source.path(0) for source in built}) == 1
  np.testing.assert_array_equal(built[0].labels, built[0].true_labels)


def test_strangers_are_of_another_population(tmp_path):
  noise = {'flip_rate': 0.2, 'stranger_rate': 0.3}
  options = {'cache_dir': str(tmp_path), **OPTIONS}
  source = sources.build('synthetic', **noise, **options)
  true, nobody = source.true_labels, source.true_labels == labelled.NOBODY
  assert nobody.sum() == 5 * 3
  assert (~nobody & (true != source.labels)).sum() == 5 * 2
  paths = [source.path(row) for row in np.flatnonzero(nobody)]
  people = {path.split('/')[-2] for path in paths}
  assert len(people) == 15
  assert all('seed2147483648-' in path for path in paths)
  root = tmp_path / 'seed0-faces0-4-x10-32px-normal-v2'
  name = 'flip0.2-strangers0.3-seed0.txt'
  lists = {'list': f'train-{name}', 'truth': f'flips-{name}'}
  listed = sources.build(
    'imagelist', root=str(root), outliers=f'strangers-{name}', **lists
  )
  np.testing.assert_array_equal(listed.true_labels, true)
  assert listed.fingerprint == source.fingerprint


def test_a_hole_in_the_cache_is_reported_with_its_remedy(tmp_path):
  options = {'cache_dir': str(tmp_path), **OPTIONS}
  source = sources.build('synthetic', **options)
  os.remove(source.path(3))
  with pytest.raises(errors.UserError, match='remove the folder'):
    sources.build('synthetic', **options)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'identities': 0}, 'identities .* not 0'),
    ({'identities': 1_000_001}, 'kept unseen'),
    ({'images_per_identity': 0}, 'images_per_identity .* not 0'),
    ({'image_size': 8}, 'not 8'),
    ({'seed': -1}, 'seed .* not -1'),
    ({'flip_rate': 20.0}, 'not 20.0'),
    ({'difficulty': 'easy'}, 'hard, normal'),
    ({'processes': -1}, 'processes .* not -1'),
  ],
)
def test_bad_options_are_named_before_rendering(tmp_path, options, message):
  with pytest.raises(errors.UserError, match=message):
    sources.build(
      'synthetic', cache_dir=str(tmp_path), **{**OPTIONS, **options}
    )
  assert not list(tmp_path.rglob('*.jpg'))


def test_an_unusable_cache_folder_is_named(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='Choose another folder'):
    sources.build('synthetic', cache_dir=str(tmp_path / 'file'), **OPTIONS)


def test_pairs_are_of_unseen_people_in_disjoint_balanced_folds():
  face_set = sets.FaceSet(0, sets.FIRST_UNSEEN, 40, 6, 32)
  chosen = sets.choose_pairs(face_set, 600)
  identity = chosen.identity.reshape(10, 60, 2)
  same = chosen.same.reshape(10, 60)
  assert (same == (np.arange(60) < 30)).all()
  people = [set(fold.ravel().tolist()) for fold in identity]
  assert sum(map(len, people)) == len(set.union(*people))
  sides = np.stack([chosen.identity, chosen.image], 2)
  unordered = {frozenset(map(tuple, pair)) for pair in sides.tolist()}
  assert len(unordered) == 600
  assert all(len(pair) == 2 for pair in unordered)


@pytest.mark.parametrize(
  'change, num_pairs, message',
  [
    ({}, 70, 'multiple of twice the folds'),
    ({}, 0, 'multiple of twice the folds'),
    ({'identities': 19}, 60, 'at least 20 identities, not 19'),
    ({'images_per_identity': 2}, 600, 'each have 4 and'),
  ],
)
def test_impossible_pairs_are_refused(change, num_pairs, message):
  face_set = sets.FaceSet(0, sets.FIRST_UNSEEN, 40, 6, 32)._replace(**change)
  with pytest.raises(errors.UserError, match=message):
    sets.choose_pairs(face_set, num_pairs)


def test_benchmark_tells_people_apart_by_perfect_features(tmp_path):
  options = {'cache_dir': str(tmp_path), **PAIRS}
  built = benchmarks.build('synthetic_pairs', **options)
  names = [built.files.name(row) for row in range(built.files.num_rows)]
  person = [int(name.split('/')[0].removeprefix('face_')) for name in names]
  assert min(person) >= sets.FIRST_UNSEEN
  one_hot = np.eye(20, dtype=np.float32)[np.array(person) - min(person)]
  scores = built.evaluate(np.stack([one_hot, one_hot], 1))
  assert scores['boundaryface/accuracy'] == 1.0
  again = benchmarks.build('synthetic_pairs', **options)
  np.testing.assert_array_equal(built.left, again.left)


def test_benchmark_refuses_people_that_are_trained_on(tmp_path):
  with pytest.raises(errors.UserError, match='1000000 or more, not 100'):
    benchmarks.build(
      'synthetic_pairs', first_identity=100, cache_dir=str(tmp_path), **PAIRS
    )


def _make_faces(*arguments):
  return subprocess.run(
    [sys.executable, ROOT / 'tools' / 'make_faces.py', *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd='/',
  )


def test_tool_writes_a_folder_that_sources_and_benchmarks_read(tmp_path):
  out = tmp_path / 'some faces'
  result = _make_faces(
    *('--out', out, '--identities', 4, '--images-per-identity', 5),
    *('--size', 32, '--flip-rate', 0.4, '--pairs', 60, '--seed', 2),
    *('--unseen-identities', 20, '--unseen-images', 3, '--processes', 1),
  )
  assert result.returncode == 0, result.stderr
  assert '8 of them with a wrong label' in result.stdout
  assert shlex.quote(f'--config.data.root={out}') in result.stdout
  source = sources.build(
    'imagelist', root=str(out), list='train.txt', truth='flips.txt'
  )
  clean = sources.build('imagelist', root=str(out), list='clean.txt')
  tree = sources.build('imagelist', root=str(out / 'images'))
  np.testing.assert_array_equal(tree.labels, clean.labels)
  np.testing.assert_array_equal(source.true_labels, clean.labels)
  assert (source.labels != clean.labels).sum() == 8
  lfw, flags = (
    pair_benchmark.build(root=str(out / 'unseen'), pairs=name)
    for name in ('pairs.txt', 'pairs-flags.txt')
  )
  for one, other in zip(
    (lfw.left, lfw.right, lfw.same),
    (flags.left, flags.right, flags.same),
    strict=True,
  ):
    np.testing.assert_array_equal(one, other)
  assert not list(tmp_path.glob('*.partial'))


def test_tool_overwrites_nothing(tmp_path):
  (tmp_path / 'mine').write_text('precious')
  result = _make_faces('--out', tmp_path)
  assert result.returncode == 2
  assert 'is not empty' in result.stderr
  assert 'Traceback' not in result.stderr
  assert os.listdir(tmp_path) == ['mine']


@pytest.mark.parametrize(
  'arguments, message',
  [
    (('--identities', 0), 'identities'),
    (('--flip-rate', 2), 'not 2.0'),
    (('--pairs', 7), 'multiple of twice the folds'),
    (('--size', 1), 'not 1'),
    (('--processes', -1), 'not -1'),
  ],
)
def test_tool_names_bad_values(tmp_path, arguments, message):
  out = tmp_path / 'out'
  result = _make_faces('--out', out, *arguments)
  assert result.returncode == 2
  assert message in result.stderr
  assert 'Traceback' not in result.stderr
  assert not list(tmp_path.iterdir())
