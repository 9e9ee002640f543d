"""Noise in lists: the published definitions, whatever the order of lines."""

import collections
import hashlib
import pathlib
import subprocess
import sys
import types

import cv2
import numpy as np
import pytest

from bfjax import errors
from bfjax.datasets import listnoise, outliers

ROOT = pathlib.Path(__file__).parents[1]
SIZES = {0: 10, 3: 7, 4: 1, 9: 33}


def clean():
  return {
    f'p{label}/img {i:02}.jpg': label
    for label, size in SIZES.items()
    for i in range(size)
  }


def write(path, labels, order=None):
  lines = [f'{name}  {label}\n' for name, label in labels.items()]
  if order is not None:
    lines = [lines[i] for i in order]
  path.write_text(''.join(lines))
  return str(path)


def read(path):
  found = {}
  for line in path.read_text().splitlines():
    name, label = line.rsplit('  ', 1)
    assert name not in found
    found[name] = int(label)
  return found


def flip(tmp_path, source, rate=0.3, seed=1, name='out'):
  out, truth = tmp_path / f'{name}.txt', tmp_path / f'{name}_truth.txt'
  done = listnoise.flip_list(
    source, rate=rate, seed=seed, out=str(out), truth_out=str(truth)
  )
  return done, read(out), read(truth)


def add(tmp_path, source, rate=0.3, seed=1, pool=40, **options):
  names = [b'%03d.jpg' % i for i in range(pool)]
  paths = [(name, b'pool/' + name) for name in names]
  out, log = tmp_path / 'open.txt', tmp_path / 'outliers.txt'
  done = listnoise.add_outliers(
    source,
    pool=types.SimpleNamespace(
      listed=lambda: iter(paths), copy=lambda path: None
    ),
    rate=rate,
    seed=seed,
    out=str(out),
    outliers_out=str(log),
    **options,
  )
  return done, read(out), read(log)


def test_flips_the_floor_of_each_identity_to_another_label(tmp_path):
  before = clean()
  done, after, truth = flip(tmp_path, write(tmp_path / 'l.txt', before))
  changed = {name for name in before if after[name] != before[name]}
  assert done == (51, 4, len(changed), 0)
  assert list(after) == list(before)
  assert truth == {name: before[name] for name in after if name in changed}
  counts = collections.Counter(before[name] for name in changed)
  assert counts == {0: 3, 3: 2, 9: 9}
  assert set(after.values()) <= set(SIZES)


def test_flips_are_drawn_evenly(tmp_path):
  before = {f'{i:05}.jpg': i % 5 for i in range(10_000)}
  _, after, truth = flip(tmp_path, write(tmp_path / 'l.txt', before), rate=0.5)
  table = np.zeros([5, 5], int)
  for name in truth:
    table[before[name], after[name]] += 1
  assert np.trace(table) == 0
  # 250 expected in each cell, standard deviation 14.
  assert np.abs(table[~np.eye(5, dtype=bool)] - 250).max() < 60
  early = sum(name < '05000' for name in truth)
  assert abs(early - 2500) < 150


@pytest.mark.parametrize('kind', ['flips', 'outliers'])
def test_noise_is_independent_of_the_order_of_lines(tmp_path, kind):
  before = clean()
  order = np.random.default_rng(0).permutation(len(before))
  results = []
  for name, lines in (('a', None), ('b', order)):
    source = write(tmp_path / f'{name}.txt', before, lines)
    make = flip if kind == 'flips' else add
    results.append(make(tmp_path, source))
  assert results[0] == results[1]


@pytest.mark.parametrize('make', [flip, add])
def test_the_seed_names_the_draw(tmp_path, make):
  source = write(tmp_path / 'l.txt', clean())
  first, again, other = (make(tmp_path, source, seed=s) for s in (1, 1, 2))
  assert first == again
  assert first[1] != other[1]


