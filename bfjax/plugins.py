"""Parts that are found by their file name: backbones, sources, benchmarks.

Such a part is a module of a package with a function `build(**options)`.
Adding one is adding a file.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping

from bfjax import errors


def names(package: str) -> list[str]:
  """The parts in a package such as 'bfjax.backbones': its modules."""
  path = importlib.import_module(package).__path__
  found = pkgutil.iter_modules(path)
  return sorted(module.name for module in found if not module.ispkg)


def options(kind: str, package: str, name: str) -> Mapping:
  """The parameters of `build` in the part called `name`.

  Raises:
    UserError: if there is no such part; the message lists those there are.
  """
  errors.choose(kind, name, dict.fromkeys(names(package)))
  module = importlib.import_module(f'{package}.{name}')
  return inspect.signature(module.build).parameters


def build(kind: str, package: str, name: str, /, **given):
  """Returns what `build(**given)` of the part called `name` does.

  Args:
    kind: what it is, for messages: 'backbone', 'source', 'benchmark'.
    package: where such parts are.
    name: of the part.
    **given: its options.

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
  return importlib.import_module(f'{package}.{name}').build(**given)
