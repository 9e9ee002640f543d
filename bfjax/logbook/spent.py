"""Where the time of a run goes."""

import collections
import contextlib
import time
from collections.abc import Iterable, Iterator

WHAT = 'input', 'step', 'evaluation', 'checkpoint', 'rest'


class Spent:
  """The time of the process, at each moment on one of `WHAT`.

  input: waiting for the next batch, and putting it on its way to the devices;
  step: handing steps to the devices, and waiting for them; evaluation and
  checkpoint: what training waits for of these; rest: all else, such as the
  logs. Devices that compute what they were handed before do not count as
  waiting: what is on 'input' stalls them only where 'step' is near zero.
  """

  def __init__(self):
    self.begin()

  def begin(self) -> None:
    """Starts anew, now."""
    self._secs = collections.Counter(dict.fromkeys(WHAT, 0.0))
    self._now, self._since = 'rest', time.monotonic()

  @contextlib.contextmanager
  def on(self, what: str) -> Iterator[None]:
    """The time of the body is on `what`."""
    before = self._turn(what)
    try:
      yield
    finally:
      self._turn(before)

  def on_each(self, what: str, items: Iterable) -> Iterator:
    """Yields the items; the time until each is there is on `what`."""
    items = iter(items)
    while True:
      with self.on(what):
        try:
          item = next(items)
        except StopIteration:
          return
      yield item

  def lap(self) -> dict[str, float]:
    """'secs' since the last lap or the beginning, and the share of each."""
    self._turn(self._now)
    secs, total = self._secs, sum(self._secs.values())
    self._secs = collections.Counter(dict.fromkeys(WHAT, 0.0))
    return {'secs': total} | {
      what: secs[what] / total if total else 0.0 for what in WHAT
    }

  def _turn(self, what):
    now = time.monotonic()
    self._secs[self._now] += now - self._since
    before, self._now, self._since = self._now, what, now
    return before
