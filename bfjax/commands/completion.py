"""Prints what makes a shell complete commands and options.

eval "$(bfjax completion bash)"       in ~/.bashrc
eval "$(bfjax completion zsh)"        in ~/.zshrc, after compinit
bfjax completion fish | source        in ~/.config/fish/config.fish
"""

import argparse

from bfjax import command

_SHELLS = ('bash', 'zsh', 'fish')


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  parser.add_argument('shell', choices=_SHELLS)
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Prints it."""
  import argcomplete

  print(argcomplete.shellcode(['bfjax'], shell=arguments.shell))
