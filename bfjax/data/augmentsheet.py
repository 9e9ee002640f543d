"""A picture of what each augmentation does."""

import os
import pathlib

import numpy as np
from matplotlib import figure

from bfjax import atomic, errors
from bfjax.data import augment, images, labelled

_QUALITY = 75  # of a JPEG
_CELL_INCHES = 1.1


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
