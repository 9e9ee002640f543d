"""Draws what each augmentation of `config.data.augment` does.

    python tools/draw_augmentations.py --out augmentations.jpg
    python tools/draw_augmentations.py --out mine.png --root IMAGES --list t.txt

The first images of the built-in faces, or of your own: one line as they are,
and one for each augmentation at probability 1.
"""

import argparse
import pathlib

from bfjax import command
from bfjax.data import augmentsheet, sources


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--out', required=True, type=pathlib.Path, help='picture, .png or .jpg')
  add('--root', default='', help='folder of your images')
  add('--list', default='', help='lines `path label`; without, class folders')
  add('--columns', type=int, default=8, help='how many images (8)')
  add('--size', type=int, default=112, help='pixels of a side (112)')
  add('--seed', type=int, default=0, help='of the draws (0)')
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Writes the picture.

  Raises:
    UserError: if the images cannot be used.
  """
  if arguments.root:
    source = sources.build(
      'imagelist', root=arguments.root, list=arguments.list, check='none'
    )
  else:
    source = sources.build(
      'synthetic',
      identities=arguments.columns,
      images_per_identity=1,
      image_size=arguments.size,
    )
  augmentsheet.draw(
    arguments.out,
    source,
    columns=arguments.columns,
    image_size=arguments.size,
    seed=arguments.seed,
  )
  print(f'Wrote {arguments.out}.')


if __name__ == '__main__':
  command.run('draw_augmentations', lambda: main(parse_arguments()))
