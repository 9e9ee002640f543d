"""The command itself, in processes of its own, as a user runs it."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from bfjax.logbook import density

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
SMALL = (
  '--config.epochs=3',
  '--config.batch=16',
  '--config.log_every_steps=1',
  '--config.data.image_size=16',
  '--config.data.threads=1',
  '--config.backbone.widths=(8, 8, 16)',
  '--config.backbone.blocks=(1, 1)',
  '--config.backbone.stem_stride=2',
  '--config.backbone.embedding_dim=8',
  '--config.head.epoch_start=1',
  '--config.head.m=0.0',
  '--config.optim.lr=0.02',
  '--config.optim.milestones=(2,)',
)


def command(folder, workdir, *more, devices=1):
  args = [
    *(sys.executable, '-m', 'bfjax.main'),
    f'--config={ROOT}/configs/casia_noisy.py:closed20',
    f'--workdir={workdir}',
    f'--config.data.root={folder}',
    f'--config.data.list={folder}/train.txt',
    *SMALL,
    *more,
  ]
  flags = f'--xla_force_host_platform_device_count={devices}'
  return args, os.environ | {'XLA_FLAGS': flags}


def run(folder, workdir, *more, devices=1):
  args, env = command(folder, workdir, *more, devices=devices)
  return subprocess.run(
    args, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder as a user has it: other sizes, grey, PNG, blanks in names."""
  root = tmp_path_factory.mktemp('images')
  rng = np.random.default_rng(0)
  lines = []
  for label in (3, 5, 9, 20):
    for i in range(12):
      name = f'id {label}/{i:02}.{"png" if i % 3 == 0 else "jpg"}'
      (root / name).parent.mkdir(exist_ok=True)
      size = (20, 24, 3) if i % 2 else (16, 16)
      picture = rng.integers(0, 200, size) // 4 + label * 10
      cv2.imwrite(str(root / name), picture.astype(np.uint8))
      lines.append(f'{name}  {label}\n')
  (root / 'train.txt').write_text(''.join(lines))
  (root / 'flips.txt').write_text('id 3/01.jpg  5\nid 9/02.jpg  3\n')
  return root


def metrics_of(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [
    {
      k: v
      for k, v in json.loads(line).items()
      if k != 'images_per_sec' and not k.startswith('time/')
    }
    for line in lines
  ]


def wait_for(condition, process):
  deadline = time.monotonic() + 200
  while not condition():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline
    time.sleep(0.02)


@pytest.mark.parametrize('kill', [signal.SIGTERM, signal.SIGKILL])
def test_the_main_job_survives_a_kill(folder, tmp_path, kill):
  options = (
    f'--config.data.truth={folder}/flips.txt',
    '--config.checkpoint.every_steps=1',
  )
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  done = run(folder, whole, *options)
  assert done.returncode == 0, done.stderr
  assert 'images/s' in done.stderr
  assert 'ETA' in done.stderr
  assert {'corrections/recall', 'corrections/wrong_labels'} <= {
    *metrics_of(whole)[-1]
  }

  args, env = command(folder, parts, *options)
  with subprocess.Popen(
    args, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True
  ) as process:
    wait_for((parts / 'checkpoints' / '2').exists, process)
    process.send_signal(kill)
    _, said = process.communicate()
  if kill == signal.SIGTERM:
    assert process.returncode == 0
    assert 'Saved step' in said
  again = run(folder, parts, *options)
  assert again.returncode == 0, again.stderr
  assert 'Going on from the checkpoint' in again.stderr
  assert metrics_of(parts) == metrics_of(whole)
  for name in ('epoch_002.tsv', 'epoch_003.tsv'):
    log = pathlib.Path('corrections', name)
    assert (parts / log).read_bytes() == (whole / log).read_bytes()


def test_two_processes_train_what_one_does(folder, tmp_path):
  one = run(folder, tmp_path / 'one', devices=2)
  assert one.returncode == 0, one.stderr
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  processes = []
  for index in range(2):
    args, env = command(
      *(folder, tmp_path / 'two', f'--coordinator=localhost:{port}'),
      *('--num_processes=2', f'--process_id={index}'),
    )
    processes.append(
      subprocess.Popen(
        args, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True
      )
    )
  for process in processes:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
  expected, found = metrics_of(tmp_path / 'one'), metrics_of(tmp_path / 'two')
  assert len(found) == len(expected)
  for line, other in zip(found, expected, strict=True):
    assert line.keys() == other.keys()
    for name in line:
      np.testing.assert_allclose(
        line[name], other[name], rtol=2e-3, atol=1e-4, err_msg=name
      )
  for name in ('epoch_001', 'epoch_003'):
    logs = [tmp_path / n / 'corrections' for n in ('one', 'two')]
    seen = [density.read(x / f'{name}.npz') for x in logs]
    for kind in ('kept', 'corrected'):
      assert seen[0][kind].sum() == seen[1][kind].sum()
    assert seen[1]['kept'].sum() + seen[1]['corrected'].sum() == 48
    lines = [(x / f'{name}.tsv').read_text().splitlines() for x in logs]
    assert len(lines[0]) == len(lines[1]) == seen[1]['corrected'].sum() + 1
    for one, two in zip(*lines, strict=True):
      one, two = (line.split('\t') for line in (one, two))
      assert one[:4] + one[6:] == two[:4] + two[6:]


def bad_list(folder, tmp_path, line):
  path = tmp_path / 'bad.txt'
  path.write_text((folder / 'train.txt').read_text() + line)
  return (f'--config.data.list={path}',)


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('id 3/07.jpg', 'bad.txt:49'),
    ('id 3/nothing.jpg  -1', 'bad.txt:49'),
    ('id 3/nothing.jpg  3', 'nothing.jpg'),
  ],
)
def test_a_bad_list_is_one_clear_message(folder, tmp_path, line, message):
  done = run(folder, tmp_path / 'run', *bad_list(folder, tmp_path, line))
  assert done.returncode == 2
  assert message in done.stderr
  assert 'Traceback' not in done.stderr
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ('--config.backbone.name=resnext', 'iresnet'),
    ('--config.head.margin=sphere', 'arcface'),
    ('--config.data.source=lmdb', 'imagelist'),
    ('--config.head.margn=arcface', 'margn'),
    ('--config.epochs=many', 'many'),
    ('--config.data.num_classes=9', 'train.txt:25'),
  ],
)
def test_a_bad_option_is_one_clear_message(folder, tmp_path, option, message):
  done = run(folder, tmp_path / 'run', option)
  assert done.returncode == 2
  assert message in done.stderr
  assert 'Traceback' not in done.stderr
