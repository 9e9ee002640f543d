"""IJB-B and IJB-C 1:1: is this pair of sets of images of one person?

`ijb_images` in `bfjax.evaluation.benchmarks.parts` has the layout of the
folder; the pairs are in

    root/meta/NAME_template_pair_label.txt    lines `template template label`

with label 1 for one person and 0 for two. `bfjax.evaluation.protocols` has the
formulas.
"""

from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.evaluation.benchmarks.parts import (
  ijb_images,
  ijb_lists,
  template_pairs,
)
from bfjax.evaluation.protocols import roc, templates
from bfjax.text import printable

_PAIRS = (('template', 'int'), ('template', 'int'), ('label', 'int'))


def build(
  *,
  root: str,
  name: str = 'IJBC',
  images: str = 'loose_crop',
  features: str = '',
  aligned: bool = False,
  flip: str = 'sum',
  norm: str = 'kept',
  detector: str = 'weighted',
  image_size: int = 112,
  fars: Sequence[float] = roc.FARS,
  media_list: str = '',
  landmark_list: str = '',
  pair_list: str = '',
) -> template_pairs.TemplatePairs:
  """Reads the lists and looks the images, or their features, up.

  Args:
    root: the folder that all other paths are relative to.
    name: 'IJBB' or 'IJBC', which the lists are called after.
    images: the folder of the images.
    features: saved features instead of images: a .npy or a folder, see
      `bfjax.evaluation.benchmarks.parts.ijb_features`.
    aligned: whether the images are aligned crops already.
    flip: 'sum', f(x) + f(mirror x), or 'none', f(x).
    norm: 'kept' or 'removed': whether the features of images are normalised.
    detector: 'weighted' or 'ignored': whether they are multiplied by the
      detector score.
    image_size: pixels of a side of the aligned crops.
    fars: false accept rates aimed at.
    media_list: the list of templates and media; '' for the usual one.
    landmark_list: that of landmarks and detector scores; likewise.
    pair_list: that of pairs; likewise.

  Raises:
    Absent: if there is no list of templates and media.
    UserError: if a flag has no such value, a list is missing or cannot be
      understood, lists do not fit each other, images or features are missing,
      or there are no pairs of one kind. Lists are named with the line.
  """
  found = ijb_images.open_images(
    root=root,
    name=name,
    images=images,
    features=features,
    aligned=aligned,
    pooling=templates.Pooling(flip, norm, detector),
    image_size=image_size,
    media_list=media_list,
    landmark_list=landmark_list,
  )
  path = ijb_images.in_meta(
    root, pair_list, f'{name.lower()}_template_pair_label.txt'
  )
  left, right, label = ijb_lists.read(path, _PAIRS)
  is_label = (label == 0) | (label == 1)
  if not is_label.all():
    row = int(np.argmin(is_label))
    raise ijb_lists.bad_line(
      path,
      row,
      f'the label {label[row]} is neither 1 (one person) nor 0 (two).',
    )
  left, right = (found.find(path, ids) for ids in (left, right))
  try:
    return template_pairs.TemplatePairs(
      ijb_images.NAMES[name], found, left, right, label == 1, fars
    )
  except errors.UserError as error:
    raise errors.UserError(f'{printable(path)}: {error}') from error
