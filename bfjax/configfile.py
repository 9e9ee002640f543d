"""The config file and what the command line changes of it, checked first.

`ml_collections` reads both. What it raises for a file, key or value that is
wrong tells a programmer where its code stood; here it becomes one message.
"""

import difflib
import importlib.machinery
import importlib.util
import inspect
import os
import pathlib
import re
import traceback
from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from bfjax import defaults, errors
from bfjax.config import keys, settings

_FILES_SHOWN = 9
# Before the name of one of our own configs, wherever they are: bfjax:ms1mv2.
_OURS = 'bfjax:'
_FLAG = re.compile(r'--?(no)?config(?:\.([^=]*))?(?:=(.*))?', re.DOTALL)


def folder() -> pathlib.Path:
  """Where our own configs are: in the package, or beside it in a checkout."""
  package = pathlib.Path(__file__).parent
  inside = package / 'configs'
  return inside if inside.is_dir() else package.parent / 'configs'


def located(word: str) -> str:
  """A word of the command line, with 'bfjax:NAME' as the path of the file."""
  flag, is_ours, rest = word.partition(_OURS)
  if not is_ours or flag not in ('', '--config=', '-config='):
    return word
  name, colon, argument = rest.partition(':')
  path = folder() / f'{name.removesuffix(".py")}.py'
  return f'{flag}{path}{colon}{argument}'


def check(argv: Sequence[str]) -> None:
  """Checks the flags `--config=FILE` and `--config.KEY=VALUE`.

  Args:
    argv: the command line, the program's name first.

  Raises:
    UserError: as `load`; if the file, or a group that was replaced, leaves out
      keys; if there is no such key as is given or one of another type: all of
      these are named at once; or if an option of another source is set.
  """
  words = flags.FLAGS.read_flags_from_files(list(argv[1:]), force_gnu=False)
  found = []
  for word, following in zip(words, [*words, ''][1:], strict=True):
    if match := _FLAG.fullmatch(word):
      found.append((match, following))
  files = [m[3] or following for m, following in found if m[2] is None]
  if not files:
    return
  config, whole = load(files[-1]).lock(), defaults.get_config()
  keys.check_complete(config, whole, f'{files[-1]}: ')
  data = config.data.copy_and_resolve_references()
  problems = []
  for match, following in found:
    if match[2] is not None:
      try:
        _try(config, match, following)
      except errors.UserError as error:
        problems.append(str(error))
  if problems:
    raise errors.UserError('\n'.join(problems))
  keys.check_complete(config, whole)  # a group may be replaced
  is_changed = config.data.source != data.source
  settings.check_source_options(config.data, data if is_changed else None)


def read(words: Sequence[str]) -> ml_collections.ConfigDict:
  """The config of --config=FILE, changed as --config.KEY=VALUE say.

  Raises:
    UserError: as `check`, or if there are other words, or no file.
  """
  values = flags.FlagValues()
  line = ['', *map(located, words)]
  config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=line)
  try:
    check(line)
    rest = values(line)[1:]
  except flags.Error as error:
    raise errors.UserError(str(error)) from error
  if rest or values['config'].value is None:
    raise errors.UserError(
      'Give --config=FILE, such as configs/ms1mv2.py.'
      + (f' Not understood: {" ".join(rest)}.' if rest else '')
    )
  return values['config'].value


def _try(config, match, following):
  """Sets one key as the command line does."""
  group, name = keys.find(config, match[2])
  is_bool = isinstance(group[name], bool)
  words = [match[0]]
  if match[3] is None and not is_bool:
    words.append(following)
  values = flags.FlagValues()
  try:
    config_flags.DEFINE_config_dict(
      'config', config, flag_values=values, sys_argv=words
    )
    values(['', *words])
  except (flags.Error, TypeError, ValueError) as error:
    text = following if match[3] is None else match[3]
    title = '.'.join(['config', *match[2].split('.')[:-1]])
    raise keys.wrong_type(group, name, text, title) from error


def load(given: str) -> ml_collections.ConfigDict:
  """The config of `FILE`, or of `FILE:ARGUMENT`.

  Raises:
    UserError: if the file is not there, raises (its line and exception are
      named), or makes no config.
  """
  path, colon, argument = located(given).partition(':')
  arguments = [argument] if colon else []
  if not os.path.isfile(path):
    raise errors.UserError(f'There is no config file {path}.{_others(path)}')
  try:
    config = _run(path, arguments)
  except errors.UserError as error:
    raise errors.UserError(f'{given}: {error}') from error
  except Exception as error:  # the file is a program: it may raise anything
    raise errors.UserError(_where(path, error)) from error
  if not isinstance(config, ml_collections.ConfigDict):
    raise errors.UserError(
      f'{path}: get_config() returns {type(config).__name__}, not a ConfigDict.'
      ' Start from bfjax.defaults.get_config(), change it and return it.'
    )
  return config


def _run(path, arguments):
  loader = importlib.machinery.SourceFileLoader('config_file', path)
  module = importlib.util.module_from_spec(
    importlib.util.spec_from_loader(loader.name, loader)
  )
  loader.exec_module(module)
  get_config = getattr(module, 'get_config', None)
  if get_config is None:
    raise errors.UserError('there is no function get_config() in it.')
  try:
    inspect.signature(get_config).bind(*arguments)
  except TypeError as error:
    takes = 'takes no argument' if arguments else 'needs an argument'
    raise errors.UserError(
      f'this config {takes}; one stands behind a colon, FILE.py:ARGUMENT.'
    ) from error
  return get_config(*arguments)


def _where(path, error):
  """File and line of a config file where it raised, and what."""
  if isinstance(error, SyntaxError):
    return f'{error.filename}:{error.lineno}: {error.msg}.'
  said = error
  while isinstance(said, Exception) and len(said.args) == 1:
    (said,) = said.args  # the text of a KeyError is quoted, and again outside
  frames = traceback.extract_tb(error.__traceback__)
  lines = [x for x in frames if x.filename == path]
  place = f'{path}:{lines[-1].lineno}: {lines[-1].line}' if lines else path
  return f'{place}\n  {type(error).__name__}: {said}'


def _others(path):
  """The config files there are where one was looked for, or in configs/."""
  here = pathlib.Path(path)
  if not here.is_dir():
    here = here.parent
  for folder in (here, pathlib.Path('configs')):
    found = sorted(map(str, folder.glob('*.py')))
    near = difflib.get_close_matches(path, found, n=_FILES_SHOWN, cutoff=0)
    if near:
      more = ' and others' if len(found) > len(near) else ''
      return f' There are: {", ".join(near)}{more}.'
  return ''
