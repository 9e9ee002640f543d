import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from bfjax import errors, sharding
from bfjax.storage import checkpoint

CLASSES = 11


def state_on(num_devices, value):
  """A state whose centres are padded to the devices."""
  mesh = sharding.make_mesh(jax.devices()[:num_devices])
  centres = np.zeros((sharding.pad_to(CLASSES, mesh), 3), np.float32)
  centres[:CLASSES] = value * np.arange(CLASSES * 3).reshape(CLASSES, 3)
  return {
    'centres': jax.device_put(centres, sharding.rows(mesh)),
    'step': jax.device_put(jnp.int32(value), sharding.replicated(mesh)),
  }


@pytest.mark.parametrize('num_devices', [1, 2, 4, 8])
def test_a_checkpoint_of_8_devices_restores_on_any_number(
  tmp_path, num_devices
):
  with checkpoint.open_manager(tmp_path) as manager:
    checkpoint.save(manager, 5, state_on(8, 5), {}, {})
  like = state_on(num_devices, 0)
  with checkpoint.open_manager(tmp_path) as manager:
    restored = checkpoint.restore(manager, 5, like)
  assert isinstance(restored['centres'].sharding, NamedSharding)
  assert restored['centres'].sharding == like['centres'].sharding
  assert restored['step'] == 5
  np.testing.assert_array_equal(
    np.asarray(restored['centres'])[:CLASSES],
    np.asarray(state_on(1, 5)['centres'])[:CLASSES],
  )


def test_a_state_of_another_version_is_refused_with_all_that_differs(tmp_path):
  state = state_on(1, 5)
  with checkpoint.open_manager(tmp_path) as manager:
    checkpoint.save(manager, 5, {**state, 'old': {'t': state['step']}}, {}, {})
    checkpoint.wait(manager)
    other = {
      **state,
      'centres': state['centres'][:, :2],
      'past': {'times': state['step']},
      'old': {},
    }
    with pytest.raises(errors.UserError) as caught:
      checkpoint.restore(manager, 5, other)
  first, *lines = str(caught.value).splitlines()
  assert 'step 5' in first and 'another version' in first
  assert lines == [
    '  centres: (11, 3), expected (11, 2)',
    '  old/t: (), expected nothing of this name',
    '  past/times: not there, expected ()',
  ]


def test_the_latest_and_the_best_are_kept(tmp_path):
  with checkpoint.open_manager(
    tmp_path, max_to_keep=2, best_metric='lfw'
  ) as manager:
    for step, score in enumerate([0.5, 0.9, 0.7, 0.8, 0.6], 1):
      checkpoint.save(manager, step, state_on(1, step), {}, {'lfw': score})
  with checkpoint.open_manager(tmp_path, best_metric='lfw') as manager:
    assert sorted(manager.all_steps()) == [2, 4, 5]
    assert manager.best_step() == 2


def test_a_save_cut_short_does_not_count(tmp_path):
  with checkpoint.open_manager(tmp_path) as manager:
    for step in (1, 2):
      checkpoint.save(manager, step, state_on(1, step), {}, {})
  folder = tmp_path / 'checkpoints'
  # What a kill during the save of step 3 leaves.
  (folder / '3.orbax-checkpoint-tmp').mkdir()
  (folder / '3.orbax-checkpoint-tmp' / 'state').write_text('half')
  with checkpoint.open_manager(tmp_path) as manager:
    assert manager.latest_step() == 2
    assert checkpoint.restore(manager, 2, state_on(1, 0))['step'] == 2
    checkpoint.save(manager, 3, state_on(1, 3), {}, {})
  with checkpoint.open_manager(tmp_path) as manager:
    assert manager.latest_step() == 3


def test_another_run_is_refused_and_both_values_named(tmp_path):
  record = {'fixed': {'number of classes': 10, 'depth': 50}, 'free': {'lr': 1}}
  checkpoint.claim_workdir(tmp_path, record)
  checkpoint.claim_workdir(tmp_path, record)
  other = {'fixed': {'number of classes': 12, 'depth': 50}, 'free': {'lr': 1}}
  with pytest.raises(
    errors.UserError, match='number of classes was 10, now 12'
  ):
    checkpoint.claim_workdir(tmp_path, other)
  assert json.loads((tmp_path / 'run.json').read_text()) == record


def test_what_may_change_is_only_told(tmp_path, caplog):
  checkpoint.claim_workdir(tmp_path, {'fixed': {}, 'free': {'lr': 1}})
  checkpoint.claim_workdir(tmp_path, {'fixed': {}, 'free': {'lr': 2}})
  assert 'lr was 1, now 2' in caplog.text


def test_a_workdir_of_something_else_is_not_taken(tmp_path):
  (tmp_path / 'checkpoints').mkdir()
  (tmp_path / 'checkpoints' / '7').mkdir()
  with pytest.raises(errors.UserError, match=r'no run\.json'):
    checkpoint.claim_workdir(tmp_path, {'fixed': {}, 'free': {}})
