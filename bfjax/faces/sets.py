"""Which faces: sets of images, their names, their lists, and pairs of them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from bfjax import errors, faces
from bfjax.faces import nuisances

# People from this number on are never trained on, so benchmarks may use them.
FIRST_UNSEEN = 1_000_000

_LAST = 2**32
# Keeps draws of pairs apart from those of other things with the same seed.
_PAIRS_STREAM = 0x7061_6972


class FaceSet(NamedTuple):
  """Which images: the first ones of people with consecutive numbers."""

  seed: int  # names the population
  first_identity: int  # number of the first person
  identities: int  # how many people
  images_per_identity: int  # how many images of each
  size: int  # height and width in pixels
  difficulty: str = 'normal'  # or 'hard'

  @property
  def num_images(self) -> int:
    """How many images the set has."""
    return self.identities * self.images_per_identity

  @property
  def numbers(self) -> range:
    """The numbers of the people."""
    return range(self.first_identity, self.first_identity + self.identities)

  @property
  def folder_name(self) -> str:
    """A name that tells all parameters, and the version of the generator."""
    people = f'{self.numbers[0]}-{self.numbers[-1]}'
    return (
      f'seed{self.seed}-faces{people}-x{self.images_per_identity}'
      f'-{self.size}px-{self.difficulty}-v{faces.VERSION}'
    )

  def labels(self) -> np.ndarray:
    """The true labels 0 .. identities - 1 of all images, int32."""
    classes = np.arange(self.identities, dtype=np.int32)
    return np.repeat(classes, self.images_per_identity)

  def names(self) -> Iterator[str]:
    """The paths of all images, relative to their folder, in label order."""
    for person in self.numbers:
      for image in range(self.images_per_identity):
        yield image_name(person, image)

  def strangers(self, count: int) -> 'FaceSet':
    """One image each of `count` people, at least one, of another population."""
    return self._replace(
      seed=(self.seed + _LAST // 2) % _LAST,
      identities=max(count, 1),
      images_per_identity=1,
    )

  def check(self) -> None:
    """Raises UserError if there is no such set."""
    faces.check_size(self.size)
    errors.choose('difficulty', self.difficulty, nuisances.DIFFICULTIES)
    for name, lowest, highest in (
      ('seed', 0, _LAST - 1),
      ('first_identity', 0, _LAST - 1),
      ('identities', 1, _LAST - self.first_identity),
      ('images_per_identity', 1, _LAST),
    ):
      value = getattr(self, name)
      if not lowest <= value <= highest:
        raise errors.UserError(
          f'{name} of synthetic faces must be in {lowest} .. {highest}, '
          f'not {value}.'
        )


def person_name(identity: int) -> str:
  """The name of a person, and of the folder of its images."""
  return f'face_{identity:07d}'


def image_name(identity: int, image: int) -> str:
  """The path of an image: `name/name_%04d.jpg`, from 1 on, as in LFW."""
  person = person_name(identity)
  return f'{person}/{person}_{image + 1:04d}.jpg'


def list_lines(names: Iterable[str], labels: np.ndarray) -> str:
  """The text of an image list: a line `path<two spaces>label` an image."""
  pairs = zip(names, np.asarray(labels).tolist(), strict=True)
  return ''.join(f'{name}  {label}\n' for name, label in pairs)


class Pairs(NamedTuple):
  """Pairs of images, for verification in folds as in LFW.

  In each fold the pairs of one person come before those of two.
  """

  # int64 [n, 2], the people on the left and right, as in the population.
  identity: np.ndarray
  image: np.ndarray  # int64 [n, 2], which images of them, from 0
  same: np.ndarray  # bool [n], whether the two are one person
  folds: int

  def flag_lines(self) -> str:
    """The list `left right flag`, flag 1 for one person and -1 for two."""
    return ''.join(
      f'{image_name(*left)} {image_name(*right)} {1 if same else -1}\n'
      for left, right, same in self._rows()
    )

  def lfw_lines(self) -> str:
    """The list in the format of LFW's pairs.txt.

    A header `folds<TAB>pairs of one person a fold`, then `name<TAB>a<TAB>b` or
    `name1<TAB>a<TAB>name2<TAB>b`; image a of a person is `name/name_%04d.jpg`.
    """
    lines = [f'{self.folds}\t{len(self.same) // (2 * self.folds)}\n']
    for (person, image), (other, other_image), same in self._rows():
      second = '' if same else f'{person_name(other)}\t'
      lines.append(
        f'{person_name(person)}\t{image + 1}\t{second}{other_image + 1}\n'
      )
    return ''.join(lines)

  def _rows(self) -> Iterator[tuple[list[int], list[int], bool]]:
    """(person, image) of the left and of the right, and `same`."""
    both = np.stack([self.identity, self.image], 2)
    left, right = both.swapaxes(0, 1).tolist()
    return zip(left, right, self.same.tolist(), strict=True)


def choose_pairs(face_set: FaceSet, num_pairs: int, folds: int = 10) -> Pairs:
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
  generator = np.random.default_rng([_PAIRS_STREAM, face_set.seed])
  people = np.array_split(generator.permutation(face_set.identities), folds)
  images, count = face_set.images_per_identity, num_pairs // folds // 2
  chosen = [_choose_fold(fold, images, count, generator) for fold in people]
  identity, image = np.concatenate(chosen, 1)
  identity += face_set.first_identity
  return Pairs(identity, image, identity[:, 0] == identity[:, 1], folds)


def _choose_fold(
  people: np.ndarray, images: int, count: int, generator: np.random.Generator
) -> np.ndarray:
  """`count` pairs of one person, then of two: (identity, image) [2, n, 2].

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
  same = [person, person], [first_image[pair], second_image[pair]]
  number = generator.choice(num_different, count, replace=False)
  pair, both = np.divmod(number, images**2)
  different = (
    [first_person[pair], second_person[pair]],
    np.divmod(both, images),
  )
  person, image = np.concatenate([same, different], 2).swapaxes(1, 2)
  return np.stack([people[person], image])
