"""Draws what each augmentation of `config.data.augment` does.

    python tools/draw_augmentations.py --out augmentations.jpg
    python tools/draw_augmentations.py --out mine.png --root IMAGES --list t.txt

The first images of the built-in faces, or of your own: one line as they are,
and one for each augmentation at probability 1.
"""

import argparse
import os
import pathlib

import numpy as np
from matplotlib import figure

from bfjax import atomic, command, errors
from bfjax.data import augment, images, labelled, sources

_QUALITY = 75  # of a JPEG
_CELL_INCHES = 1.1


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
  draw(
    arguments.out,
    source,
    columns=arguments.columns,
    image_size=arguments.size,
    seed=arguments.seed,
  )
  print(f'Wrote {arguments.out}.')


def draw(
  path: str | os.PathLike,
  source: labelled.Source,
  *,
  columns: int = 8,
  image_size: int = 112,
  seed: int = 0,
) -> None:
  """Draws a row of images as they are, and one for each augmentation.

  Args:
    path: the picture, PNG or JPEG.
    source: whose first images are shown.
    columns: how many.
    image_size: height and width that they are resized to.
    seed: of the draws.

  Raises:
    UserError: if there is no column, an image cannot be used, or the picture
      cannot be written.
  """
  if columns < 1:
    raise errors.UserError(f'{columns} columns: expected 1 or more.')
  rows = np.arange(min(columns, source.num_rows))
  plain = [images.decode(one, image_size) for one in source.read(rows)]
  lines = {'as they are': plain}
  for name in augment.AUGMENTATIONS:
    always = augment.Augment(**{name: 1.0})
    lines[name] = [
      always(image, seed + place) for place, image in enumerate(plain)
    ]
  sheet = figure.Figure(
    figsize=(_CELL_INCHES * len(rows) + 0.6, _CELL_INCHES * len(lines)),
    dpi=100,
    layout='constrained',
  )
  axes = sheet.subplots(len(lines), len(rows), squeeze=False)
  for line, (name, shown) in zip(axes, lines.items(), strict=True):
    for axis, image in zip(line, shown, strict=True):
      axis.imshow(image, interpolation='nearest')
      axis.set_xticks([])
      axis.set_yticks([])
    line[0].set_ylabel(name, fontsize=9)
  kind = 'png' if pathlib.Path(path).suffix == '.png' else 'jpeg'
  options = {'quality': _QUALITY} if kind == 'jpeg' else {}
  try:
    with atomic.writing(path) as draft:
      sheet.savefig(draft, format=kind, pil_kwargs=options)
  except OSError as error:
    raise errors.UserError(f'Cannot write {path}: {error.strerror}.') from error


if __name__ == '__main__':
  command.run('draw_augmentations', lambda: main(parse_arguments()))
