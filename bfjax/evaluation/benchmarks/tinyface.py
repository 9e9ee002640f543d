"""TinyFace: people in very small pictures among 153,428 distractors.

The folder of the published test, images named `<person>_<number>.jpg`:

    root/Testing_Set/Probe                the images to search for
    root/Testing_Set/Gallery_Match        other images of the same people
    root/Testing_Set/Gallery_Distractor   images of strangers, any names

A probe is found at rank N if, of its mates, the most similar has at least the
N-th highest score of the whole gallery. Images of any size are taken; they are
resized to what the network sees.
"""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np

from bfjax import errors
from bfjax.data import files, folders
from bfjax.evaluation import benchmarks
from bfjax.evaluation.benchmarks.parts import people_search
from bfjax.evaluation.protocols import fusion
from bfjax.report import results
from bfjax.text import first_lines, printable

_FOLDERS = ('Probe', 'Gallery_Match', 'Gallery_Distractor')
_RANKS = (1, 5, 10, 20)
_CMC_RANKS = 100
_EXAMPLES = 16


@dataclasses.dataclass(frozen=True)
class TinyFace:
  """Closed-set identification of probes in a gallery with distractors.

  Images are numbered: probes, mates, distractors. See `benchmarks.Benchmark`
  for what a benchmark has.
  """

  files: benchmarks.Files
  people: np.ndarray  # int [probes], the person of each probe
  gallery_people: np.ndarray  # int [gallery]; -1 for distractors
  flip: str  # see `fusion.fuse`
  normalise: bool
  headline = ('rank1', 'rank5', 'rank20')

  @property
  def protocol(self) -> str:
    """The protocol and its flags, in words."""
    num_mates = int(np.sum(self.gallery_people >= 0))
    return (
      f'TinyFace: {len(self.people)} probes in a gallery of {num_mates} images '
      f'of the same people and {len(self.gallery_people) - num_mates} '
      f'distractors; features: {fusion.in_words(self.flip, self.normalise)}; '
      'score: inner product; found at rank N: the most similar image of the '
      'person has at least the N-th highest score of the gallery'
    )

  def evaluate(self, features: np.ndarray) -> Mapping[str, float]:
    """'rank1', 'rank5', 'rank10', 'rank20'; see `Benchmark.evaluate`."""
    return self.analyse(features).scores

  def analyse(self, features: np.ndarray) -> results.Analysis:
    """The same, with the CMC curve, and who was taken for whom."""
    num_probes, num_images = len(self.people), self.files.num_rows
    if len(features) != num_images:
      raise ValueError(f'{len(features)} features, {num_images} images')

    def some(rows):
      return fusion.Fused(
        features,
        rows,
        lambda i: self.files.name(rows[i]),
        flip=self.flip,
        normalise=self.normalise,
      )

    probes, gallery = np.split(np.arange(num_images), [num_probes])
    found = people_search.search_people(
      some(probes)[:],
      some(gallery),
      people_search.People(probes, self.people),
      people_search.People(gallery, self.gallery_people),
      _CMC_RANKS,
      ties_found=True,
    )
    outcomes = {f'rank{n}': results.outcomes(found.ranks <= n) for n in _RANKS}
    max_rank = min(_CMC_RANKS, len(self.gallery_people))
    examples = people_search.examples(
      found.nearest, lambda row: (row, self.files.name(row)), _EXAMPLES
    )
    return results.Analysis(
      {key: x.score() for key, x in outcomes.items()},
      curves={'CMC': people_search.cmc_curve(found.ranks, max_rank)},
      examples=examples,
      outcomes=outcomes,
    )


def build(
  *,
  root: str,
  flip: str = 'sum',
  normalise: bool = True,
) -> TinyFace:
  """Looks the images up.

  Args:
    root: the folder that holds `Testing_Set`.
    flip: how f(x) and f(mirror x) are fused: 'sum', 'none' or 'joined'.
    normalise: whether features are divided by their length.

  Raises:
    Absent: if there is no such folder.
    UserError: if a folder has no images, the name of an image does not tell
      the person, or a probe has no mate in the gallery.
  """
  errors.choose('way to fuse flips', flip, fusion.FLIPS)
  base = os.path.join(root, 'Testing_Set')
  if not os.path.isdir(base):
    raise benchmarks.Absent(f'There is no folder {base} of TinyFace.')
  names = [_images(root, os.path.join('Testing_Set', x)) for x in _FOLDERS]
  probes, mates, distractors = names
  people = np.array([_person(name) for name in probes])
  of_mates = np.array([_person(name) for name in mates])
  lacking = np.flatnonzero(~np.isin(people, of_mates))
  if len(lacking):
    raise errors.UserError(
      f'{len(lacking)} of {len(probes)} probes have no image of the same '
      f'person in {_FOLDERS[1]}:\n'
      + first_lines(probes[i] for i in lacking)
      + '\nComplete the data set.'
    )
  images = files.ImageFiles(probes + mates + distractors, root)
  images.check_exist()
  return TinyFace(
    images,
    people,
    np.r_[of_mates, np.full(len(distractors), -1)],
    flip,
    normalise,
  )


def _images(root: str, folder: str) -> list[str]:
  """The images of a folder at any depth, sorted, relative to `root`."""
  place = os.path.join(root, folder)
  inside = sorted(folders.images_below(place)) if os.path.isdir(place) else []
  if not inside:
    raise errors.UserError(
      f'No images ({", ".join(folders.SUFFIXES)}) in {place}. Complete the '
      'data set.'
    )
  return [os.path.join(folder, os.fsdecode(path)) for path in inside]


def _person(name: str) -> int:
  person, _, _ = os.path.basename(name).partition('_')
  if not (person.isascii() and person.isdigit()):
    raise errors.UserError(
      f'The name of {printable(name)} does not tell the person: expected '
      'is `<person>_<number>.jpg` with a number for the person.'
    )
  return int(person)
