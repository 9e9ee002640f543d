"""Speed and time left of a run."""

import time


class Progress:
  """Counts the steps of this process and what they took.

  The first steps, which compile, count for the clock but not for the speed.
  """

  def __init__(self, first_step: int, last_step: int, images_per_step: int):
    self._last = last_step
    self._images = images_per_step
    self._since = (first_step, time.monotonic())
    self._training_secs = 0.0
    self._trained_steps = 0
    self._other_secs = 0.0
    self._warm = False

  def lap(self, step: int) -> tuple[float, float]:
    """Ends a stretch of training at `step`.

    Returns:
      (images a second over the stretch, seconds left of the whole run).
    """
    now = time.monotonic()
    step_before, before = self._since
    steps, secs = step - step_before, now - before
    self._since = (step, now)
    if self._warm:
      self._training_secs += secs
      self._trained_steps += steps
    self._warm = True
    known_steps = self._trained_steps or steps
    known_secs = self._training_secs if self._trained_steps else secs
    left = (self._last - step) * (known_secs + self._other_secs) / known_steps
    return steps * self._images / secs, left

  def resume_clock(self) -> None:
    """Starts the next stretch now; the time since the last goes to the rest.

    Called after an evaluation or a report, so that these do not lower the
    images a second but do count in the time left.
    """
    now = time.monotonic()
    self._other_secs += now - self._since[1]
    self._since = (self._since[0], now)


def clock(secs: float) -> str:
  """`h:mm:ss`, or `m:ss` below an hour."""
  minutes, secs = divmod(round(secs), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{secs:02}' if hours else f'{minutes}:{secs:02}'
