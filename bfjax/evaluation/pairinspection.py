"""What a list or a pack of pairs holds, and whether it can be evaluated on."""

import dataclasses
import os

import numpy as np

from bfjax.data import files, folders
from bfjax.datasets.inspection import looking
from bfjax.evaluation import pairlist
from bfjax.formats import packs

_FOLDS, _SUFFIX = 10, '.jpg'  # of the field's lists


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairInspection(looking.Looks):
  """What was found, all of it JSON values."""

  pairs: int
  pairs_of_one_person: int
  images: int  # different ones
  # What a benchmark of these pairs must be told, as its keys: how the images
  # end, and what there is where 10 equal folds, as in the field's lists, cannot
  # be.
  options: dict[str, str]


def inspect(
  path: str, root: str, *, sample: int
) -> tuple[files.ImageFiles | packs.PackFiles, PairInspection]:
  """Reads a list, see `pairlist`, or a pack, and looks through its images.

  Args:
    path: of the list or pack.
    root: the folder that the paths of a list are relative to.
    sample: how many images to decode; 0 for all.

  Returns:
    the images of all pairs, each once, and what was found.

  Raises:
    UserError: as `pairlist.read` and `packs.read`.
  """
  if packs.is_pack(path):
    pack, suffix = packs.read(path), _SUFFIX
    images, same = packs.PackFiles(path, pack.images), pack.same
  else:
    for suffix in (*folders.SUFFIXES, _SUFFIX):
      found = pairlist.read(path, suffix=suffix)
      if os.path.exists(os.path.join(root, found[0].left)):
        break
    names = dict.fromkeys(name for pair in found for name in pair[1:3])
    images = files.ImageFiles(names, root)
    same = np.array([x.same for x in found])
  looks = looking.look(images, sample=sample, compare=True).looks
  return images, PairInspection(
    **vars(looks),
    pairs=len(same),
    pairs_of_one_person=int(same.sum()),
    images=images.num_rows,
    options=_options(len(same), suffix),
  )


def _options(num_pairs: int, suffix: str) -> dict[str, str]:
  options = {} if suffix == _SUFFIX else {'suffix': suffix}
  folds = next((k for k in range(_FOLDS, 1, -1) if num_pairs % k == 0), 0)
  if not folds:
    options['protocols'] = "('insightface',)"  # whose folds need not be equal
  elif folds != _FOLDS:
    options['folds'] = str(folds)
  return options
