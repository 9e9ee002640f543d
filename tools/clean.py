"""`bfjax clean`, where bfjax is not on the PATH."""

from bfjax import program
from bfjax.commands.clean import main, parse_arguments

__all__ = ['main', 'parse_arguments']

if __name__ == '__main__':
  program.run('clean')
