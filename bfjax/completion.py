"""What can follow on a command line of `bfjax`: asked by a shell at every TAB.

`argcomplete` knows the shells and completes by a parser; here is which one.
`bfjax completion SHELL` makes a shell ask.
"""

import os
from typing import NoReturn

from absl import flags

from bfjax import command, program
from bfjax.config import keys


def answer() -> NoReturn:
  """Writes what can follow to where the shell reads it; ends the process."""
  given = os.environ['COMP_LINE'][: int(os.environ['COMP_POINT'])]
  words = f'{given}|'.split()[1:]  # the last is not complete yet
  first = words[0]
  if len(words) == 1 and not first.startswith('--'):
    program.parser().parse_args([])
  # The words after the command's name, or all if a flag comes first.
  os.environ[command.COMPLETING] = '1' if first.startswith('-') else '2'
  if first.startswith('-') or first in program.OF_RUNS:
    _flags(has_mode=first not in program.OF_RUNS).parse_args([])
  elif first in program.summaries():
    program.load(first).parse_arguments([])
  raise SystemExit(1)


def _flags(has_mode: bool) -> command.Parser:
  """The flags of `bfjax.main`, those of every key of a config too."""
  from bfjax import defaults, main

  if not has_mode:
    main.fix_mode()
  parser = command.Parser(main.__doc__)
  for flag in flags.FLAGS.get_key_flags_for_module(main.__name__):
    choices = getattr(flag.parser, 'enum_values', None)
    parser.add_argument(f'--{flag.name}', help=flag.help, choices=choices)
  for key, _ in keys.flat(defaults.get_config()):
    parser.add_argument(f'--config.{key}')
  return parser
