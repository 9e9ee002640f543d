"""What a list or a pack of pairs holds, and whether it can be evaluated on."""

import dataclasses

import numpy as np

from bfjax.data import files
from bfjax.data.inspection import looking
from bfjax.data.packs import packs
from bfjax.evaluation.verification import pairlist

_FOLDS = 10  # of the field's lists


@dataclasses.dataclass(frozen=True)
class PairInspection:
  """What was found, all of it JSON values.

  Attributes:
    pairs: how many.
    pairs_of_one_person: of these.
    images: different ones.
    decoded: images that were decoded: a sample or all.
    sizes: 'width x height' -> images, the most frequent first.
    modes: 'JPEG RGB' -> images, likewise.
    unreadable: how many, and (image, what is wrong) of the first.
    options: keys of a benchmark of pairs that differ from the defaults, where
      10 equal folds, as in the field's lists, cannot be.
  """

  pairs: int
  pairs_of_one_person: int
  images: int
  decoded: int
  sizes: dict[str, int]
  modes: dict[str, int]
  unreadable: dict
  options: dict[str, str]


def open_pairs(path: str, root: str):
  """(images of the pairs, each once; bool [n], whether a pair is one person).

  Args:
    path: of a list, see `pairlist`, or of a pack.
    root: the folder that the paths of a list are relative to.

  Raises:
    UserError: as `pairlist.read` and `packs.read`.
  """
  if packs.is_pack(path):
    pack = packs.read(path)
    return packs.PackFiles(path, pack.images), pack.same
  found = pairlist.read(path)
  names = dict.fromkeys(name for pair in found for name in pair[1:3])
  return files.ImageFiles(names, root), np.array([x.same for x in found])


def inspect(images, same: np.ndarray, *, sample: int) -> PairInspection:
  """Looks through what `open_pairs` has opened.

  Args:
    images: of the pairs.
    same: bool [n], whether a pair is one person.
    sample: how many images to decode; 0 for all.
  """
  seen = looking.look(images, sample=sample, compare=True)
  return PairInspection(
    pairs=len(same),
    pairs_of_one_person=int(same.sum()),
    images=images.num_rows,
    decoded=seen.decoded,
    sizes=seen.sizes,
    modes=seen.modes,
    unreadable={
      'images': len(seen.bad),
      'first': [
        (files.printable(images.name(row)), text) for row, text in seen.problems
      ],
    },
    options=_options(len(same)),
  )


def _options(num_pairs: int) -> dict[str, str]:
  folds = next((k for k in range(_FOLDS, 1, -1) if num_pairs % k == 0), 0)
  if folds == _FOLDS:
    return {}
  return {'folds': str(folds)} if folds else {'protocols': "('insightface',)"}
