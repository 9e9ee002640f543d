"""Parts that are found by their file name: backbones, sources, benchmarks.

Such a part is a module of a package with a function `build(**options)`.
Adding one is adding a file.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping

from bfjax import declared, errors


def names(package: str) -> list[str]:
  """The parts in a package such as 'bfjax.backbones': its modules."""
  found = pkgutil.iter_modules([str(declared.folder(package))])
  return sorted(module.name for module in found if not module.ispkg)


def options(
  kind: str, package: str, name: str
) -> Mapping[str, inspect.Parameter]:
  """The parameters of `build` in the part called `name`.

  They are read from its text, see `declared.parameters`; nothing is imported.

  Raises:
    UserError: if there is no such part; the message lists those there are.
  """
  errors.choose(kind, name, dict.fromkeys(names(package)))
  return declared.parameters(f'{package}.{name}', 'build')


def check(kind: str, package: str, name: str, given: Mapping) -> None:
  """Refuses a part that is not there and options that do not fit it.

  Args:
    kind: what it is, for messages: 'backbone', 'source', 'benchmark'.
    package: where such parts are.
    name: of the part.
    given: its options.

  Raises:
    UserError: if there is no such part, it has no such option, or an option
      without a default is missing; the message lists those there are.
  """
  known = options(kind, package, name)
  for option in given:
    errors.choose(f'option of the {kind} {name!r}', option, known)
  for option, parameter in known.items():
    if parameter.default is parameter.empty and option not in given:
      raise errors.UserError(
        f'The {kind} {name!r} needs the option {option!r}. Its options:'
        f' {", ".join(known)}.'
      )


def build(kind: str, package: str, name: str, /, **given):
  """Returns what `build(**given)` of the part called `name` does.

  Raises:
    UserError: as `check`.
  """
  check(kind, package, name, given)
  return importlib.import_module(f'{package}.{name}').build(**given)
