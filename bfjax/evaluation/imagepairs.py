"""Verification on pairs of images: the protocols, and what explains them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bfjax import errors
from bfjax.evaluation.protocols import (
  explanations,
  folding,
  fusion,
  verification,
)
from bfjax.report import results

_HARDEST = 8  # pairs of each kind
_SCORES = {'boundaryface': 'cosine', 'insightface': 'squared distance'}
_IN_WORDS = {
  'boundaryface': (
    'boundaryface: f(x) and f(mirror x) joined, minus their mean over the other'
    ' folds, cosine; threshold: the mean of all j / 10000 that decide best'
  ),
  'insightface': (
    'insightface: f(x) + f(mirror x) normalised, squared distance; threshold:'
    ' the first of 0, .01 .. 3.99 that decides best; val: the share of same'
    ' pairs accepted at FAR = 1e-3'
  ),
}


@dataclasses.dataclass(eq=False)
class Pairs:
  """Verification of pairs of images; see `benchmarks.Benchmark`.

  Raises:
    UserError: if there is no such protocol, or if the pairs cannot be split
      into the folds as the protocols need.
  """

  files: Any  # the images of all pairs, each once
  left: np.ndarray  # int32 [n], row in `files` of the left image of each pair
  right: np.ndarray  # int32 [n], that of the right one
  same: np.ndarray  # bool [n], whether the two are one person
  folds: int = 10  # how many
  protocols: Sequence[str] = tuple(_SCORES)

  def __post_init__(self):
    self.left = np.asarray(self.left, np.int32)
    self.right = np.asarray(self.right, np.int32)
    self.same = np.asarray(self.same, bool)
    for name in self.protocols:
      errors.choose('protocol', name, verification.PROTOCOLS)
      equal = name == 'boundaryface'
      folding.check(len(self.same), self.folds, equal)

  @property
  def protocol(self) -> str:
    """The protocols and the pairs, in words."""
    num_same = int(self.same.sum())
    pairs = (
      f'{len(self.same)} pairs ({num_same} of one person), {self.folds} '
      'contiguous folds, the threshold of each chosen on the others'
    )
    return '; '.join([pairs, *(_IN_WORDS[name] for name in self.protocols)])

  @property
  def headline(self) -> tuple[str, ...]:
    """The scores that tables show."""
    return tuple(f'{name}/accuracy' for name in self.protocols)

  def evaluate(self, features: np.ndarray) -> dict[str, float]:
    """Runs the protocols.

    Args:
      features: float32 [files.num_rows, 2, d]: f(x) and f(mirror x).

    Returns:
      '<protocol>/accuracy', '<protocol>/std' and '<protocol>/threshold' (the
      mean over the folds); for insightface also 'insightface/val',
      'insightface/val_std' and 'insightface/far'. Rates are fractions of 1,
      not per cent; a threshold is of the cosine (boundaryface) or of the
      squared distance (insightface).

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    return _numbers(self._verify(features))

  def analyse(self, features: np.ndarray) -> results.Analysis:
    """The same, with ROC curves, histograms and the hardest pairs.

    Curves and histograms are of the scores of all folds together, each pair
    as its own fold sees it; the hardest pairs are those of the first protocol.
    """
    found = self._verify(features)
    strata = folding.fold_of(len(self.same), self.folds)
    rocs, histograms, examples, outcomes = {}, {}, (), {}
    for name, result in found.items():
      what = _SCORES[name]
      alike = result.scores if name == 'boundaryface' else -result.scores
      rocs[f'ROC, {name}'] = explanations.roc(alike, self.same)
      histograms[f'scores, {name}'] = explanations.histogram(
        {
          'different people': result.scores[~self.same],
          'same person': result.scores[self.same],
        },
        what,
      )
      outcomes[f'{name}/accuracy'] = results.Outcomes(
        result.decided_right, strata, self.folds
      )
      if result.val is not None:
        outcomes[f'{name}/val'] = results.Outcomes(
          result.accepted[self.same], strata[self.same], self.folds
        )
      examples = examples or self._hardest(result, alike, what)
    return results.Analysis(
      _numbers(found), rocs, histograms, examples, outcomes
    )

  def _verify(self, features):
    """Protocol -> its outcome, for features of known images."""
    features = np.asarray(features)
    if len(features) != self.files.num_rows:
      raise ValueError(
        f'{len(features)} features, {self.files.num_rows} images'
      )
    fusion.check_finite(features, self.files.name)
    return {
      name: verification.PROTOCOLS[name](
        features, self.left, self.right, self.same, self.folds
      )
      for name in self.protocols
    }

  def _hardest(self, result, alike, what):
    found = explanations.hardest_pairs(
      alike,
      self.same,
      self.left,
      self.right,
      lambda row: (row, self.files.name(row)),
      of_each=_HARDEST,
      what=what,
    )
    # Shown as the protocol has them: a distance is positive.
    sign = 1 if alike is result.scores else -1
    return tuple(x._replace(score=sign * x.score) for x in found)


def _numbers(found) -> dict[str, float]:
  numbers = {}
  for name, result in found.items():
    numbers[f'{name}/accuracy'] = result.accuracy
    numbers[f'{name}/std'] = result.std
    numbers[f'{name}/threshold'] = float(result.thresholds.mean())
    if result.val is not None:
      numbers[f'{name}/val'] = result.val.rate
      numbers[f'{name}/val_std'] = result.val.std
      numbers[f'{name}/far'] = result.val.far
  return numbers
