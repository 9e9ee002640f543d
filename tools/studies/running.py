"""Trainings one after the other in processes that share the cores out.

A small net gains little from a second core: two trainings at a time, a core
each, take less than one after the other on both.
"""

import collections
import json
import logging
import multiprocessing
import os
import pathlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection as connections
from typing import Any, NamedTuple

from bfjax import atomic, errors, runtime
from studies import outcomes

# In which a process that is told to stop may save its state.
_PATIENCE_SECS = 60


class Job(NamedTuple):
  """A run's config and its folder."""

  config: Any
  folder: pathlib.Path


def shares(cores: Sequence[int], jobs: int) -> list[set[int]]:
  """Deals the cores out to so many jobs.

  Raises:
    UserError: if there are not as many cores, or there is an accelerator,
      which is one job's.
  """
  if jobs > 1 and runtime.has_accelerator_plugin():
    raise errors.UserError(
      f'--jobs={jobs}, but JAX has a plug-in for accelerators here, which one'
      ' training has for itself: give --jobs=1, or set JAX_PLATFORMS=cpu.'
    )
  if not 1 <= jobs <= len(cores):
    raise errors.UserError(
      f'--jobs={jobs}: expected 1 to {len(cores)}, the cores there are.'
    )
  return [set(cores[i::jobs]) for i in range(jobs)]


def run_all(
  jobs: Sequence[Job],
  cores: Sequence[set[int]],
  done: Callable[[Job, str], None],
) -> None:
  """Runs jobs on each share of the cores, in order.

  A finished one has its scores in its folder, and one that failed its error;
  the others go on. What its process says is in `log.txt` there.

  Args:
    jobs: to run.
    cores: that each job at a time has for itself.
    done: called with every job that ends, and its error, '' if it finished.
  """
  waiting = collections.deque(jobs)
  workers = [_Worker(share) for share in cores[: len(jobs)]]
  busy = {}
  try:
    while waiting or busy:
      for worker in workers:
        if waiting and worker not in busy.values():
          worker.begin(waiting.popleft())
          busy[worker.connection] = worker
      for ready in connections.wait(list(busy)):
        worker = busy.pop(ready)
        error = worker.end()
        done(worker.job, error)
  finally:
    for worker in workers:
      worker.stop(worker in busy.values())


class _Worker:
  """A process that runs one job after the other; a new one if it dies."""

  def __init__(self, cores):
    self._cores = cores
    self._start()

  def _start(self):
    context = multiprocessing.get_context('spawn')
    self.connection, other = context.Pipe()
    self._process = context.Process(target=_work, args=(other, self._cores))
    self._process.start()
    other.close()  # so that its end is noticed

  def begin(self, job):
    self.job = job
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / outcomes.FAILED).unlink(missing_ok=True)
    self.connection.send(job)

  def end(self) -> str:
    try:
      error = self.connection.recv()
    except EOFError:
      self._process.join()
      error = (
        'Its process died with the exit status'
        f' {self._process.exitcode}; see {self.job.folder / "log.txt"}.'
      )
      self._start()
    if error:
      atomic.write_text(self.job.folder / outcomes.FAILED, error + '\n')
    return error

  def stop(self, is_busy):
    self.connection.close()
    if is_busy:
      self._process.terminate()  # it saves its state first
    self._process.join(_PATIENCE_SECS)
    if self._process.is_alive():
      self._process.kill()


def _work(connection, cores):
  """In a process of its own: jobs come in, errors go out."""
  os.sched_setaffinity(0, cores)  # before JAX counts them
  runtime.keep_memory()
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells when to stop
  threading.Thread(target=_end_with_parent, daemon=True).start()
  while True:
    try:
      job = connection.recv()
    except EOFError:
      return
    connection.send(_run(job))


def _end_with_parent():
  """A killed parent cannot tell: two of them would write to the same run."""
  multiprocessing.parent_process().join()
  os._exit(1)


def _run(job) -> str:
  """Trains, and says why it could not."""
  log = os.open(job.folder / 'log.txt', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
  for output in (1, 2):
    os.dup2(log, output)
  os.close(log)
  runtime.start(job.config.cache_dir)
  logging.basicConfig(
    format='%(asctime)s  %(message)s', datefmt='%H:%M:%S', level=logging.ERROR
  )
  logging.getLogger('bfjax').setLevel(logging.INFO)
  import jax

  from bfjax import training
  from bfjax.storage import diskerrors

  try:
    with diskerrors.writing_to(job.folder):
      scores = training.train_and_evaluate(job.config, job.folder)
      found = scores | last_of_training(job.folder)
      known = {k: v for k, v in found.items() if v is not None}
      text = json.dumps(known, indent=1, sort_keys=True)
      atomic.write_text(job.folder / outcomes.SCORES, text + '\n')
  except training.Preempted:
    sys.exit(1)
  except errors.UserError as error:
    print(error, file=sys.stderr)
    return str(error)
  except Exception as error:  # whatever it is, the other jobs go on
    traceback.print_exc()
    return f'{type(error).__name__}: {error}'
  finally:
    jax.clear_caches()
  return ''


def last_of_training(folder: pathlib.Path) -> dict[str, float]:
  """What the last line of training says: 'train/...'."""
  from bfjax import metrics

  lines = metrics.read_metrics(folder / 'metrics.jsonl')
  last = [line for line in lines if 'train/loss' in line][-1:]
  return {
    name: value
    for line in last
    for name, value in line.items()
    if name.startswith('train/')
  }
