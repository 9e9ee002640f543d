"""How the commands end: with a message and an exit status."""

import os
import sys
from collections.abc import Callable

from absl import logging as absl_logging

from bfjax import errors, runtime, watched


def run(name: str, job: Callable[[], object]) -> None:
  """Runs `job` as the command `name` and exits.

  The status is 0; 2 with the message of a `UserError` on standard error, and
  no stack trace; 130 after Ctrl-C; see `watched` for a process of several.
  Libraries log errors alone.
  """
  absl_logging.set_verbosity(absl_logging.ERROR)
  runtime.silence_tensorflow()
  try:
    job()
  except errors.UserError as error:
    print(f'{name}: {error}', file=sys.stderr)
    watched.leave(2)
  except KeyboardInterrupt:
    print(f'{name}: stopped.', file=sys.stderr)
    watched.leave(130)
  except BrokenPipeError:  # the reader, such as `head`, has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)
