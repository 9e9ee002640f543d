"""Puts closed-set noise into an image list: wrong labels, on purpose.

    python tools/flip_labels.py --list train.txt --rate 0.2 --seed 1 \\
      --out flip_20.txt --truth-out flips_20.txt

Of the n images of each label floor(n * rate), drawn at random, get another
label of the list, each equally likely. The result is a function of the seed and
the lines, whatever their order. The list lies where you are or below --root;
give that also for a list of another form (docs/data.md). Train on it with

    --config.data.list=flip_20.txt --config.data.truth=flips_20.txt
"""

import argparse

from bfjax import command
from bfjax.data import places
from bfjax.datasets import listnoise


def parse_arguments() -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--list', required=True, help='the list: lines `path  label`')
  add('--root', default='', help='the folder of the images')
  add('--rate', required=True, type=float, help='share of each label, 0 to 1')
  add('--seed', type=int, default=0, help='names the draw (0)')
  add('--out', required=True, help='the list with wrong labels')
  add(
    '--truth-out',
    required=True,
    help='the images with a wrong label, with their TRUE label',
  )
  return parser.parse_args()


def flip(arguments: argparse.Namespace) -> None:
  """Writes both lists."""
  done = listnoise.flip_list(
    places.find_list(arguments.list, arguments.root, '--list'),
    rate=arguments.rate,
    seed=arguments.seed,
    out=arguments.out,
    truth_out=arguments.truth_out,
    root=arguments.root,
  )
  print(
    f'{done.changed} of {done.images} labels flipped'
    f' ({done.changed / done.images:.2%}), among {done.classes}: see'
    f' {arguments.out}, and {arguments.truth_out} for the true labels.'
  )


if __name__ == '__main__':
  command.run('flip_labels', lambda: flip(parse_arguments()))
