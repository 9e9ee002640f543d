"""Several processes train as one does, and end together if one of them dies."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from bfjax import metrics, watched
from bfjax.data import order
from bfjax.storage import arrays, wholeness

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
IDENTITIES, IMAGES, EPOCHS, BATCH = 10, 15, 3, 16
ROWS = IDENTITIES * IMAGES
SMALL = (
  f'--config={ROOT}/configs/synthetic.py',
  '--config.compare={}',
  f'--config.data.identities={IDENTITIES}',
  f'--config.data.images_per_identity={IMAGES}',
  '--config.data.image_size=16',
  '--config.data.threads=1',
  f'--config.epochs={EPOCHS}',
  f'--config.batch={BATCH}',
  '--config.log_every_steps=5',
  '--config.backbone.widths=(8, 8, 16)',
  '--config.backbone.blocks=(1, 1)',
  '--config.backbone.embedding_dim=8',
  '--config.head.epoch_start=1',
  '--config.optim.lr=0.02',
  '--config.optim.warmup_epochs=0.0',
  '--config.optim.milestones=(3,)',
  '--config.eval.benchmarks=()',
  '--config.checkpoint.best_metric=',
)
ENDLESS = (
  '--config.epochs=1000',
  '--config.checkpoint.every_epochs=1000',
  '--config.checkpoint.every_steps=5',
)


_started = []


@pytest.fixture(scope='module', autouse=True)
def _nothing_is_left():
  yield
  for process in _started:
    process.kill()


def start(workdir, processes, devices, *more, **environment):
  """Starts the processes of a run, each with so many devices."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    coordinator = f'--coordinator=localhost:{free.getsockname()[1]}'
  flags = f'--xla_force_host_platform_device_count={devices}'
  env = os.environ | {'XLA_FLAGS': flags, 'PYTHONPATH': str(ROOT)} | environment
  started = []
  for index in range(processes):
    joins = coordinator, f'--num_processes={processes}', f'--process_id={index}'
    command = [sys.executable, f'{ROOT}/tests/host_run.py', *SMALL, *more]
    command += [f'--workdir={workdir}', *(joins if processes > 1 else ())]
    started.append(
      subprocess.Popen(
        command, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True
      )
    )
  _started.extend(started)
  return started


def ends(started, timeout=600):
  """The status of each process, and what it said on standard error."""
  said = [process.communicate(timeout=timeout)[1] for process in started]
  return [process.returncode for process in started], said


def run(*arguments, **environment):
  statuses, said = ends(start(*arguments, **environment))
  assert not any(statuses), said
  return said


def last_step(workdir):
  return max(wholeness.steps(workdir), default=0)


def wait_for_a_step(workdir, after, started):
  deadline = time.monotonic() + 600
  while last_step(workdir) <= after:
    assert all(process.poll() is None for process in started), ends(started)
    assert time.monotonic() < deadline
    time.sleep(0.1)


@pytest.fixture(scope='module')
def one(tmp_path_factory):
  """The workdir of a run of one process with one device."""
  workdir = tmp_path_factory.mktemp('one')
  run(workdir, 1, 1)
  return workdir


@pytest.fixture(scope='module')
def eight(tmp_path_factory):
  """The workdir of a run of one process with eight devices."""
  workdir = tmp_path_factory.mktemp('eight')
  run(workdir, 1, 8)
  return workdir


@pytest.fixture(scope='module')
def hosts(tmp_path_factory):
  """(Workdir, what they said, notes) of two processes with four devices each.

  The second compiles for longer than the first is silent about.
  """
  folder = tmp_path_factory.mktemp('hosts')
  notes = folder / 'notes'
  notes.mkdir()
  said = run(
    folder / 'run', 2, 4, HOST_RUN_NOTES=str(notes), HOST_RUN_SLOW='12'
  )
  found = [json.loads((notes / f'{i}.json').read_text()) for i in range(2)]
  return folder / 'run', said, found


def losses(workdir):
  lines = metrics.read_metrics(workdir / 'metrics.jsonl')
  return [
    [line[f'train/{name}'] for name in ('loss', 'corrected', 'cosine_target')]
    for line in lines
    if 'train/loss' in line
  ]


