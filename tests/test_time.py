"""Where the time of a run goes, and what it does not wait for."""

import jax
import numpy as np
import pytest

from bfjax import errors
from bfjax.config import limits
from bfjax.logbook import late, spent, trace


@pytest.fixture
def sleep(monkeypatch):
  """Moves the clock on by so many seconds."""
  now = [0.0]
  monkeypatch.setattr(spent.time, 'monotonic', lambda: now[0])
  return lambda secs: now.__setitem__(0, now[0] + secs)


def test_all_time_is_on_one_thing(sleep):
  clock = spent.Spent()
  sleep(100)  # compiles
  clock.begin()

  def batches():
    for secs in (1, 2):
      sleep(secs)
      yield secs
    sleep(1)  # and there are no more

  for _ in clock.on_each('input', batches()):
    with clock.on('step'):
      sleep(1)
      with clock.on('checkpoint'):
        sleep(3)
      sleep(1)
    sleep(1)
  assert clock.lap() == {
    **{'secs': 16, 'input': 4 / 16, 'step': 4 / 16, 'evaluation': 0},
    **{'checkpoint': 6 / 16, 'rest': 2 / 16},
  }
  with clock.on('evaluation'):
    sleep(2)
    found = clock.lap()  # within
    sleep(5)
  assert (found['secs'], found['evaluation']) == (2, 1)
  assert clock.lap()['evaluation'] == 1


class Computed:
  """Stands for an array that is there at some time."""

  def __init__(self):
    self.is_there = False

  def copy_to_host_async(self):
    pass

  def is_ready(self):
    return self.is_there


def test_results_are_looked_at_in_order_and_none_too_late(monkeypatch):
  monkeypatch.setattr(late.jax, 'Array', Computed)
  looks, seen, arrays = late.Late(4), [], []
  for done in range(1, 9):
    arrays.append(Computed())
    looks.put(done, {'loss': arrays[-1]}, lambda done=done: seen.append(done))
    looks.keep_up(done)
  assert seen == [1, 2, 3, 4]  # waited for, so as not to go too far ahead
  arrays[6].is_there = True
  looks.keep_up(8)
  assert seen == [1, 2, 3, 4]  # 5 is not there
  arrays[4].is_there = True
  looks.keep_up(8)
  assert seen == [1, 2, 3, 4, 5]
  looks.settle(7)
  assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_a_trace_has_the_steps_that_were_asked_for(tmp_path):
  with trace.Trace(tmp_path, (2, 3)) as tracing:
    for done in range(1, 5):
      tracing.before(done)
      outcome = jax.numpy.arange(3) * done
      tracing.after(done, outcome)
      assert any(tmp_path.iterdir()) == (done >= 3)
  names = {path.name for path in tmp_path.rglob('*') if path.is_file()}
  assert 'perfetto_trace.json.gz' in names
  assert any(name.endswith('.xplane.pb') for name in names)


def test_a_run_that_asks_for_none_traces_nothing(tmp_path):
  with trace.Trace(tmp_path / 'profile', ()) as tracing:
    tracing.before(1)
    tracing.after(1, np.zeros(1))
  assert not (tmp_path / 'profile').exists()


@pytest.mark.parametrize('steps', [(3, 2), (0, 2), (2,), 5])
def test_other_spans_are_refused(steps):
  with pytest.raises(errors.UserError, match='the first and the last'):
    limits.check('profile_steps', steps)
  limits.check('profile_steps', (2, 2))
