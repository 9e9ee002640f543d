"""Lines of a run, its speed and the time that it still takes."""

import pytest

from bfjax.logbook import progress


@pytest.fixture
def sleep(monkeypatch):
  """Moves the clock on by so many seconds."""
  now = [0.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  return lambda secs: now.__setitem__(0, now[0] + secs)


@pytest.mark.parametrize('steps_per_epoch', [1, 7, 60, 99, 100, 101, 149, 301])
def test_no_line_is_of_few_steps_and_every_epoch_ends_with_one(steps_per_epoch):
  told = [
    done
    for done in range(1, 3 * steps_per_epoch + 1)
    if progress.is_told(done, steps_per_epoch, 100)
  ]
  assert set(told) >= {k * steps_per_epoch for k in (1, 2, 3)}
  stretches = {b - a for a, b in zip([0, *told], told, strict=False)}
  assert min(stretches) >= min(50, steps_per_epoch)
  assert max(stretches) <= 150


def test_the_first_estimate_leaves_compilation_out(sleep):
  clock = progress.Progress(0, progress.Plan(100, 100, 8))
  sleep(60)  # compiles
  clock.begin()
  sleep(20)
  assert clock.lap(10) == (4, 180)


def test_evaluations_count_as_often_as_they_are_to_come(sleep):
  plan = progress.Plan(70, 10, 4, eval_period=3, eval_images=60)
  clock = progress.Progress(0, plan)
  clock.begin()
  sleep(20)
  # Three evaluations to come: epochs 3, 6 and 7, of 60 images each, at 2/3 of
  # what an image takes in training, half a second.
  assert clock.lap(10)[1] == pytest.approx(120 + 3 * 20)
  sleep(1)  # a report
  clock.resume()
  sleep(40)
  assert clock.lap(30)[1] == pytest.approx(80 + 3 * 20 + 4 * 1)
  sleep(9)
  clock.note_evaluation(8)
  clock.resume()
  sleep(20)
  assert clock.lap(40)[1] == pytest.approx(60 + 2 * 8 + 3 * 1)


def test_a_resumed_run_counts_its_own_steps(sleep):
  clock = progress.Progress(90, progress.Plan(100, 10, 8))
  clock.begin()
  sleep(5)
  assert clock.lap(95) == (8, 5)


@pytest.mark.parametrize(
  ('done', 'left'), [(0, 3), (30, 3), (31, 2), (60, 2), (61, 1), (70, 1)]
)
def test_evaluations_left(done, left):
  plan = progress.Plan(70, 10, 4, eval_period=3, eval_images=60)
  assert plan.evaluations_left(done) == left
  assert plan._replace(eval_images=0).evaluations_left(done) == 0
