"""The program `bfjax`: the tasks of this project as commands of one name.

    bfjax COMMAND ...

A command is a file of bfjax/commands, found by its name. It has

    a docstring       its first line stands in the list of commands, all of it
                      in the command's own help
    parse_arguments(arguments=None)
                      a list of words -> argparse.Namespace, by a
                      `command.Parser`; imports neither JAX nor TensorFlow
    main(arguments)   does it
    USES_JAX          whether JAX is to be started before; False if left out

`train` and `eval` are `bfjax.main`, with the flags of a config, and so is the
program itself when its first word is a flag. tools/NAME.py is `bfjax NAME` too.
"""

import importlib
import logging
import types

from bfjax import __version__, command, declared, errors, plugins, runtime

COMMANDS = 'bfjax.commands'
# Those that `bfjax.main` does, with the flags of a config.
OF_RUNS = {
  'train': 'Trains what a config describes, or goes on with it',
  'eval': 'Evaluates a checkpoint of a run, or a model folder',
}
_DESCRIPTION = """Face recognition trained on noisy labels, in JAX.

    bfjax info IMAGES         what a set holds, and what to train it with
    bfjax train --config=configs/synthetic.py --workdir=runs/demo
    bfjax eval --config=FILE --workdir=runs/demo
    bfjax COMMAND --help      the options of a command
"""


def summaries() -> dict[str, str]:
  """Name of every command -> what it does, in a line."""
  found = plugins.names(COMMANDS)
  return OF_RUNS | {x: declared.summary(f'{COMMANDS}.{x}') for x in found}


def parser() -> command.Parser:
  """That of the program, which knows the names of commands alone."""
  usage = 'bfjax COMMAND OPTIONS'
  own = command.Parser(_DESCRIPTION, prog='bfjax', usage=usage)
  version = f'bfjax {__version__}'
  own.add_argument('--version', action='version', version=version)
  # As long as this, so that the longest name has room.
  commands = own.add_subparsers(title='commands', metavar='COMMAND OPTIONS')
  for name, summary in summaries().items():
    commands.add_parser(name, help=summary, add_help=False)
  return own


def load(name: str) -> types.ModuleType:
  """The module of a command of bfjax/commands.

  Raises:
    UserError: if there is none so called.
  """
  errors.choose('command', name, dict.fromkeys(plugins.names(COMMANDS)))
  return importlib.import_module(f'{COMMANDS}.{name}')


def run(name: str, title: str = '') -> None:
  """Runs a command of bfjax/commands on the words of the process, and exits.

  Args:
    name: of its file.
    title: what its messages begin with; its name if left out.
  """
  module = load(name)

  def job():
    arguments = module.parse_arguments()
    if getattr(module, 'USES_JAX', False):
      logging.basicConfig(level=logging.ERROR)  # of libraries
      logging.getLogger('bfjax').setLevel(logging.WARNING)
      runtime.start()
    module.main(arguments)

  command.run(title or name, job)
