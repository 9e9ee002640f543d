"""MegaFace: FaceScrub's people among up to a million distractors.

The folder of the published test:

    root/facescrub_features_list.json           `facescrub_list`
    root/megaface_features_list.json_1000000_1  `distractor_list`
    root/facescrub_images/...                   `facescrub`
    root/megaface_images/...                    `distractors`
    root/facescrub_noises.txt                   `facescrub_noises`
    root/megaface_noises.txt                    `distractor_noises`

`megaface_lists` in `bfjax.evaluation.benchmarks.parts` has the formats of the
lists, and `distractors` there the protocol.
"""

import os
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.data import files
from bfjax.evaluation.benchmarks.parts import distractors as distractors_lib
from bfjax.evaluation.benchmarks.parts import megaface_lists
from bfjax.evaluation.features import saved
from bfjax.evaluation.protocols import fusion
from bfjax.text import printable


def build(
  *,
  root: str,
  facescrub_list: str = 'facescrub_features_list.json',
  distractor_list: str = 'megaface_features_list.json_1000000_1',
  facescrub: str = 'facescrub_images',
  distractors: str = 'megaface_images',
  facescrub_noises: str = '',
  distractor_noises: str = '',
  features: str = '',
  flip: str = 'sum',
  normalise: bool = True,
  sizes: Sequence[int] = (),
  far: float = 1e-6,
  examples: int = 16,
) -> distractors_lib.Distractors:
  """Reads the lists and looks the images, or their saved features, up.

  Args:
    root: the folder that all other paths are relative to.
    facescrub_list: JSON with the paths of the probes and their people.
    distractor_list: JSON with the paths of the distractors.
    facescrub: the folder of the probes.
    distractors: the folder of the distractors.
    facescrub_noises: the list of noisy probes. With one of the two lists of
      noise, refined scores ("MegaFace(R)") are given beside the others.
    distractor_noises: the list of noisy distractors.
    features: saved features instead of images: a folder with subfolders
      `facescrub` and `distractors`; see `saved.find`.
    flip: how f(x) and f(mirror x) are fused: 'sum', 'none' or 'joined'.
    normalise: whether features are divided by their length.
    sizes: evaluate with the first so many distractors, too: (10, 1000).
    far: false accept rate of the verification.
    examples: of how many probes a report shows which distractor won, the
      worst ones first.

  Raises:
    Absent: if the lists are not there.
    UserError: if a list cannot be understood, images or features are missing
      or do not fit, a list of noise matches nothing, or nobody has two images.
  """
  errors.choose('way to fuse flips', flip, fusion.FLIPS)
  if not 0 < far <= 1:
    raise errors.UserError(f'far = {far}: a rate over 0, such as 1e-6.')
  paths = [os.path.join(root, x) for x in (facescrub_list, distractor_list)]
  probes, strangers = map(megaface_lists.read, paths)
  labels = _labels(probes, paths[0])
  for size in sizes:
    if not 0 < size <= len(strangers.paths):
      raise errors.UserError(
        f'sizes has {size}, but {printable(paths[1])} lists '
        f'{len(strangers.paths)} distractors: give numbers from 1 to that.'
      )
  parts = (facescrub, probes.paths), (distractors, strangers.paths)
  images = files.ImageFiles(
    [os.path.join(folder, x) for folder, names in parts for x in names], root
  )
  noisy = None
  if facescrub_noises or distractor_noises:
    noisy = (
      _noisy(root, facescrub_noises, probes.paths),
      _noisy(root, distractor_noises, strangers.paths),
    )
    _check_clean(probes.paths, labels, noisy[0], facescrub_noises)
  found, pictures = None, images
  if features:
    found = _find_saved(os.path.join(root, features), parts, flip)
    if not all(os.path.isfile(images.path(i)) for i in (0, len(labels))):
      pictures = None
  else:
    images.check_exist()
  return distractors_lib.Distractors(
    images=images,
    pictures=pictures,
    labels=labels,
    saved=found,
    noisy=noisy,
    flip=flip,
    normalise=normalise,
    sizes=sizes,
    far=far,
    num_examples=examples,
  )


def _labels(probes: megaface_lists.ImageList, path: str) -> np.ndarray:
  """int [probes]: the person of each."""
  if not probes.ids:
    raise errors.UserError(
      f'{printable(path)}: a list of probes needs `id`, the person of '
      'each image.'
    )
  people, labels = np.unique(probes.ids, return_inverse=True)
  if len(people) == len(labels):
    raise errors.UserError(
      f'{printable(path)}: no person has two images, so there is nobody '
      'to be found.'
    )
  return labels


def _noisy(root, path, names) -> np.ndarray:
  """bool [n]: which images are noise; none without a list."""
  if not path:
    return np.zeros(len(names), bool)
  return megaface_lists.noisy(os.path.join(root, path), names)


def _find_saved(root, parts, flip) -> tuple[saved.Saved, saved.Saved]:
  """The saved features of each (folder, images) of `parts`."""
  first, second = (
    saved.find(root, folder, images, flip) for folder, images in parts
  )
  found = first, second
  shapes = [x.features.shape[1:] for x in found]
  if shapes[0] != shapes[1]:
    raise errors.UserError(
      f'The features of the probes in {root} have the shape {shapes[0]}, '
      f'those of the distractors {shapes[1]}. All must be of one model.'
    )
  return found


def _check_clean(paths, labels, noisy, noises) -> None:
  num_clean = np.bincount(labels, ~noisy)
  if not num_clean.all():
    row = int(np.argmin(num_clean[labels]))
    raise errors.UserError(
      f'{noises} lists all images of the person of '
      f'{printable(paths[row])}: there is no clean one to replace them '
      'by.'
    )
