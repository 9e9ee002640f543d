"""When a run tells where it is, how fast it is, and how long it will take."""

import time
from typing import NamedTuple

# Passes through the network, a backward one for two: of an image evaluated
# (its mirror image is one) in those of an image trained on.
_PASSES_EVALUATED = 2 / 3


def is_told(done: int, steps_per_epoch: int, every_steps: int) -> bool:
  """Whether a line is written after update `done` (from 1).

  It is after every `every_steps` of an epoch and at its end, but not so close
  before the end that the last line of the epoch would be of fewer steps than
  half of `every_steps`.
  """
  step = (done - 1) % steps_per_epoch + 1
  left = steps_per_epoch - step
  return not left or (step % every_steps == 0 and 2 * left >= every_steps)


class Plan(NamedTuple):
  """What a run is to do.

  Attributes:
    total_steps: updates.
    steps_per_epoch: of them.
    images_per_step: that are trained on.
    eval_period: epochs from an evaluation to the next; the last epoch has one.
    eval_images: that an evaluation embeds; 0: there is no evaluation.
  """

  total_steps: int
  steps_per_epoch: int
  images_per_step: int
  eval_period: int = 1
  eval_images: int = 0

  def evaluations_left(self, done: int) -> int:
    """How many are to come once update `done` is made, that at `done` too."""
    if not self.eval_images:
      return 0
    epochs = -(-self.total_steps // self.steps_per_epoch)
    now = max(done - 1, 0) // self.steps_per_epoch + 1
    return sum(
      epoch % self.eval_period == 0 or epoch == epochs
      for epoch in range(now, epochs + 1)
    )


class Progress:
  """The clock of one process: images a second, and the time that is left.

  The time that the first step takes to compile counts for neither. Of the
  time left, training, evaluations and what else ends an epoch are each as they
  have been so far; an evaluation, before the first, is guessed from its images.
  """

  def __init__(self, first_step: int, plan: Plan):
    """Goes on from a step; `begin` starts the clock."""
    self._plan = plan
    self._step, self._since = first_step, time.monotonic()
    self._trained_steps, self._training_secs = 0, 0.0
    self._eval_secs: float | None = None  # of the quickest: the first compiles
    self._ends, self._ending_secs = 0, 0.0  # of epochs, less evaluations

  def begin(self) -> None:
    """Starts the clock; called once the first step is compiled."""
    self._since = time.monotonic()

  def lap(self, step: int) -> tuple[float, float]:
    """Ends a stretch of training at `step`.

    Returns:
      (images a second over the stretch, seconds left of the whole run).
    """
    steps, secs = step - self._step, self._restart()
    self._step = step
    self._trained_steps += steps
    self._training_secs += secs
    return steps * self._plan.images_per_step / secs, self._secs_left()

  def note_evaluation(self, secs: float) -> None:
    """Tells that so much of the time since the last lap was an evaluation."""
    self._since += secs
    self._eval_secs = min(secs, self._eval_secs or secs)

  def resume(self) -> None:
    """Starts the next stretch now, after all that ends an epoch."""
    self._ends += 1
    self._ending_secs += self._restart()

  def _restart(self):
    """Starts a stretch, and returns the seconds of the one before."""
    before, self._since = self._since, time.monotonic()
    return self._since - before

  def _secs_left(self):
    plan, steps_left = self._plan, self._plan.total_steps - self._step
    step_secs = self._training_secs / self._trained_steps
    eval_secs = self._eval_secs
    if eval_secs is None:
      image_secs = step_secs / plan.images_per_step
      eval_secs = _PASSES_EVALUATED * plan.eval_images * image_secs
    end_secs = self._ending_secs / max(self._ends, 1)
    return (
      steps_left * step_secs
      + plan.evaluations_left(self._step) * eval_secs
      + steps_left / plan.steps_per_epoch * end_secs
    )


def clock(secs: float) -> str:
  """`h:mm:ss`, or `m:ss` below an hour."""
  minutes, secs = divmod(round(secs), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{secs:02}' if hours else f'{minutes}:{secs:02}'
