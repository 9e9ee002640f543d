"""TinyFace: people in very small pictures among 153,428 distractors.

The folder of the published test, images named `<person>_<number>.jpg`:

    root/Testing_Set/Probe                the images to search for
    root/Testing_Set/Gallery_Match        other images of the same people
    root/Testing_Set/Gallery_Distractor   images of strangers, any names

A probe is found at rank N if, of its mates, the most similar has at least the
N-th highest score of the whole gallery. Images of any size are taken; they are
resized to what the network sees.
"""

import os

import numpy as np

from bfjax import errors
from bfjax.data import files, folders
from bfjax.evaluation import benchmarks, search
from bfjax.evaluation.benchmarks.parts import distractor_search
from bfjax.evaluation.protocols import fusion, identification, products
from bfjax.report import results
from bfjax.text import first_lines, printable

_FOLDERS = ('Probe', 'Gallery_Match', 'Gallery_Distractor')
_RANKS = (1, 5, 10, 20)
_CMC_RANKS = 100
_EXAMPLES = 16


class TinyFace:
  """Closed-set identification of probes in a gallery with distractors.

  Images are numbered: probes, mates, distractors.

  Attributes:
    files: the images.
    people: int [probes], the person of each probe.
    gallery_people: int [gallery], of each gallery image; -1 for distractors.
  """

  headline = ('rank1', 'rank5', 'rank20')

  def __init__(
    self,
    files,
    people: np.ndarray,
    gallery_people: np.ndarray,
    flip: str = 'sum',
    normalise: bool = True,
  ):
    """Takes the attributes, and how to fuse features: see `fusion.fuse`."""
    self.files, self.people = files, people
    self.gallery_people = gallery_people
    self._how = {'flip': flip, 'normalise': normalise}
    order = np.argsort(gallery_people, kind='stable')
    first = np.searchsorted(gallery_people[order], people, side='left')
    last = np.searchsorted(gallery_people[order], people, side='right')
    counts = last - first
    self._probe = np.repeat(np.arange(len(people)), counts)
    within = np.arange(counts.sum()) - np.repeat(
      np.cumsum(counts) - counts, counts
    )
    self._mate = order[np.repeat(first, counts) + within]

  @property
  def protocol(self) -> str:
    """The protocol and its flags, in words."""
    num_mates = int(np.sum(self.gallery_people >= 0))
    return (
      f'TinyFace: {len(self.people)} probes in a gallery of {num_mates} images '
      f'of the same people and {len(self.gallery_people) - num_mates} '
      f'distractors; features: {fusion.in_words(**self._how)}; score: inner '
      'product; found at rank N: the most similar image of the person has at '
      'least the N-th highest score of the gallery'
    )

  def evaluate(self, features: np.ndarray) -> dict[str, float]:
    """Searches all probes.

    Args:
      features: float32 [files.num_rows, 2, d]: f(x) and f(mirror x).

    Returns:
      'rank1', 'rank5', 'rank10' and 'rank20', as fractions.

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    ranks = self._search(features, max(_RANKS))[0]
    return _scores(ranks)

  def analyse(self, features: np.ndarray) -> results.Analysis:
    """The same, with the CMC curve, and who was taken for whom."""
    ranks, winners = self._search(features, _CMC_RANKS)
    max_rank = min(_CMC_RANKS, len(self.gallery_people))
    curve = results.Curve(
      np.arange(1.0, max_rank + 1),
      identification.cmc(ranks, max_rank),
      'rank',
      'identification rate',
      log_x=True,
    )
    examples = distractor_search.examples(
      winners,
      len(self.people),
      self.files.name,
      count=_EXAMPLES,
      rival='stranger',
    )
    return results.Analysis(
      _scores(ranks),
      curves={'CMC': curve},
      examples=examples,
      outcomes={f'rank{n}': results.outcomes(ranks <= n) for n in _RANKS},
    )

  def _search(self, features, max_rank):
    """(rank of each probe, what decides for it)."""
    num_probes = len(self.people)
    num_images = num_probes + len(self.gallery_people)
    if len(features) != num_images:
      raise ValueError(f'{len(features)} features, {num_images} images')

    def some(rows):
      return fusion.Fused(
        features, rows, lambda i: self.files.name(rows[i]), **self._how
      )

    probes = some(range(num_probes))[:]
    gallery = some(range(num_probes, num_images))
    # One more than the mates, so that a stranger is among them.
    most = int(np.bincount(self._probe).max()) + 1
    k = min(max(max_rank, most), len(gallery))
    highest, rows = search.top_k(probes, gallery, k)
    scores = products.exact(probes, gallery, self._probe, self._mate)
    order = np.lexsort((self._mate, -scores, self._probe))
    best = order[np.unique(self._probe[order], return_index=True)[1]]
    is_mate = self.gallery_people[rows] == self.people[:, None]
    stranger = np.argmin(is_mate, axis=1)
    every = np.arange(num_probes)
    with_stranger = every[~is_mate[every, stranger]]
    winners = distractor_search.Winners(
      with_stranger,
      num_probes + self._mate[best][with_stranger],
      scores[best][with_stranger],
      rows[every, stranger][with_stranger],
      highest[every, stranger][with_stranger],
    )
    return identification.ranks(scores[best], every, highest), winners


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


def _scores(ranks) -> dict[str, float]:
  rates = identification.cmc(ranks, max(_RANKS))
  return {f'rank{n}': float(rates[n - 1]) for n in _RANKS}
