"""Words that the processes of a run exchange, by way of the coordinator.

No device takes part, so whoever is slow is waited for: a collective over Gloo
gives up after half a minute.
"""

import contextlib
import itertools
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax._src import distributed  # its client is public nowhere

from bfjax import errors, runtime

_log = logging.getLogger(__name__)
_numbers = itertools.count()
_POLL_SECS = 0.05, 1.0  # at first, and at last
_TOLD_AFTER_SECS, _TOLD_EVERY_SECS = 10, 60


def exchange(what: str, word: Any = None) -> list:
  """Returns the words of all processes, by process, once all have come here.

  All call it as often, in the same order. Whoever is late is told of after ten
  seconds and then every minute, by the first of those that wait.

  Args:
    what: that each process has done on arriving, as 'compiled the step'.
    word: of this process, a JSON value of few bytes.
  """
  count, mine = jax.process_count(), jax.process_index()
  if count == 1:
    return [word]
  client: Any = distributed.global_state.client
  number = next(_numbers)
  place = f'bfjax/{number}/'
  client.key_value_set(f'{place}{mine}', json.dumps(word))
  began, told, pause = time.monotonic(), 0, _POLL_SECS[0]
  while len(found := dict(client.key_value_dir_get(place))) < count:
    time.sleep(pause)
    pause = min(1.5 * pause, _POLL_SECS[1])
    waited = time.monotonic() - began
    if waited >= _TOLD_AFTER_SECS + told * _TOLD_EVERY_SECS:
      told += 1
      there = {int(key.removeprefix(place)) for key in found}
      if mine == min(there):
        late = sorted(set(range(count)) - there)
        _log.warning(
          'Waiting for process%s %s to have %s (%d s so far).',
          *('es' * (len(late) > 1), ', '.join(map(str, late)), what, waited),
        )
  # All have read the words before, or they would not be here.
  if number:
    client.key_value_delete(f'bfjax/{number - 1}/{mine}')
  return [json.loads(found[f'{place}{i}']) for i in range(count)]


@contextlib.contextmanager
def giving_time_to_tell() -> Iterator[None]:
  """Where a computation fails because a peer is gone, lets JAX say which.

  The computation fails at once; which process is gone the coordinator knows a
  little later, and ends this one then (see `watched`). What has failed for
  another reason is raised as it is, later.
  """
  try:
    yield
  except (RuntimeError, ValueError, errors.UserError) as error:
    if jax.process_count() > 1 and _is_of_devices(error):
      time.sleep(1.5 * runtime.HEARTBEAT_SECS)
    raise


def _is_of_devices(error: BaseException | None) -> bool:
  while error is not None:
    if isinstance(error, jax.errors.JaxRuntimeError):
      return True
    error = error.__cause__ or error.__context__
  return False
