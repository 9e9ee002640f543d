"""Which faces: sets of images, their names and their lists."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from bfjax import errors, faces
from bfjax.faces import difficulties

# People from this number on are never trained on, so benchmarks may use them.
FIRST_UNSEEN = 1_000_000

_LAST = 2**32


class FaceSet(NamedTuple):
  """Which images: the first ones of people with consecutive numbers.

  Attributes:
    seed: names the population.
    first_identity: number of the first person.
    identities: how many people.
    images_per_identity: how many images of each.
    size: height and width in pixels.
    difficulty: 'normal' or 'hard'.
  """

  seed: int
  first_identity: int
  identities: int
  images_per_identity: int
  size: int
  difficulty: str = 'normal'

  @property
  def num_images(self) -> int:
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
    for identity in self.numbers:
      for image in range(self.images_per_identity):
        yield image_name(identity, image)

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
    errors.choose('difficulty', self.difficulty, difficulties.DIFFICULTIES)
    for name, value, lowest, highest in (
      ('seed', self.seed, 0, _LAST - 1),
      ('first_identity', self.first_identity, 0, _LAST - 1),
      ('identities', self.identities, 1, _LAST - self.first_identity),
      ('images_per_identity', self.images_per_identity, 1, _LAST),
    ):
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


def flip_lines(
  names: Iterable[str], true: np.ndarray, given: np.ndarray
) -> str:
  """The list of the images with a wrong label, with their TRUE label.

  Args:
    names: the paths of all images.
    true: int [images], their true labels; below 0 an image of nobody in the
      set, which has no line.
    given: int [images], the labels with flips.
  """
  flipped = (given != true) & (true >= 0)
  return list_lines(itertools.compress(names, flipped), true[flipped])
