"""Puts open-set noise into an image list: images of nobody in the set.

    python tools/add_outliers.py --list train.txt --pool megaface/ --rate 0.2 \\
      --out c00_o20.txt --outliers-out outliers_20.txt

Of the n images of each identity the last floor(n * rate) are replaced by images
of the pool, each with a random label of the list. On a list with flipped labels
give the flips: identities are then told by the true labels, and flipped images
are the last to be replaced, so the two kinds of noise do not meet:

    python tools/add_outliers.py --list flip_20.txt --truth flips_20.txt \\
      --pool megaface/ --rate 0.2 --out c20_o20.txt \\
      --outliers-out outliers_20.txt --truth-out c20_o20_flips.txt

The outliers stay as they are: the trainer resizes them, and they are NOT
aligned, which the paper found necessary, for aligned ones look like members of
the set. --write-images writes resized copies, for sets that are to be packed.
"""

import argparse

from bfjax import command, errors
from bfjax.data import places
from bfjax.datasets import listnoise, outliers


def parse_arguments() -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--list', required=True, help='the list: lines `path  label`')
  add(
    '--rate', required=True, type=float, help='share of each identity, 0 to 1'
  )
  add('--pool', required=True, help='a folder of foreign images, at any depth')
  add('--seed', type=int, default=0, help='names the draw (0)')
  add('--out', required=True, help='the list with outliers')
  add('--outliers-out', required=True, help='the outliers and their labels')
  add('--truth', default='', help='flipped images with their true labels')
  add('--truth-out', default='', help='those that are still in the list')
  add(
    '--root',
    default='',
    help='the folder of the images: outliers below it are listed relative to'
    ' it, and --list and --truth may lie there',
  )
  add('--write-images', metavar='DIR', default='', help='write resized copies')
  add('--size', type=int, default=112, help='pixels of a side of copies (112)')
  return parser.parse_args()


def add(arguments: argparse.Namespace) -> None:
  """Writes the lists and, where asked for, the copies.

  Raises:
    UserError: for whatever is wrong with the arguments, before anything is
      written; for an image that cannot be read.
  """
  if bool(arguments.truth) != bool(arguments.truth_out):
    raise errors.UserError('Give --truth and --truth-out, or neither.')
  pool = outliers.Pool(
    arguments.pool,
    root=arguments.root,
    copies=arguments.write_images,
    size=arguments.size,
  )
  truth = None
  if arguments.truth:
    found = places.find_list(arguments.truth, arguments.root, '--truth')
    truth = found, arguments.truth_out
  done = listnoise.add_outliers(
    places.find_list(arguments.list, arguments.root, '--list'),
    pool=pool,
    rate=arguments.rate,
    seed=arguments.seed,
    out=arguments.out,
    outliers_out=arguments.outliers_out,
    truth=truth,
    root=arguments.root,
  )
  print(
    f'{done.changed} of {done.images} images replaced by outliers'
    f' ({done.changed / done.images:.2%}): see {arguments.out}.'
  )
  if arguments.truth:
    print(f'{done.flips_lost} flipped images were among the replaced ones.')


if __name__ == '__main__':
  command.run('add_outliers', lambda: add(parse_arguments()))
