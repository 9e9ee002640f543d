"""Runs a worker and watches it from outside, where nothing can break."""

import hashlib
import multiprocessing
import os
import pathlib
import signal
import tempfile
import time
from typing import NamedTuple

import tqdm

from bfjax import errors
from fuzzing import worker

_POLL_SECS = 0.2
_MIB = 1 << 20
_MAX_FINDINGS = 20
_LOG_BYTES = 4000


class Finding(NamedTuple):
  """An input that a reader neither took nor refused as it should.

  Attributes:
    number: of the input.
    what: how the process ended, and the end of what it said.
    path: of the input.
  """

  number: int
  what: str
  path: str


class Report(NamedTuple):
  """What came of trying a reader.

  Attributes:
    target: its name.
    engine: what made the inputs.
    inputs: how many there were.
    taken: how many it took for good.
    refused: how many it refused, with a message.
    growth_mib: by how much the process grew after it had warmed up.
    peak_mib: the most memory it had.
    secs: how long it took.
    findings: the others.
  """

  target: str
  engine: str
  inputs: int
  taken: int
  refused: int
  growth_mib: float
  peak_mib: float
  secs: float
  findings: tuple[Finding, ...]


def run(  # noqa: PLR0913
  target: str,
  *,
  count: int,
  seed: int,
  out: pathlib.Path,
  engine: str = 'mutate',
  time_limit_secs: float = 20.0,
  growth_limit_mib: float = 300.0,
  warm_up_inputs: int = 2000,
  progress: bool = True,
) -> Report:
  """Tries a reader on `count` inputs.

  After an input that ends the process or takes longer than the limit, a new
  process goes on with the next one. One that has grown ends the trial.

  Args:
    target: see `worker.run`.
    count: how many inputs.
    seed: names them.
    out: the folder that such inputs are kept in; made when there is one.
    engine: one of `worker.ENGINES`.
    time_limit_secs: for one input, on the clock.
    growth_limit_mib: of the memory of the process, over all inputs.
    warm_up_inputs: after so many, memory is that which it has to have.
    progress: whether to show a progress bar, with the time left.

  Raises:
    UserError: if there is no such engine, or what it needs is not installed.
  """
  errors.choose('engine', engine, dict.fromkeys(worker.ENGINES))
  started = time.monotonic()
  findings = []
  totals = [0, 0]
  peak = growth = first = 0
  with (
    tempfile.TemporaryDirectory(prefix='bfjax-fuzz-') as folder,
    tqdm.tqdm(
      total=count, desc=target, unit='input', disable=not progress
    ) as bar,
  ):
    while first < count and len(findings) < _MAX_FINDINGS:
      process = _Process(target, engine, seed, first, count, folder)
      limits = (time_limit_secs, growth_limit_mib, warm_up_inputs)
      watched = process.watch(bar, *limits)
      totals = [totals[0] + process.taken, totals[1] + process.refused]
      peak, growth = max(peak, process.peak), max(growth, process.growth)
      if not watched:
        break
      findings.append(process.keep(watched, out))
      first = process.number + 1
      if growth > growth_limit_mib * _MIB:
        break  # no one input does it
  return Report(
    target,
    engine,
    sum(totals) + len(findings),
    *totals,
    round(growth / _MIB, 1),
    round(peak / _MIB, 1),
    round(time.monotonic() - started, 1),
    tuple(findings),
  )


class _Process:
  """A worker and what is known about it."""

  def __init__(self, target, engine, seed, first, last, folder):
    self._target, self._last, self._folder = target, last, folder
    self._state = pathlib.Path(folder, 'state')
    self._state.write_bytes(bytes(worker.STATE_BYTES))
    with self._state.open('r+b') as file:
      file.write(first.to_bytes(8, 'little'))
    context = multiprocessing.get_context('spawn')
    self._process = context.Process(
      target=worker.run,
      args=(target, engine, seed, first, last, str(self._state), folder),
      daemon=True,
    )
    self._process.start()
    self._first = self.number = first
    self.taken = self.refused = self.begun = self.peak = self.growth = 0

  def watch(self, bar, time_limit_secs, growth_limit_mib, warm_up_inputs):
    """Waits for its end; returns what is wrong, '' if nothing is."""
    problem = ''
    moved = time.monotonic()
    base = None
    while self._process.is_alive() and not problem:
      self._process.join(_POLL_SECS)
      before = self.number
      self._read()
      bar.update(self.number - before)
      now = time.monotonic()
      if self.number > before or not self.begun:
        moved = now
      resident = self._resident()
      if base is None and self.number - self._first >= warm_up_inputs:
        base = resident
      if base and resident:
        self.growth = max(self.growth, resident - base)
      if now - moved > time_limit_secs:
        problem = f'it takes longer than {time_limit_secs:g} s'
      elif self.growth > growth_limit_mib * _MIB:
        problem = f'memory has grown by {self.growth / _MIB:.0f} MiB'
    self._process.kill()
    self._process.join()
    self._read()
    if not problem and self._process.exitcode:
      problem = self._ending()
    bar.update(self.number - bar.n)
    return problem

  def _read(self):
    with self._state.open('rb') as file:
      head = file.read(worker.START)
    for name, place in (
      ('number', worker.NUMBER),
      ('taken', worker.TAKEN),
      ('refused', worker.REFUSED),
      ('begun', worker.BEGUN),
    ):
      setattr(self, name, int.from_bytes(head[place : place + 8], 'little'))

  def _resident(self):
    try:
      with open(f'/proc/{self._process.pid}/statm') as file:
        resident = int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except (OSError, IndexError):
      return None  # it has just ended
    self.peak = max(self.peak, resident)
    return resident

  def _ending(self):
    code = self._process.exitcode
    how = signal.Signals(-code).name if code < 0 else f'exit status {code}'
    log = pathlib.Path(self._folder, 'log').read_bytes()[-_LOG_BYTES:]
    text = log.decode('utf-8', 'backslashreplace')
    if not self.begun and 'ModuleNotFoundError' in text:
      raise errors.UserError(
        f'The engine cannot be used here: {text.strip().splitlines()[-1]}.'
      )
    return f'the process ends: {how}\n{text}'

  def keep(self, problem, out) -> Finding:
    """Writes the present input to a file."""
    state = self._state.read_bytes()
    place = worker.LENGTH
    length = int.from_bytes(state[place : place + 8], 'little')
    data = state[worker.START : worker.START + length]
    name = (
      f'{self._target.rpartition(":")[2]}-{hashlib.sha256(data).hexdigest()}'
    )
    out.mkdir(parents=True, exist_ok=True)
    path = out / name[:24]
    path.write_bytes(data)
    return Finding(self.number, problem, str(path))
