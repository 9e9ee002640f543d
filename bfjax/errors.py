"""The one exception for whatever a user can put right."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


class UserError(Exception):
  """Bad input: says what was given, what was expected and what to do.

  `bfjax.main` and the tools print its message, without a stack trace, and
  exit with status 2.
  """


@contextlib.contextmanager
def writing_to(
  folder: str | os.PathLike,
  remedy: str = '',
  also: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
  """Makes a full disk, or a folder that is read-only, one message.

  Args:
    folder: that the body writes to; errors of files elsewhere pass.
    remedy: sentences at the end of the message.
    also: what libraries raise in place of OSError.

  Raises:
    UserError: where the body raises one of these.
  """
  try:
    yield
  except (OSError, *also) as error:
    path = pathlib.Path(getattr(error, 'filename', None) or folder)
    if not path.is_relative_to(folder):
      raise
    reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
    raise UserError(
      f'Cannot write to {folder}: {reason}. {remedy}'.rstrip()
    ) from error


def choose(kind: str, name: str, choices):
  """Returns `choices[name]`.

  Args:
    kind: what is being chosen, for the message: 'margin', 'rule', ...
    name: the name given.
    choices: a mapping from names to values.

  Raises:
    UserError: if there is no such name; the message lists those there are.
  """
  if name not in choices:
    raise UserError(
      f'No {kind} called {name!r}. There are: {", ".join(sorted(choices))}.'
    )
  return choices[name]