def table(workdir):
  folder = wholeness.folder_of(workdir, last_step(workdir)) / 'state'
  saved = arrays.saved(folder)
  return arrays.read(folder, {'table': saved['table']})['table'][:ROWS]


def corrected(log):
  """Row, path, given and new label of each line."""
  return [line.split('\t')[:4] for line in log.read_text().splitlines()]


@pytest.mark.parametrize('other', ['one', 'eight'])
def test_two_processes_train_what_one_does(hosts, other, request):
  workdir, _, _ = hosts
  expected = request.getfixturevalue(other)
  # Sums over the devices are rounded in another order.
  np.testing.assert_allclose(losses(workdir), losses(expected), rtol=5e-3)
  np.testing.assert_array_equal(table(workdir), table(expected))
  for epoch in range(1, EPOCHS + 1):
    log = pathlib.Path('corrections', f'epoch_{epoch:03}.tsv')
    found, wanted = (
      (x / log).read_text().splitlines() for x in (workdir, expected)
    )
    assert [x.split('\t')[:4] for x in found] == [
      x.split('\t')[:4] for x in wanted
    ]
  assert len(found) > 1
  assert sorted(p.name for p in (workdir / 'corrections').iterdir()) == sorted(
    p.name for p in (expected / 'corrections').iterdir()
  )


def test_each_process_reads_its_rows_and_gathers_no_table(hosts):
  _, _, notes = hosts
  steps = order.steps_per_epoch(ROWS, BATCH)
  for index, found in enumerate(notes):
    plan = order.TrainOrder(
      num_rows=ROWS,
      batch=BATCH,
      seed=1,
      process_index=index,
      process_count=2,
    )
    own = set(plan(np.arange(EPOCHS * steps))['row'].ravel().tolist())
    # The first one draws pictures of some corrected rows, too.
    assert own == {*found['rows']} or (not index and own < {*found['rows']})
    assert len(found['rows']) < ROWS
    assert found['longest'] < ROWS


def test_a_slow_compilation_is_waited_for_in_words(hosts):
  _, said, _ = hosts
  assert 'Waiting for process 1 to have compiled the training step' in said[0]


def test_a_run_goes_on_with_other_processes_and_each_can_end_it(tmp_path):
  """Killed, the coordinator or another one; SIGTERM to any of them saves."""
  started = start(tmp_path, 2, 2, *ENDLESS)
  wait_for_a_step(tmp_path, 0, started)
  os.kill(started[0].pid, signal.SIGKILL)
  statuses, said = ends(started, timeout=60)
  assert statuses == [-signal.SIGKILL, watched.LOST]
  assert_lost(said[1], 0)

  first = last_step(tmp_path)
  started = start(tmp_path, 4, 1, *ENDLESS)
  wait_for_a_step(tmp_path, first, started)
  os.kill(started[2].pid, signal.SIGTERM)
  statuses, said = ends(started)
  assert statuses == [0, 0, 0, 0], said
  assert f'Going on from the checkpoint of step {first}.' in said[0]
  assert f'Saved step {last_step(tmp_path)}.' in said[0]

  first = last_step(tmp_path)
  started = start(tmp_path, 2, 4, *ENDLESS)
  wait_for_a_step(tmp_path, first, started)
  os.kill(started[1].pid, signal.SIGKILL)
  statuses, said = ends(started, timeout=60)
  assert statuses == [watched.LOST, -signal.SIGKILL]
  assert f'Going on from the checkpoint of step {first}.' in said[0]
  assert_lost(said[0], 1)


def assert_lost(said, process):
  assert f'bfjax: lost process {process} of this run' in said
  assert 'the same command on every host goes on' in said
  assert said.count('bfjax: ') == 1
  assert 'Traceback' not in said
  assert 'stack trace' not in said
  assert said.rstrip().splitlines()[-1].startswith('bfjax: lost')


def test_the_one_that_fails_says_why_and_the_others_that_it_is_gone(tmp_path):
  started = start(tmp_path, 2, 1, *ENDLESS, HOST_RUN_BAD='1')
  statuses, said = ends(started)
  assert statuses == [watched.LOST, 2], said
  assert 'bfjax: The disk of this host is gone.' in said[1]
  assert said[1].count('bfjax: ') == 1
  assert 'Traceback' not in said[1]
  assert_lost(said[0], 1)