def test_the_draw_is_the_documented_one_on_every_machine(tmp_path):
  before = clean()
  expected = dict(before)
  for label, size in SIZES.items():
    names = [name for name in before if before[name] == label]
    names.sort(key=lambda name: draw(1, name))
    for name in names[: int(0.3 * size)]:
      step = 1 + int.from_bytes(draw(1, name)[8:], 'little') % 3
      expected[name] = list(SIZES)[(list(SIZES).index(label) + step) % 4]
  _, after, _ = flip(tmp_path, write(tmp_path / 'l.txt', before))
  assert after == expected


def test_the_files_are_to_the_byte_those_of_earlier_versions(tmp_path):
  flip(tmp_path, write(tmp_path / 'l.txt', clean()))
  truth = str(tmp_path / 'out_truth.txt'), str(tmp_path / 'left')
  add(tmp_path, str(tmp_path / 'out.txt'), truth=truth)
  found = {
    name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()[:16]
    for name in ('out.txt', 'out_truth.txt', 'open.txt', 'outliers.txt', 'left')
  }
  assert found == {
    'out.txt': '5970520f129f9788',
    'out_truth.txt': 'ebf938ea579ace23',
    'open.txt': 'dd89cdc453806a82',
    'outliers.txt': '19730147d98edc97',
    'left': 'ebf938ea579ace23',
  }


def draw(seed, name):
  key = str(seed).encode()
  return hashlib.blake2b(name.encode(), key=key, digest_size=16).digest()


def test_outliers_replace_the_last_of_each_identity(tmp_path):
  before = clean()
  done, after, log = add(tmp_path, write(tmp_path / 'l.txt', before))
  gone = set(before) - set(after)
  assert done == (51, 4, 14, 0)
  last = {0: range(7, 10), 3: range(5, 7), 9: range(24, 33)}
  assert gone == {
    f'p{label}/img {i:02}.jpg' for label, rows in last.items() for i in rows
  }
  assert {n: after[n] for n in log} == log
  assert set(after) - set(before) == set(log)
  assert all(name.startswith('pool/') for name in log)
  # Each stands where the image it replaces stood.
  assert [n in log for n in after] == [n in gone for n in before]


def test_outlier_labels_are_drawn_evenly_from_all(tmp_path):
  before = {f'{i:05}.jpg': i % 5 for i in range(5000)}
  source = write(tmp_path / 'l.txt', before)
  _, _, log = add(tmp_path, source, rate=0.5, pool=3000)
  counts = np.bincount(list(log.values()), minlength=5)
  assert counts.sum() == 2500
  assert np.abs(counts - 500).max() < 100


def test_with_the_truth_flips_and_outliers_do_not_meet(tmp_path):
  before = clean()
  flipped, noisy, truth = flip(
    tmp_path, write(tmp_path / 'l.txt', before), rate=0.5
  )
  done, after, _ = add(
    tmp_path,
    str(tmp_path / 'out.txt'),
    rate=0.5,
    truth=(str(tmp_path / 'out_truth.txt'), str(tmp_path / 'left.txt')),
  )
  assert flipped.changed == done.changed == 5 + 3 + 16
  assert done.flips_lost == 0
  assert read(tmp_path / 'left.txt') == truth
  assert all(after[name] == noisy[name] for name in truth)
  people = collections.Counter(before[n] for n in set(before) - set(after))
  assert people == {0: 5, 3: 3, 9: 16}


def test_flips_that_outliers_replace_leave_the_truth(tmp_path):
  flip(tmp_path, write(tmp_path / 'l.txt', clean()), rate=0.5)
  done, after, _ = add(
    tmp_path,
    str(tmp_path / 'out.txt'),
    rate=0.8,
    truth=(str(tmp_path / 'out_truth.txt'), str(tmp_path / 'left.txt')),
  )
  left = read(tmp_path / 'left.txt')
  assert done.flips_lost == 24 - len(left) > 0
  assert set(left) <= set(after)


@pytest.mark.parametrize('rate', [-0.1, 1.5, float('nan')])
def test_a_rate_that_is_no_share_is_refused(tmp_path, rate):
  with pytest.raises(errors.UserError, match='share'):
    flip(tmp_path, write(tmp_path / 'l.txt', clean()), rate=rate)
  assert [p.name for p in tmp_path.iterdir()] == ['l.txt']


