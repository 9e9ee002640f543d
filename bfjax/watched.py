"""A process of several, as the child of one that tells how it ends.

When one process of a run dies, JAX ends the others by signal 6, with a page of
stack and from a thread of its own: nothing in them can prevent it. So each has
a small parent, without JAX, that says in one message what has happened.
"""

import collections
import contextlib
import ctypes
import logging
import os
import re
import signal
import sys
import threading

LOST = 3  # the exit status where another process has stopped
_FORWARDED = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
_PR_SET_PDEATHSIG = 1  # of Linux's prctl

# What JAX, Gloo and gRPC write when a peer goes, from the first such line on.
_OF_SERVICE = re.compile(
  rb'coordination_service|preemption_sync_manager|distributed service'
)
_CHATTER = b'[Gloo]'
_ENDED_BY_JAX = 'distributed service detected fatal errors'
_SILENT = re.compile(r'heartbeats\):\n((?:.*\d\n)+)')
_KEPT_LINES = 1000

_is_child = False


def begin(name: str) -> None:
  """Goes on in a child; this process waits for it, and ends as it does.

  What the child's Python writes goes where it went; what libraries write by
  themselves comes by the parent, which holds back what they say of lost peers.
  Signals are passed on, and the child dies with its parent. Call it before JAX
  is loaded; it returns in the child alone.

  Args:
    name: of the command, for messages.

  Raises:
    SystemExit: in the parent: the child's status; `LOST` where JAX has ended it
      because of another process; 128 + n where signal n has.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  reads, writes = os.pipe()
  child = os.fork()
  if not child:
    os.close(reads)
    _become_child(writes)
    return
  os.close(writes)

  def forward(number, frame):
    del frame
    with contextlib.suppress(ProcessLookupError):
      os.kill(child, number)

  for number in _FORWARDED:
    signal.signal(number, forward)
  held = collections.deque(maxlen=_KEPT_LINES)
  relay = threading.Thread(target=_relay, args=(reads, held), daemon=True)
  relay.start()
  status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
  relay.join(timeout=5)  # what the child has started may hold the pipe
  if status >= 0:
    sys.exit(status)
  said = b''.join(held).decode(errors='replace')
  if status == -signal.SIGABRT and _ENDED_BY_JAX in said:
    print(f'{name}: {_lost(said)}', file=sys.stderr)
    sys.exit(LOST)
  sys.stderr.write(said)
  print(
    f'{name}: ended by signal {-status} ({signal.strsignal(-status)}).'
    + ' The system does so where memory runs out.' * (status == -9),
    file=sys.stderr,
  )
  sys.exit(128 - status)


def leave(status: int) -> None:
  """Exits at once where the others are not to be waited for.

  Elsewhere as `sys.exit`.
  """
  if _is_child:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
  sys.exit(status)


def _become_child(writes: int) -> None:
  global _is_child
  _is_child = True
  # Ctrl-C reaches the group of the terminal: the parent, which passes it on.
  os.setpgid(0, 0)
  parent = os.getppid()
  prctl = getattr(ctypes.CDLL(None), 'prctl', None)
  if prctl:
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
  if os.getppid() != parent:
    os._exit(1)
  for name in ('stdout', 'stderr'):
    old = getattr(sys, name)
    new = os.fdopen(
      os.dup(old.fileno()),
      *('w', 1),
      encoding=old.encoding,
      errors=old.errors,
    )
    os.dup2(writes, old.fileno())
    setattr(sys, name, new)
  for handler in logging.getLogger('bfjax').handlers:
    if isinstance(handler, logging.StreamHandler):
      handler.setStream(sys.stderr)
  show = sys.excepthook

  def show_and_leave(*exception):
    show(*exception)
    leave(1)

  sys.excepthook = show_and_leave


def _relay(reads: int, held: collections.deque) -> None:
  """Passes lines on to standard error, but for those that are held back."""
  with open(reads, 'rb') as lines:
    for line in lines:
      if held or _OF_SERVICE.search(line):
        held.append(line)
      elif not line.startswith(_CHATTER):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()


def _lost(said: str) -> str:
  """What has happened, from what JAX said of it."""
  if 'RegisterTask' in said:
    return (
      'the processes of this run have not found each other. Start the same'
      ' command on every host, with the same --coordinator and --num_processes'
      ' and each with its own --process_id; that address must be open.'
    )
  silent = _SILENT.search(said)
  numbers = re.findall(r'(\d+)$', silent[1], re.MULTILINE) if silent else ['0']
  which = 'process ' if len(numbers) == 1 else 'processes '
  return (
    f'lost {which}{", ".join(numbers)} of this run: ended, or out of reach (see'
    ' what was said there last). So this one has stopped; the same command on'
    ' every host goes on from the last checkpoint.'
  )
