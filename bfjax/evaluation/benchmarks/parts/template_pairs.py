"""Verification of pairs of templates: IJB-B and IJB-C 1:1."""

from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.evaluation.protocols import explanations, pair_scores, roc
from bfjax.report import results

_BINS = 100
_HARDEST = 8  # pairs of each kind


class TemplatePairs:
  """True accept rates of pairs of templates at false accept rates.

  Attributes:
    files: what to embed; None where features are saved.
    pictures: the images of examples.
    protocol: all that numbers depend on, in words.
    headline: the scores that tables show.
  """

  def __init__(
    self,
    name: str,
    images,
    left: np.ndarray,
    right: np.ndarray,
    same: np.ndarray,
    fars: Sequence[float] = roc.FARS,
  ):
    """Takes the pairs.

    Args:
      name: of the data set, 'IJB-C'.
      images: has files, pictures, pool, describe and picture_of, as
        `ijb_images.Images`.
      left: int32 [n], the templates on the left of the pairs.
      right: int32 [n], on the right.
      same: bool [n], whether the two are of one person.
      fars: false accept rates aimed at.

    Raises:
      UserError: if there is no pair of one person, or none of two; or if a
        rate is not between 0 and 1.
    """
    self._name, self._images = name, images
    self.files, self.pictures = images.files, images.pictures
    self._left, self._right, self._same = left, right, same
    self._fars = tuple(fars)
    num_same = int(np.count_nonzero(same))
    if not 0 < num_same < len(same):
      raise errors.UserError(
        f'{num_same} of the {len(same)} pairs are of one person: true and '
        'false accept rates need pairs of both kinds.'
      )
    for far in self._fars:
      if not 0 < far <= 1:
        raise errors.UserError(
          f'A false accept rate is above 0 and at most 1, not {far}.'
        )
    self.headline = tuple(
      score_name(far, conservative=False) for far in self._fars
    )
    self.protocol = (
      f'{name} 1:1 verification, {len(same)} pairs ({num_same} of one person); '
      f'{images.describe()}; tar@far=x: TAR where the FAR is nearest to x, of '
      'the corners of the ROC, as InsightFace reads it; tar@far<=x: the '
      'highest TAR whose FAR is at most x'
    )

  def evaluate(self, features: np.ndarray | None) -> dict[str, float]:
    """Pools the templates, scores the pairs, reads the ROC.

    Args:
      features: float32 [n, 2, d] of `files`; None for saved ones.

    Returns:
      'tar@far=1e-4', 'tar@far<=1e-4' and so on, for each rate; fractions.

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    return _numbers(self._rates(*self._score(features)))

  def analyse(self, features: np.ndarray | None) -> results.Analysis:
    """The same, with the ROC, the histogram and the hardest pairs.

    Outcomes are those of the pairs of one person, at the threshold found.
    """
    unit, rounded = self._score(features)
    rates = self._rates(unit, rounded)
    positives = rounded[self._same]
    outcomes = {}
    for rate in rates:
      for conservative, point in enumerate((rate.nearest, rate.conservative)):
        key = score_name(rate.target, conservative=bool(conservative))
        outcomes[key] = results.outcomes(
          self._accepted(unit, positives, point.threshold)
        )
    return results.Analysis(
      _numbers(rates),
      {
        f'ROC, {self._name} 1:1': explanations.thinned_roc(
          positives, rounded[~self._same]
        )
      },
      {f'scores, {self._name} 1:1': _histogram(rounded, self._same)},
      self._hardest(unit, rounded) if self.pictures else (),
      outcomes,
    )

  def _score(self, features):
    unit = self._images.pool(features)
    return unit, pair_scores.rounded(unit, self._left, self._right)

  def _exact(self, unit, pairs):
    return pair_scores.exact(unit, self._left[pairs], self._right[pairs])

  def _rates(self, unit, rounded):
    return roc.rates(
      rounded,
      self._same,
      self._fars,
      exact=lambda pairs: self._exact(unit, pairs),
      slack=pair_scores.slack(unit.shape[1]),
    )

  def _accepted(self, unit, positives, threshold) -> np.ndarray:
    """bool [positives]: which pairs of one person reach a threshold."""
    accepted = positives >= threshold
    slack = pair_scores.slack(unit.shape[1])
    close = np.flatnonzero(np.abs(positives - threshold) <= 2 * slack)
    pairs = np.flatnonzero(self._same)[close]
    accepted[close] = self._exact(unit, pairs) >= threshold
    return accepted

  def _hardest(self, unit, rounded) -> tuple[results.Example, ...]:
    """The pairs of one person that score least, of two that score most."""
    examples = []
    for kind, sign in ((True, 1), (False, -1)):
      pairs = np.flatnonzero(self._same == kind)
      badness = sign * rounded[pairs]
      count = min(4 * _HARDEST, len(pairs))
      pairs = np.sort(pairs[np.argpartition(badness, count - 1)[:count]])
      scores = self._exact(unit, pairs)
      caption = 'same person' if kind else 'different people'
      for i in np.argsort(sign * scores, kind='stable')[:_HARDEST]:
        sides = (self._left[pairs[i]], self._right[pairs[i]])
        pictures = tuple(self._images.picture_of(side) for side in sides)
        examples.append(
          results.Example(f'{caption}, cosine', pictures, float(scores[i]))
        )
    return tuple(examples)


def score_name(far: float, *, conservative: bool) -> str:
  """'tar@far=1e-4', or 'tar@far<=1e-4' for the conservative one."""
  number = np.format_float_scientific(far, trim='-', exp_digits=1)
  return f'tar@far{"<=" if conservative else "="}{number}'


def _numbers(rates) -> dict[str, float]:
  numbers = {}
  for rate in rates:
    found = rate.nearest.tar, rate.conservative.tar
    for conservative, tar in zip((False, True), found, strict=True):
      numbers[score_name(rate.target, conservative=conservative)] = tar
  return numbers


def _histogram(scores, same) -> results.Histogram:
  edges = np.linspace(-1, 1, _BINS + 1)
  # A score may be 1 and rounded up.
  scores = np.clip(scores, -1, 1)
  return results.Histogram(
    edges,
    {
      'different people': np.histogram(scores[~same], edges)[0],
      'same person': np.histogram(scores[same], edges)[0],
    },
    'cosine',
  )