def test_bad_lists_and_pools_are_refused_and_nothing_is_left(tmp_path):
  def refused(message, make, *arguments, **options):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(errors.UserError, match=message):
      make(tmp_path, *arguments, **options)
    assert sorted(tmp_path.iterdir()) == before

  twice, one, empty = (tmp_path / f'{n}.txt' for n in ('twice', 'one', 'empty'))
  twice.write_text('a.jpg 0\nb.jpg 1\na.jpg 1\n')
  one.write_text('a.jpg 4\nb.jpg 4\n')
  empty.write_text('\n')
  whole = write(tmp_path / 'l.txt', clean())
  refused('twice.txt:3: a.jpg is listed already in line 1', flip, str(twice))
  refused('one label', flip, str(one))
  refused('empty', flip, str(empty))
  refused('Cannot read', flip, str(tmp_path / 'none.txt'))
  refused('13 images, but 14 are needed', add, whole, pool=13)
  (tmp_path / 'in.txt').write_text('pool/001.jpg 0\nb.jpg 1\n')
  refused('in the pool and in', add, str(tmp_path / 'in.txt'))
  truth = str(one), str(tmp_path / 'x')
  refused('one.txt:1: a.jpg is not in the data', add, whole, truth=truth)


def test_outliers_are_the_same_wherever_the_pool_lies(tmp_path):
  source = write(tmp_path / 'l.txt', clean())
  found = []
  for place in ('here', 'elsewhere/deep'):
    for i in range(40):
      image = tmp_path / place / f'x{i % 3}' / f'{i}.jpg'
      image.parent.mkdir(parents=True, exist_ok=True)
      image.touch()
    log = tmp_path / 'outliers.txt'
    listnoise.add_outliers(
      source,
      pool=outliers.Pool(str(tmp_path / place)),
      rate=0.3,
      seed=1,
      out=str(tmp_path / 'open.txt'),
      outliers_out=str(log),
    )
    found.append(log.read_text().replace(str(tmp_path / place), ''))
  assert found[0] == found[1]


def tool(name, *arguments):
  return subprocess.run(
    [sys.executable, ROOT / 'tools' / f'{name}.py', *map(str, arguments)],
    capture_output=True,
    text=True,
    check=False,
  )


def test_the_tools_make_a_mix_with_resized_outliers(tmp_path):
  (tmp_path / 'pool' / 'deep').mkdir(parents=True)
  for i in range(12):
    pixels = np.full([20, 30, 3], 20 * i, np.uint8)
    suffix = ('.png', '.webp')[i % 2]
    cv2.imwrite(str(tmp_path / 'pool' / 'deep' / f'{i}{suffix}'), pixels)
  (tmp_path / 'pool' / 'notes.json').write_text('{}')
  source = write(tmp_path / 'l.txt', clean())
  common = ('--rate', 0.2, '--seed', 3)
  flips = ('--truth-out', tmp_path / 'flips.txt')
  made = tool(
    'flip_labels', '--list', source, *common, '--out', tmp_path / 'f', *flips
  )
  assert made.returncode == 0, made.stderr
  assert '9 of 51 labels flipped' in made.stdout
  arguments = {
    '--list': tmp_path / 'f',
    '--truth': tmp_path / 'flips.txt',
    '--truth-out': tmp_path / 'left.txt',
    '--pool': tmp_path / 'pool',
    '--root': tmp_path,
    '--write-images': tmp_path / 'images' / 'outliers',
    '--size': 16,
    '--out': tmp_path / 'mix.txt',
    '--outliers-out': tmp_path / 'outliers.txt',
  }
  flat = [word for pair in arguments.items() for word in pair]
  made = tool('add_outliers', *common, *flat)
  assert made.returncode == 0, made.stderr
  assert '0 flipped images' in made.stdout
  log = read(tmp_path / 'outliers.txt')
  assert len(log) == 9
  for name in log:
    assert name.startswith('images/outliers/deep/')
    assert cv2.imread(str(tmp_path / name)).shape == (16, 16, 3)
  refused = tool('add_outliers', *common, *flat, '--pool', tmp_path / 'none')
  assert refused.returncode == 2
  assert 'no folder' in refused.stderr
