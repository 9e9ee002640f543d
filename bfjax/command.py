"""How commands read their arguments, and how they end: message and status."""

import argparse
import ast
import os
import sys
from collections.abc import Callable

from absl import logging as absl_logging

from bfjax import errors, runtime, watched

# Set by a shell that wants to know what can follow on the command line.
COMPLETING = '_ARGCOMPLETE'


class Parser(argparse.ArgumentParser):
  """A parser whose help begins with a text as it is, and that completes.

  Asked by a shell what can follow, it answers that and ends the process.
  """

  def __init__(self, description: str = '', **options):
    """Takes the text, usually the docstring of the command's module.

    Args:
      description: of the command.
      **options: of `argparse.ArgumentParser`.
    """
    super().__init__(
      description=description,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      **options,
    )

  def parse_args(self, args=None, namespace=None):
    """Reads the arguments, as `argparse.ArgumentParser` does."""
    self.complete()
    return super().parse_args(args, namespace)

  def complete(self) -> None:
    """Answers a shell that asks what can follow, and ends the process then."""
    if COMPLETING in os.environ:
      import argcomplete

      argcomplete.autocomplete(self, always_complete_options='long')


def key_value(given: str) -> tuple[str, object]:
  """'key=value'; the value a Python literal, or else text.

  Raises:
    UserError: if it is not of that form.
  """
  key, equals, value = given.partition('=')
  if not equals:
    raise errors.UserError(f'{given}: expected KEY=VALUE.')
  try:
    return key, ast.literal_eval(value)
  except (ValueError, SyntaxError):
    return key, value


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
