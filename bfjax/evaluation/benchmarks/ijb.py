"""IJB-B and IJB-C 1:1: is this pair of sets of images of one person?

`parts.ijb_images` has the layout of the folder; the pairs are in

    root/meta/NAME_template_pair_label.txt    lines `template template label`

with label 1 for one person and 0 for two. `templates`, `pair_scores` and `roc`
in `bfjax.evaluation.protocols` have the formulas.
"""

import dataclasses
from collections.abc import Sequence
from typing import Unpack

import numpy as np

from bfjax import errors
from bfjax.evaluation.benchmarks.parts import (
  ijb_images,
  ijb_lists,
)
from bfjax.evaluation.protocols import explanations, pair_scores, products, roc
from bfjax.report import results
from bfjax.text import printable

_BINS = 100
_HARDEST = 8  # pairs of each kind


@dataclasses.dataclass(frozen=True)
class TemplatePairs:
  """True accept rates of pairs of templates at false accept rates."""

  images: ijb_images.Images
  left: np.ndarray  # int32 [n], the templates on the left of the pairs
  right: np.ndarray  # int32 [n], on the right
  same: np.ndarray  # bool [n], whether the two are of one person
  fars: Sequence[float]
  files = property(lambda self: self.images.files)
  pictures = property(lambda self: self.images.pictures)

  @property
  def headline(self) -> tuple[str, ...]:
    """The scores that tables show."""
    return tuple(roc.score_names(far)[0] for far in self.fars)

  @property
  def protocol(self) -> str:
    """The protocol and its flags, in words."""
    return (
      f'{self.images.name} 1:1 verification, {len(self.same)} pairs '
      f'({np.count_nonzero(self.same)} of one person); '
      f'{self.images.describe()}; tar@far=x: TAR where the FAR is nearest to x,'
      ' of the corners of the ROC, as InsightFace reads it; tar@far<=x: the '
      'highest TAR whose FAR is at most x'
    )

  def evaluate(self, features: np.ndarray | None) -> dict[str, float]:
    """'tar@far=1e-4', 'tar@far<=1e-4' and so on; see `Benchmark.evaluate`."""
    points = self._points(*self._score(features))
    return {name: point.tar for name, point in points.items()}

  def analyse(self, features: np.ndarray | None) -> results.Analysis:
    """The same, with the ROC, the histogram and the hardest pairs.

    Outcomes are those of the pairs of one person, at the threshold found.
    """
    unit, rounded = self._score(features)
    points = self._points(unit, rounded)
    positives = self._exact(unit, np.flatnonzero(self.same))
    same, different = rounded[self.same], rounded[~self.same]
    histogram = explanations.histogram(
      {'different people': different, 'same person': same},
      'cosine',
      np.linspace(-1, 1, _BINS + 1),
    )
    title = f'{self.images.name} 1:1'
    return results.Analysis(
      {name: point.tar for name, point in points.items()},
      {f'ROC, {title}': explanations.thinned_roc(same, different)},
      {f'scores, {title}': histogram},
      self._hardest(unit, rounded) if self.pictures else (),
      {
        name: results.outcomes(positives >= point.threshold)
        for name, point in points.items()
      },
    )

  def _score(self, features):
    """The templates, and the rounded scores of all pairs."""
    unit = self.images.pool(features)
    return unit, pair_scores.rounded(unit, self.left, self.right)

  def _exact(self, unit, pairs):
    return products.exact(unit, unit, self.left[pairs], self.right[pairs])

  def _points(self, unit, rounded) -> dict[str, roc.Point]:
    """Name of a score -> the point of the ROC whose TAR it is."""
    rates = roc.rates(
      rounded,
      self.same,
      self.fars,
      exact=lambda pairs: self._exact(unit, pairs),
      slack=pair_scores.slack(unit.shape[1]),
    )
    return {name: x for rate in rates for name, x in rate.points().items()}

  def _hardest(self, unit, rounded) -> tuple[results.Example, ...]:
    """The pairs of one person that score least, of two that score most."""
    chosen = []
    for kind, badness in ((self.same, rounded), (~self.same, -rounded)):
      pairs = np.flatnonzero(kind)
      count = min(4 * _HARDEST, len(pairs))
      chosen.append(pairs[np.argpartition(badness[pairs], count - 1)[:count]])
    pairs = np.sort(np.concatenate(chosen))
    return explanations.hardest_pairs(
      self._exact(unit, pairs),
      self.same[pairs],
      self.left[pairs],
      self.right[pairs],
      self.images.picture_of,
      of_each=_HARDEST,
      what='cosine',
    )


def build(
  *,
  fars: Sequence[float] = roc.FARS,
  pair_list: str = '',
  **images: Unpack[ijb_images.Options],  # type: ignore[misc]
) -> TemplatePairs:
  """Reads the lists and looks the images, or their features, up.

  Args:
    fars: false accept rates aimed at.
    pair_list: the list of pairs; '' for the usual one.
    **images: see `ijb_images.Options`; `root` is needed.

  Raises:
    Absent: if there is no list of templates and media.
    UserError: if a flag has no such value, a list is missing or cannot be
      understood, lists do not fit each other, images or features are missing,
      or there are no pairs of one kind. Lists are named with the line.
  """
  options = ijb_images.Options(**images)
  found = ijb_images.Images(options)
  path = options.in_meta(pair_list, 'template_pair_label.txt')
  left, right, same = ijb_lists.read_pairs(path)
  left, right = (found.find(path, ids) for ids in (left, right))
  num_same = int(np.count_nonzero(same))
  if not 0 < num_same < len(same):
    raise errors.UserError(
      f'{printable(path)}: {num_same} of the {len(same)} pairs are of one '
      'person: true and false accept rates need pairs of both kinds.'
    )
  for far in fars:
    if not 0 < far <= 1:
      raise errors.UserError(
        f'A false accept rate is above 0 and at most 1, not {far}.'
      )
  return TemplatePairs(found, left, right, same, fars)
