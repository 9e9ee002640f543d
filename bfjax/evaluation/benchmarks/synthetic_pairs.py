"""Verification on procedural faces of people that no training has seen.

The protocol, arrangement and file format are those of LFW: ten folds, half of
each fold pairs of one person, half pairs of two.
"""

from collections.abc import Sequence

from bfjax import errors
from bfjax.evaluation import imagepairs
from bfjax.evaluation.benchmarks import pairs
from bfjax.faces import cache, sets


def build(
  *,
  seed: int = 0,
  first_identity: int = sets.FIRST_UNSEEN,
  identities: int = 200,
  images_per_identity: int = 8,
  num_pairs: int = 6000,
  folds: int = 10,
  image_size: int = 48,
  difficulty: str = 'normal',
  cache_dir: str = '',
  processes: int = 0,
  protocols: Sequence[str] = ('boundaryface', 'insightface'),
) -> imagepairs.Pairs:
  """Renders the people, or finds them in the cache, and pairs their images.

  Args:
    seed: the population, and the draw of the pairs.
    first_identity: number of the first person; at least
      `sets.FIRST_UNSEEN`, below which are the people to train on.
    identities: how many people, at least two a fold.
    images_per_identity: how many images of each.
    num_pairs: how many pairs, a multiple of 2 * folds.
    folds: how many folds; each has people of its own.
    image_size: height and width in pixels.
    difficulty: 'normal' or 'hard', see `bfjax.faces.nuisances`.
    cache_dir: where rendered sets are kept; '' for `faces` in the cache
      folder of `bfjax.runtime`.
    processes: how many processes render; 0 for as many as there are cores.
    protocols: as in `pairs.build`.

  Raises:
    UserError: if an option is out of range, there are not as many pairs, or
      the cache cannot be written to.
  """
  if first_identity < sets.FIRST_UNSEEN:
    raise errors.UserError(
      f'first_identity of unseen faces must be {sets.FIRST_UNSEEN} or more, '
      f'not {first_identity}: the people before are those to train on.'
    )
  face_set = sets.FaceSet(
    seed,
    first_identity,
    identities,
    images_per_identity,
    image_size,
    difficulty,
  )
  chosen = sets.choose_pairs(face_set, num_pairs, folds)
  root = cache.cached(face_set, cache.cache_folder(cache_dir), processes)
  name = f'pairs{num_pairs}-folds{folds}.txt'
  cache.write_text(root / name, chosen.flag_lines())
  with cache.remedy(root):
    return pairs.build(
      root=str(root),
      pairs=name,
      format='flags',
      folds=folds,
      protocols=protocols,
    )
