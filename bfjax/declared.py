"""What a module declares, read from its text: nothing is imported.

So that a name or an option can be found wrong before JAX and TensorFlow, which
take seconds to import, are loaded.
"""

import ast
import functools
import inspect
import pathlib
from collections.abc import Mapping

_ROOT = pathlib.Path(__file__).parent
_KINDS = {kind.__name__: kind for kind in (bool, float, int, str, tuple)}
# Stands for a default that is not written down as a literal.
COMPUTED = type('Computed', (), {'__repr__': lambda self: '(computed)'})()


def folder(package: str) -> pathlib.Path:
  """Where a package or module of this project lies, as 'bfjax.backbones'."""
  return _ROOT.joinpath(*package.split('.')[1:])


def parameters(module: str, name: str) -> Mapping[str, inspect.Parameter]:
  """The parameters of a module's function; empty if it defines none so called.

  A default that is no literal is `COMPUTED`; an annotation is the first type
  that it names, `tuple` of `tuple[int, ...]`. `**options: Unpack[lib.Options]`
  are the fields of the class `Options` of an imported module, after the others.
  """
  function = _defined(module).get(name)
  if not isinstance(function, ast.FunctionDef):
    return {}
  taken = function.args
  given = (*taken.posonlyargs, *taken.args)
  defaults = [None] * (len(given) - len(taken.defaults)) + taken.defaults
  pairs = [
    *zip(given, defaults, strict=True),
    *zip(taken.kwonlyargs, taken.kw_defaults, strict=True),
  ]
  fields = [(x.arg, default, x.annotation) for x, default in pairs]
  return {
    option: inspect.Parameter(
      option,
      inspect.Parameter.KEYWORD_ONLY,
      default=_value(default),
      annotation=_kind(annotation),
    )
    for option, default, annotation in fields + _shared(module, taken.kwarg)
  }


def functions(module: str, name: str) -> Mapping[str, str]:
  """The dict `name` of a module: its keys, and what stands for their values."""
  table = _defined(module)[name]
  return {
    ast.literal_eval(key): ast.unparse(value)
    for key, value in zip(table.keys, table.values, strict=True)
  }


def choices(module: str, name: str) -> list[str]:
  """The keys of the dict `name` of a module, or the items of the tuple."""
  table = _defined(module)[name]
  names = table.keys if isinstance(table, ast.Dict) else table.elts
  return [ast.literal_eval(x) for x in names if x]


def summary(module: str) -> str:
  """The first line of a module's docstring, without its full stop."""
  text = folder(module).with_suffix('.py').read_text(encoding='utf-8')
  said = ast.get_docstring(ast.parse(text)) or ''
  return said.partition('\n')[0].rstrip('.')


def _shared(module, rest) -> list[tuple[str, ast.expr | None, ast.expr]]:
  """(field, default, annotation) of the class that `**rest` unpacks."""
  if not isinstance(getattr(rest, 'annotation', None), ast.Subscript):
    return []
  lib, name = ast.unparse(rest.annotation.slice).split('.')
  body = _defined(_defined(module)[lib])[name].body
  return [
    (x.target.id, x.value, x.annotation)
    for x in body
    if isinstance(x, ast.AnnAssign) and isinstance(x.target, ast.Name)
  ]


@functools.cache
def _defined(module):
  """Name -> syntax tree, of a module's functions, classes and values.

  Of a module that it imports: name -> its full name.
  """
  text = folder(module).with_suffix('.py').read_text(encoding='utf-8')
  found = {}
  for node in ast.parse(text).body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
      found[node.name] = node
    elif isinstance(node, ast.ImportFrom):
      for x in node.names:
        found[x.asname or x.name] = f'{node.module}.{x.name}'
    elif isinstance(node, ast.Assign):
      found |= {x.id: node.value for x in node.targets if hasattr(x, 'id')}
  return found


def _value(node):
  if node is None:
    return inspect.Parameter.empty
  try:
    return ast.literal_eval(node)
  except ValueError:
    return COMPUTED


def _kind(annotation):
  named = [
    x.id for x in ast.walk(annotation or ast.Tuple([])) if hasattr(x, 'id')
  ]
  return _KINDS.get(named[0], object) if named else object
