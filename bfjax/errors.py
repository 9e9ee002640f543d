"""The one exception for whatever a user can put right."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
  """Bad input: says what was given, what was expected and what to do.

  `bfjax.main` and the tools print its message, without a stack trace, and
  exit with status 2.
  """


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
      f'No {kind} called {name!r}. There are:'
      f' {", ".join(sorted(choices)) or "none"}.' + did_you_mean(name, choices)
    )
  return choices[name]


def did_you_mean(name: str, choices: Iterable[str]) -> str:
  """' Did you mean ...?' with the most similar of the names; '' if none is."""
  near = difflib.get_close_matches(str(name), map(str, choices), n=2)
  return f' Did you mean {" or ".join(map(repr, near))}?' if near else ''
