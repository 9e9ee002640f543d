"""Full and read-only disks, and kills, in the middle of what is written."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

import tiny
from bfjax import atomic, errors, metrics, training
from bfjax.storage import checkpoint, digests, diskerrors, wholeness
from test_checkpoint import state_on

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
SAVING = """
import os, pathlib, resource, signal, sys
from bfjax import runtime
runtime.start()
import numpy as np
from bfjax import command
from bfjax.storage import checkpoint, digests, diskerrors
def save(manager, step, rows):
  noise = np.random.default_rng(step).normal(size=(rows, 1000))
  checkpoint.save(manager, step, {'x': noise.astype('f4')}, {}, {})
def job():
  with checkpoint.open_manager(pathlib.Path(sys.argv[1])) as manager:
    save(manager, 1, 1)
    checkpoint.wait(manager)
    %s
command.run('saving', job)
"""
FULL = """
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    save(manager, 2, 100)
"""
FULL_ON_THE_WAY = (
  """
    diskerrors.check_room = lambda *_: None
"""
  + FULL
)
KILLED = """
    digests.write = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
    save(manager, 2, 100)
    checkpoint.wait(manager)
"""


def run_saving(workdir, what):
  return subprocess.run(
    [sys.executable, '-c', SAVING % what.strip(), str(workdir)],
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    timeout=200,
  )


def go_on(workdir):
  """What a run does that is started again; returns the step it goes on from."""
  last = wholeness.last_whole_step(workdir)
  with checkpoint.open_manager(workdir) as manager:
    checkpoint.save(manager, 3, state_on(1, 3), {}, {})
  names = sorted(p.name for p in (workdir / 'checkpoints').iterdir())
  assert names == [str(step) for step in wholeness.steps(workdir)]
  return last


@pytest.mark.parametrize(
  'full', [FULL, FULL_ON_THE_WAY], ids=['before', 'on the way']
)
def test_a_full_disk_in_a_save_is_one_message(tmp_path, full):
  done = run_saving(tmp_path, full)
  assert done.returncode == 2
  assert done.stderr == (
    f'saving: Cannot write to {tmp_path}/checkpoints: File too large. Once that'
    ' is put right, the same command goes on from step 1.\n'
  )
  assert go_on(tmp_path) == 1


def test_a_kill_in_a_save_costs_that_save_alone(tmp_path):
  assert run_saving(tmp_path, KILLED).returncode == -signal.SIGKILL
  assert len(list((tmp_path / 'checkpoints').iterdir())) == 2
  assert go_on(tmp_path) == 1


def test_something_whole_is_there_at_every_moment_of_a_save(
  tmp_path, monkeypatch
):
  copies = []

  def copying(function):
    def copy_first(*arguments, **options):
      copies.append(tmp_path / str(len(copies)))
      shutil.copytree(tmp_path / 'run', copies[-1])
      return function(*arguments, **options)

    return copy_first

  run = tmp_path / 'run'
  with checkpoint.open_manager(run, max_to_keep=1) as manager:
    checkpoint.save(manager, 1, state_on(1, 1), {}, {})
    checkpoint.wait(manager)
    # Before digests are written, before the new one gets its name, and before
    # each file of the old one goes.
    monkeypatch.setattr(digests, 'write', copying(digests.write))
    monkeypatch.setattr(os, 'rename', copying(os.rename))
    monkeypatch.setattr(os, 'unlink', copying(os.unlink))
    monkeypatch.setattr(os, 'rmdir', copying(os.rmdir))
    checkpoint.save(manager, 2, state_on(1, 2), {}, {})
    checkpoint.wait(manager)
    monkeypatch.undo()
  assert wholeness.steps(run) == [2]
  last = [go_on(copy) for copy in copies]
  assert set(last) == {1, 2}
  assert last == sorted(last)


def test_no_room_is_said_with_how_much_it_takes(tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
  diskerrors.check_room(tmp_path, 500_000)
  with pytest.raises(OSError, match=r'left .*6\.0 MB are needed, 2\.0 MB free'):
    diskerrors.check_room(tmp_path, 5_000_000)
  assert not list(tmp_path.iterdir())


def fail(code):
  def failing(*_, **__):
    raise OSError(code, os.strerror(code))

  return failing


def test_a_full_disk_in_a_log_line_is_one_message(tmp_path, monkeypatch):
  config = tiny.config(
    tmp_path / 'faces', epochs=1, checkpoint={'every_steps': 4}
  )
  write = metrics.MetricsFile.write_scalars

  def fill_at_6(self, step, scalars):
    (fail(errno.ENOSPC) if step == 6 else write)(self, step, scalars)

  with monkeypatch.context() as patch:
    patch.setattr(metrics.MetricsFile, 'write_scalars', fill_at_6)
    with pytest.raises(
      errors.UserError, match=r'Cannot write to .*/run: No space left'
    ):
      training.train_and_evaluate(config, tmp_path / 'run')
  assert wholeness.steps(tmp_path / 'run') == [4]
  # Read-only from now on.
  with monkeypatch.context() as patch:
    patch.setattr(atomic.os, 'replace', fail(errno.EROFS))
    with pytest.raises(errors.UserError, match='Read-only file system'):
      training.train_and_evaluate(config, tmp_path / 'run')
  training.train_and_evaluate(config, tmp_path / 'run')
  lines = metrics.read_metrics(tmp_path / 'run' / 'metrics.jsonl')
  steps = [line['step'] for line in lines if 'train/loss' in line]
  assert steps == [3, 6, 8]


def test_errors_of_other_files_pass(tmp_path):
  with (
    pytest.raises(FileNotFoundError),
    diskerrors.writing_to(tmp_path / 'run'),
  ):
    (tmp_path / 'image.jpg').read_bytes()
