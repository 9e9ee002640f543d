"""Pairs of procedural faces for verification, in folds as in LFW."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.faces import sets

# Keeps these draws apart from those of other things with the same seed.
_STREAM = 0x7061_6972


class Pairs(NamedTuple):
  """Pairs of images; people and images are numbered from 0 within their set.

  In each fold the pairs of one person come before those of two.

  Attributes:
    identity: int64 [n, 2], the people on the left and on the right.
    image: int64 [n, 2], which images of them.
    same: bool [n], whether the two are one person.
  """

  identity: np.ndarray
  image: np.ndarray
  same: np.ndarray


def choose_pairs(
  face_set: sets.FaceSet, num_pairs: int, folds: int = 10
) -> Pairs:
  """Draws pairs: half of one person, half of two, none of them twice.

  Every fold has people of its own, so that a threshold is never tried on
  people that it was chosen on.

  Args:
    face_set: whose images are paired; its seed fixes the draw too.
    num_pairs: how many pairs, a multiple of 2 * folds.
    folds: how many folds.

  Raises:
    UserError: if there are not as many pairs.
  """
  face_set.check()
  if folds < 1 or num_pairs < 1 or num_pairs % (2 * folds):
    raise errors.UserError(
      f'{num_pairs} pairs cannot be split into {folds} folds, half of each of '
      'one person: the number of pairs must be a multiple of twice the folds.'
    )
  if face_set.identities < 2 * folds:
    raise errors.UserError(
      f'Each of the {folds} folds needs two people of its own: render at '
      f'least {2 * folds} identities, not {face_set.identities}.'
    )
  generator = np.random.default_rng([_STREAM, face_set.seed])
  people = np.array_split(generator.permutation(face_set.identities), folds)
  chosen = [
    part
    for fold in people
    for part in _choose_fold(
      fold, face_set.images_per_identity, num_pairs // folds // 2, generator
    )
  ]
  identity, image = (
    np.concatenate(parts) for parts in zip(*chosen, strict=True)
  )
  return Pairs(identity, image, identity[:, 0] == identity[:, 1])


def _choose_fold(
  people: np.ndarray, images: int, count: int, generator: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
  """`count` pairs of one person, then `count` of two: (identity, image) each.

  All pairs there are have numbers, of which some are drawn without return.
  """
  first_image, second_image = np.triu_indices(images, 1)
  first_person, second_person = np.triu_indices(len(people), 1)
  num_same = len(people) * len(first_image)
  num_different = len(first_person) * images**2
  if count > min(num_same, num_different):
    raise errors.UserError(
      f'A fold needs {count} pairs of one person and {count} of two, but its '
      f'{len(people)} people with {images} images each have {num_same} and '
      f'{num_different}. Render more images or people, or ask for fewer pairs.'
    )
  number = generator.choice(num_same, count, replace=False)
  person, pair = np.divmod(number, len(first_image))
  same = (
    np.stack([people[person], people[person]], 1),
    np.stack([first_image[pair], second_image[pair]], 1),
  )
  number = generator.choice(num_different, count, replace=False)
  pair, both = np.divmod(number, images**2)
  different = (
    np.stack([people[first_person[pair]], people[second_person[pair]]], 1),
    np.stack(np.divmod(both, images), 1),
  )
  return [same, different]


def _rows(
  face_set: sets.FaceSet, pairs: Pairs
) -> Iterator[tuple[int, int, int, int, bool]]:
  """Each pair: person and image, as numbered in the population, and same."""
  identity = (pairs.identity + face_set.first_identity).tolist()
  both = zip(identity, pairs.image.tolist(), pairs.same.tolist(), strict=True)
  for (person, other), (image, other_image), same in both:
    yield person, image, other, other_image, same


def flag_lines(face_set: sets.FaceSet, pairs: Pairs) -> str:
  """The list `left right flag`, flag 1 for one person and -1 for two."""
  lines = (
    f'{sets.image_name(person, image)} {sets.image_name(other, other_image)} '
    f'{1 if same else -1}\n'
    for person, image, other, other_image, same in _rows(face_set, pairs)
  )
  return ''.join(lines)


def lfw_lines(face_set: sets.FaceSet, pairs: Pairs, folds: int = 10) -> str:
  """The list in the format of LFW's pairs.txt.

  A header `folds<TAB>pairs of one person a fold`, then `name<TAB>a<TAB>b` or
  `name1<TAB>a<TAB>name2<TAB>b`; image a of a person is `name/name_%04d.jpg`.
  """
  lines = [f'{folds}\t{len(pairs.same) // (2 * folds)}\n']
  for person, image, other, other_image, same in _rows(face_set, pairs):
    fields = [sets.person_name(person), str(image + 1)]
    if not same:
      fields.append(sets.person_name(other))
    fields.append(str(other_image + 1))
    lines.append('\t'.join(fields) + '\n')
  return ''.join(lines)
