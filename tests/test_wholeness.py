"""A damaged checkpoint is never taken for whole, nor another for it."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import damages
import tiny
from bfjax import (
  errors,
  evaluating,
  metrics,
  model,
  pretrained,
  setup,
  training,
)
from bfjax.storage import checkpoint, wholeness

pytestmark = pytest.mark.slow

TIMINGS = ('images_per_sec', 'eval/secs', 'eval/share_of_time')


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """The workdir of a run of two epochs; its checkpoints are of 8 and 16."""
  folder = tmp_path_factory.mktemp('finished')
  training.train_and_evaluate(tiny.config(folder / 'faces'), folder / 'run')
  return folder / 'run'


@pytest.fixture
def workdir(finished, tmp_path):
  """A copy of it."""
  return shutil.copytree(finished, tmp_path / 'run')


@pytest.fixture
def config(finished):
  return tiny.config(finished.parent / 'faces')


def largest(workdir, step):
  folder = wholeness.folder_of(workdir, step)
  files = [folder / file for file in damages.files(folder)]
  return max(files, key=lambda path: path.stat().st_size)


def names(workdir):
  return sorted(p.name for p in (workdir / 'checkpoints').iterdir())


def state_of(config, workdir):
  run = setup.open_run(config)
  with checkpoint.open_manager(workdir) as manager:
    step = manager.latest_step()
    state = checkpoint.restore(manager, step, setup.make_state(run, config))
  return jax.device_get(state)


def lines_of(workdir):
  return [
    {
      name: value
      for name, value in line.items()
      if name not in TIMINGS and not name.startswith('time/')
    }
    for line in metrics.read_metrics(workdir / 'metrics.jsonl')
  ]


@pytest.mark.parametrize('damage', damages.ALL)
def test_each_file_of_a_checkpoint_counts(finished, tmp_path, damage, caplog):
  files = damages.files(wholeness.folder_of(finished, 16))
  assert {'_CHECKPOINT_METADATA', 'metrics/metrics', 'record/metadata'} < {
    *files
  }
  for number, file in enumerate(files):
    workdir = tmp_path / str(number)
    shutil.copytree(finished / 'checkpoints', workdir / 'checkpoints')
    damage(wholeness.folder_of(workdir, 16) / file)
    caplog.clear()
    assert wholeness.last_whole_step(workdir) == 8, file
    assert names(workdir) == ['16.damaged', '8']
    assert 'step 16 is damaged' in caplog.text
    assert 'from step 8: 8 steps are lost' in caplog.text
    # It is neither taken for whole nor swept away.
    with checkpoint.open_manager(workdir) as manager:
      assert manager.all_steps() == [8]
    assert names(workdir) == ['16.damaged', '8']


def test_a_run_goes_on_from_the_last_whole_checkpoint(
  finished, workdir, config, caplog
):
  damages.flip(largest(workdir, 16))
  scores = training.train_and_evaluate(config, workdir)
  assert '8 steps are lost' in caplog.text
  assert names(workdir) == ['16', '16.damaged', '8']
  jax.tree.map(
    np.testing.assert_array_equal,
    state_of(config, workdir),
    state_of(config, finished),
  )
  assert lines_of(workdir) == lines_of(finished)
  assert scores == training.train_and_evaluate(config, finished)


def test_an_older_damaged_checkpoint_costs_no_steps(workdir, caplog):
  damages.cut(wholeness.folder_of(workdir, 8) / 'metrics' / 'metrics')
  assert wholeness.last_whole_step(workdir) == 16
  assert 'from step 16: 0 steps are lost' in caplog.text
  assert names(workdir) == ['16', '8.damaged']


def test_without_a_whole_checkpoint_training_does_not_begin_anew(
  workdir, config
):
  for step in (8, 16):
    damages.empty(largest(workdir, step))
  for _ in range(2):
    with pytest.raises(
      errors.UserError,
      match=r'only 16\.damaged.*; 8\.damaged.*another --workdir',
    ):
      training.train_and_evaluate(config, workdir)
    assert wholeness.has_begun(workdir)


def test_names_of_damaged_checkpoints_are_not_used_twice(workdir, finished):
  for _ in range(2):
    damages.flip(largest(workdir, 16))
    assert wholeness.last_whole_step(workdir) == 8
    shutil.copytree(
      wholeness.folder_of(finished, 16), wholeness.folder_of(workdir, 16)
    )
  assert names(workdir) == ['16', '16.damaged', '16.damaged-2', '8']
  assert wholeness.choose_step(workdir, 'last') == 16


def readers(config, workdir):
  """Whoever reads a checkpoint otherwise than to go on training."""
  config.init_from = str(workdir)
  run = setup.open_run(config)
  return {
    'load_model': lambda: model.load_model(workdir),
    'eval': lambda: evaluating.evaluate(config, workdir),
    'init_from': lambda: pretrained.load(config, run),
  }


@pytest.mark.parametrize('reader', ['load_model', 'eval', 'init_from'])
def test_readers_refuse_and_leave_all_as_it_is(workdir, config, reader):
  read = readers(config, workdir)[reader]
  damaged = largest(workdir, 16)
  damages.flip(damaged)
  file = damaged.relative_to(wholeness.folder_of(workdir, 16))
  with pytest.raises(
    errors.UserError, match=f'16 is damaged: {file}: .* of: 8, 16'
  ):
    read()
  assert names(workdir) == ['16', '8']


def test_readers_take_no_other_checkpoint_for_one_set_aside(workdir):
  damages.flip(largest(workdir, 16))
  wholeness.last_whole_step(workdir)
  for wanted in ('last', 'best'):
    with pytest.raises(errors.UserError, match=r'one: 16\.damaged may have'):
      wholeness.choose_step(workdir, wanted, 'unseen/boundaryface/accuracy')
  with pytest.raises(errors.UserError, match=r"'16'.* steps: 8, 16\.damaged"):
    wholeness.choose_step(workdir, '16')
  assert wholeness.choose_step(workdir, '8') == 8


def test_the_best_is_open_if_any_score_is_damaged(workdir, config):
  metric = config.checkpoint.best_metric
  scores = {
    line['step']: line[metric] for line in lines_of(workdir) if metric in line
  }
  best = max(scores, key=lambda step: (scores[step], step))
  assert wholeness.choose_step(workdir, 'best', metric) == best
  [other] = {8, 16} - {best}
  damages.flip(wholeness.folder_of(workdir, other) / 'metrics' / 'metrics')
  with pytest.raises(errors.UserError, match=f'{other} is damaged: metrics'):
    wholeness.choose_step(workdir, 'best', metric)


def test_a_checkpoint_without_digests_is_not_whole(workdir):
  (wholeness.folder_of(workdir, 16) / 'sha256sums').unlink()
  with pytest.raises(errors.UserError, match='no sha256sums: cut short, or of'):
    model.load_model(workdir)


PROCESS = """
import pathlib, sys
from bfjax import runtime
runtime.start()
runtime.join_processes(f'localhost:{sys.argv[1]}', 2, int(sys.argv[2]))
import jax
import numpy as np
from bfjax import sharding
from bfjax.storage import checkpoint, digests, wholeness
import damages
workdir = pathlib.Path(sys.argv[3])
mine = jax.process_index()
rows = sharding.rows(sharding.make_mesh())
state = {'x': jax.make_array_from_callback(
  (64, 8), rows, lambda i: np.arange(512, dtype='f4').reshape(64, 8)[i])}
