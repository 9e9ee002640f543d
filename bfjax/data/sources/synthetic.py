"""The built-in data set: procedural faces, with as many wrong labels as asked.

The images are real JPEG files in the cache folder, beside lists of them, so
they are read and decoded as those of any data set.
"""

import os

from bfjax import errors
from bfjax.data import files, labelled, noise
from bfjax.faces import cache, sets


def build(
  *,
  seed: int = 0,
  identities: int = 200,
  images_per_identity: int = 25,
  image_size: int = 48,
  difficulty: str = 'normal',
  flip_rate: float = 0.0,
  stranger_rate: float = 0.0,
  noise_seed: int = 0,
  cache_dir: str = '',
  processes: int = 0,
) -> labelled.Source:
  """Renders the faces, or finds them in the cache, and makes labels wrong.

  Beside the images lie `clean.txt`, the list with the true labels, and, if
  labels are wrong, `train-<noise>.txt` with the given labels and
  `flips-<noise>.txt`, the flipped images with their true labels; those of
  strangers are in `strangers-<noise>.txt`, with the given ones.

  Args:
    seed: the population that the people are from.
    identities: how many people, numbers 0 .. identities - 1 of the population.
    images_per_identity: how many images of each.
    image_size: height and width in pixels.
    difficulty: 'normal' or 'hard', see `bfjax.faces.nuisances`.
    flip_rate: the share of each person's images that get a wrong label, see
      `noise.flip_labels`.
    stranger_rate: the share of each person's images in whose place is one of
      somebody who is not in the set, of another population, with any label;
      see `noise.replace_by_strangers`.
    noise_seed: names the draw of both.
    cache_dir: where rendered sets are kept; '' for `faces` in the cache
      folder of `bfjax.runtime`.
    processes: how many processes render; 0 for as many as there are cores.

  Returns:
    The source; its true labels are known, and its class names are those of
    the lists: '0', '1', ...

  Raises:
    UserError: if an option is out of range or the cache cannot be written to.
  """
  if identities > sets.FIRST_UNSEEN:
    raise errors.UserError(
      f'At most {sets.FIRST_UNSEEN} synthetic identities can be trained on, '
      f'not {identities}: those after are kept unseen for evaluation.'
    )
  face_set = sets.FaceSet(
    seed, 0, identities, images_per_identity, image_size, difficulty
  )
  face_set.check()
  true_labels = face_set.labels()
  labels = noise.flip_labels(true_labels, flip_rate, identities, noise_seed)
  cache_dir = cache.cache_folder(cache_dir)
  root = cache.cached(face_set, cache_dir, processes)
  names = list(face_set.names())
  noise_name = f'flip{flip_rate:g}'
  if stranger_rate:
    noise_name += f'-strangers{stranger_rate:g}'
    rows, stranger_labels = noise.replace_by_strangers(
      true_labels, labels, stranger_rate, identities, noise_seed
    )
    true_labels[rows] = labelled.NOBODY
    labels[rows] = stranger_labels
    strangers = face_set.strangers(len(rows))
    their_root = cache.cached(strangers, cache_dir, processes)
    above = os.path.relpath(their_root, root)
    for row, name in zip(rows, strangers.names(), strict=False):
      names[row] = os.path.join(above, name)
  if flip_rate or stranger_rate:
    name = f'{noise_name}-seed{noise_seed}.txt'
    cache.write_lists(
      root, names, true_labels, labels, f'train-{name}', f'flips-{name}'
    )
  if stranger_rate:
    lines = sets.list_lines([names[row] for row in rows], stranger_labels)
    cache.write_text(root / f'strangers-{name}', lines)
  images = files.ImageFiles(names, root)
  with cache.remedy(cache_dir if stranger_rate else root):
    images.check_exist()
  class_names = [str(i) for i in range(identities)]
  return labelled.Source(images, labels, true_labels, class_names)
