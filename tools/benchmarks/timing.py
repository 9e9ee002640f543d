"""Side by side timing on a machine that others use too.

Candidates are called in turn, one call of each per repeat, so that a slow
minute of the machine falls on all of them; every number is a median.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

try:
  import psutil
except ModuleNotFoundError:  # a machine that has no more than the part `gpu`
  psutil = None


class Row(NamedTuple):
  """One line of the table: the same work done by two programs.

  Attributes:
    what: the work, with its sizes: 'IR-50 training step, batch 16'.
    ours: what this project uses for it, in words.
    theirs: what it is compared with, in words; '' if with nothing.
    ours_secs: seconds of each repeat, or bytes where `unit` is 'B'.
    theirs_secs: likewise, of the same repeats; empty if with nothing.
    goal: what is aimed at, in words: 'at least 8'.
    note: what the reader should know beside it.
    unit: 's' (printed as s, ms or us) or 'B' (printed as kB, MB or GB).
  """

  what: str
  ours: str
  theirs: str
  ours_secs: Sequence[float]
  theirs_secs: Sequence[float]
  goal: str
  note: str = ''
  unit: str = 's'

  @property
  def ratios(self) -> list[float]:
    """theirs / ours of every repeat: over 1 where ours is faster.

    The two of a repeat ran next to each other, so that their ratio is freer
    of the machine's ups and downs than the ratio of the two medians.
    """
    return [
      theirs / ours
      for ours, theirs in zip(self.ours_secs, self.theirs_secs, strict=False)
    ]

  @property
  def ratio(self) -> float:
    """The median of `ratios`; NaN where there is nothing to compare with."""
    return statistics.median(self.ratios) if self.ratios else float('nan')


def interleaved(
  candidates: Mapping[str, Callable[[], object]],
  repeats: int = 5,
  warmup: int = 1,
  what: str = '',
) -> dict[str, list[float]]:
  """Times the candidates in turn: one call of each, `repeats` times.

  Results that hold JAX arrays are waited for within the measured time.

  Args:
    candidates: name -> function of no arguments that does the work once.
    repeats: measured calls of each.
    warmup: calls of each before them, for compilation and caches.
    what: the line of the table, to be told; '' to be silent.

  Returns:
    name -> the wall-clock seconds of its calls, in order.
  """
  for _ in range(warmup):
    for name, call in candidates.items():
      tell(what and f'{what}: {name} warms up')
      _wait(call())
  secs = {name: [] for name in candidates}
  for repeat in range(1, repeats + 1):
    tell(what and f'{what}: {repeat} of {repeats}')
    for name, call in candidates.items():
      start = time.perf_counter()
      _wait(call())
      secs[name].append(time.perf_counter() - start)
  return secs


def tell(what: str) -> None:
  """Says on standard error what is being measured; '' is not said."""
  if what:
    print(f'  {what} ...', file=sys.stderr, flush=True)


class Apart:
  """Calls that are made in a process of their own, as a user would make them.

  Two frameworks in one process disturb each other: threads of the one spin
  while the other works, and both share an allocator whose habits the first
  large arrays set.
  """

  def __init__(self, make: Callable, *arguments):
    """Starts the process.

    Args:
      make: a function at the top of a module, returns name -> function of no
        arguments; called in the new process.
      *arguments: of `make`.
    """
    context = multiprocessing.get_context('spawn')
    self._pipe, end = context.Pipe()
    self._process = context.Process(target=_serve, args=(end, make, arguments))
    self._process.start()

  def call(self, name: str) -> Callable[[], None]:
    """Returns a function that has the call `name` made and waits for it."""

    def remote():
      self._pipe.send(name)
      self._pipe.recv()

    return remote

  def close(self) -> None:
    """Ends the process."""
    self._pipe.send(None)
    self._process.join()


def _serve(pipe, make, arguments):
  calls = make(*arguments)
  while (name := pipe.recv()) is not None:
    _wait(calls[name]())
    pipe.send(name)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
  """The lower quartile, the median and the upper quartile, interpolated."""
  if len(values) == 1:
    return values[0], values[0], values[0]
  low, middle, high = statistics.quantiles(values, n=4, method='inclusive')
  return low, middle, high


def load_of_others() -> float:
  """The share of the machine's CPU time that other processes have taken.

  It is measured since the last call, or since this module was imported:
  (busy time of all CPUs - time of this process and of its children) / (time
  of all CPUs), 0 to 1. Call it once before a run and once after it. Over
  less than some tenths of a second it is coarse. NaN without psutil.
  """
  global _last_times
  if psutil is None:
    return float('nan')
  now = _cpu_times()
  busy, own, total = (b - a for a, b in zip(_last_times, now, strict=True))
  _last_times = now
  return min(max((busy - own) / total, 0.0), 1.0) if total > 0 else 0.0


def _wait(result: object) -> None:
  # JAX returns before the work is done; a program without it need not load it.
  if 'jax' in sys.modules:
    sys.modules['jax'].block_until_ready(result)


def _cpu_times() -> tuple[float, float, float]:
  """CPU seconds so far: busy, of these this process and children; and all."""
  times = psutil.cpu_times()
  idle = times.idle + getattr(times, 'iowait', 0.0)
  # Linux counts a guest's time in user time as well: leave it out once.
  total = sum(times) - getattr(times, 'guest', 0.0)
  total -= getattr(times, 'guest_nice', 0.0)
  return total - idle, _own_secs(), total


def _own_secs() -> float:
  process = psutil.Process()
  times = process.cpu_times()
  own = times.user + times.system + times.children_user + times.children_system
  for child in process.children(recursive=True):
    try:
      times = child.cpu_times()
    except psutil.NoSuchProcess:  # ended meanwhile: counted by its parent
      continue
    own += times.user + times.system
  return own


_last_times = _cpu_times() if psutil else (0.0, 0.0, 0.0)
