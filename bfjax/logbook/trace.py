"""A trace of some steps, for XProf and Perfetto."""

import logging
import pathlib
from collections.abc import Sequence

import jax

_log = logging.getLogger(__name__)


class Trace:
  """Traces the updates from the first to the last of a pair, once.

  As a context, it ends a trace that is still open. Only the first process
  traces.
  """

  def __init__(self, folder: pathlib.Path, steps: Sequence[int]):
    """Takes the folder, and (first, last) or nothing at all."""
    self._folder = folder
    writes = jax.process_index() == 0
    self._steps: Sequence[int] = ()
    if steps and writes:
      self._steps = range(steps[0], steps[1] + 1)
    self._is_open = False

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._close()

  def before(self, done: int) -> None:
    """Called before update `done` (from 1) is handed to the devices."""
    if done in self._steps and not self._is_open:
      jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
      self._is_open = True

  def after(self, done: int, outcome) -> None:
    """Called after it, with arrays that it computes."""
    if self._is_open and done == self._steps[-1]:
      jax.block_until_ready(outcome)
      self._close()

  def _close(self):
    if self._is_open:
      jax.profiler.stop_trace()
      self._is_open = False
      _log.info('Trace of steps %d to %d: %s', *self._span(), self._folder)

  def _span(self):
    return self._steps[0], self._steps[-1]
