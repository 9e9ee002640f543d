"""bfjax COMMAND ..., or python -m bfjax COMMAND ...: the program `bfjax`."""

import os
import sys

from bfjax import command, completion, errors, program


def main() -> None:
  """Runs the command that the process's words begin with, and exits."""
  if command.COMPLETING in os.environ:
    completion.answer()
  first, *others = sys.argv[1:] or ['--help']
  if first in ('-h', '--help', '--version'):
    program.parser().parse_args([first])
  elif first.startswith('-'):
    _run_main()
  else:
    command.run(
      'bfjax', lambda: errors.choose('command', first, program.summaries())
    )
    sys.argv = [f'bfjax {first}', *others]  # what its help and messages say
    if first in program.OF_RUNS:
      _run_main(first)
    else:
      program.run(first, f'bfjax {first}')


def _run_main(mode=''):
  from bfjax import main as of_runs  # after what needs no config

  of_runs.entry(mode)


if __name__ == '__main__':
  main()