with checkpoint.open_manager(workdir) as manager:
  for step in (1, 2):
    checkpoint.save(manager, step, state, {}, {})
folder = wholeness.folder_of(workdir, 2)
assert (folder / f'state/ocdbt.process_{mine}/sha256sums').exists()
assert digests.problems(folder) == []
assert wholeness.last_whole_step(workdir) == 2
whole = digests.problems
# Only the second process sees the damage.
digests.problems = lambda folder, *share: whole(folder, *share) + (
  ['gone'] if mine and folder.name == '2' else [])
assert wholeness.last_whole_step(workdir) == 1
digests.problems = whole
with checkpoint.open_manager(workdir) as manager:
  assert manager.latest_step() == 1
  restored = checkpoint.restore(manager, 1, state)
for found, saved in zip(
    restored['x'].addressable_shards, state['x'].addressable_shards):
  np.testing.assert_array_equal(found.data, saved.data)
print('agreed')
"""


def test_all_processes_agree(tmp_path):
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  root = pathlib.Path(__file__).parents[1]
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', PROCESS, str(port), str(index), str(tmp_path)],
      env=os.environ
      | {'XLA_FLAGS': '', 'PYTHONPATH': f'{root}{os.pathsep}{root}/tests'},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in range(2)
  ]
  for process in processes:
    shown, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert 'agreed' in shown
  assert names(tmp_path) == ['1', '2.damaged']
