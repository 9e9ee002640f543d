"""Identification among distractors: people among very many strangers.

Probes are images of known people; each is searched among its mates, one at a
time, and all distractors: a pair of one person has the rank among distractors
that `bfjax.evaluation.protocols.identification` defines.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bfjax.evaluation import benchmarks, search
from bfjax.evaluation.benchmarks.parts import people_search
from bfjax.evaluation.features import saved as saved_lib
from bfjax.evaluation.protocols import (
  explanations,
  fusion,
  identification,
  products,
  roc,
)
from bfjax.report import results

_RANKS = 10
_CMC_RANKS = 1000
_ROC_NEGATIVES = 1_000_000


class Found(NamedTuple):
  """The outcome of a search."""

  scores: np.ndarray  # float64 [pairs], of all pairs of one person
  ranks: np.ndarray  # int [pairs]
  strangers: np.ndarray  # float64 [probes, k], the highest with distractors
  rows: np.ndarray  # int [probes, k], these distractors
  negatives: np.ndarray  # float64 [m], the highest scores of all, descending
  tar: roc.Rate  # at the false accept rate aimed at


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distractors:
  """The protocol of MegaFace.

  Images are numbered: first the probes, then the distractors; `saved` and
  `noisy` are of the ones and of the others. See `benchmarks.Benchmark` for what
  a benchmark has, and `megaface.build` for the options.
  """

  images: benchmarks.Files
  pictures: benchmarks.Files | None  # None if there are none to be looked at
  labels: np.ndarray  # int [probes], the person of each
  saved: tuple[saved_lib.Saved, saved_lib.Saved] | None
  noisy: tuple[np.ndarray, np.ndarray] | None  # bool; None: no refined scores
  flip: str
  normalise: bool
  sizes: Sequence[int]
  far: float
  num_examples: int
  files = property(lambda self: None if self.saved else self.images)

  @property
  def num_distractors(self) -> int:
    """How many images of others are searched."""
    return self.images.num_rows - len(self.labels)

  @functools.cached_property
  def _mates(self) -> tuple[np.ndarray, np.ndarray]:
    """The probe and the other image of all ordered pairs of one person."""
    pairs = identification.mates(self.labels, self.labels)
    return tuple(x[pairs[0] != pairs[1]] for x in pairs)

  @property
  def protocol(self) -> str:
    """The protocol and its flags, in words."""
    how = fusion.in_words(self.flip, self.normalise)
    if self.saved:
      how = '; '.join(dict.fromkeys(x.in_words for x in self.saved))
      how += ', normalised' if self.normalise else ', as they are'
    text = (
      f'MegaFace: {len(self.labels)} probes of {len(np.unique(self.labels))} '
      f'people, {len(self._mates[0])} ordered pairs of one person, '
      f'{self.num_distractors} distractors; features: {how}; score: inner '
      'product; hit at rank N: the score of the pair is at least the N-th '
      'highest of the probe with the distractors; verification of the pairs of '
      'one person against all probes with all distractors: tar@far=x: TAR '
      'where the FAR is nearest to x, of the corners of the ROC; tar@far<=x: '
      'the highest TAR whose FAR is at most x'
    )
    if self.noisy:
      probes, distractors = (int(x.sum()) for x in self.noisy)
      text += (
        f'; refined: {probes} noisy probes replaced by the normalised sum of '
        f"their person's clean features, {distractors} noisy distractors by "
        'the zero vector'
      )
    return text

  @property
  def headline(self) -> tuple[str, ...]:
    """The scores that tables show."""
    prefix = 'refined/' if self.noisy else ''
    return f'{prefix}rank1', f'{prefix}{roc.score_names(self.far)[0]}'

  def evaluate(self, features: np.ndarray | None) -> dict[str, float]:
    """Searches all probes; see `benchmarks.Benchmark.evaluate`.

    Returns:
      'rank1' .. 'rank10', 'tar@far=1e-6' and 'tar@far<=1e-6', as fractions;
      of fewer distractors with their number before, '1000/rank1';
      with noise removed with 'refined/' before.
    """
    scores = {}
    for prefix, _, found in self._searches(features, _RANKS):
      scores |= _scores(prefix, found)
    return scores

  def analyse(self, features: np.ndarray | None) -> results.Analysis:
    """The same, with CMC and ROC curves, and which distractors won."""
    scores, charts, histograms, outcomes = {}, {}, {}, {}
    for prefix, size, found in self._searches(
      features, _CMC_RANKS, _ROC_NEGATIVES
    ):
      scores |= _scores(prefix, found)
      if size < self.num_distractors:
        continue
      title = ', refined' if prefix else ''
      charts[f'CMC{title}'] = people_search.cmc_curve(
        found.ranks, found.strangers.shape[1]
      )
      charts[f'ROC{title}'] = explanations.thinned_roc(
        found.scores, found.negatives, len(found.strangers) * size
      )
      groups = {
        'pairs of one person': found.scores,
        'the best distractor of each probe': found.strangers[:, 0],
      }
      histograms[f'scores{title}'] = explanations.histogram(groups, 'score')
      outcomes[f'{prefix}rank1'] = results.outcomes(found.ranks <= 1)
      outcomes[f'{prefix}{roc.score_names(self.far)[0]}'] = results.outcomes(
        found.scores >= found.tar.nearest.threshold
      )
    best = identification.best(*self._mates, found.scores)
    probe, mate = (x[best] for x in self._mates)
    nearest = people_search.Nearest(
      probe,
      mate,
      found.scores[best],
      len(self.labels) + found.rows[probe, 0],
      found.strangers[probe, 0],
    )
    examples = people_search.examples(
      nearest,
      lambda row: (row, self.images.name(row)),
      self.num_examples,
      'distractor',
    )
    return results.Analysis(scores, charts, histograms, examples, outcomes)

  def _searches(
    self, features, max_rank: int, min_negatives: int = 0
  ) -> Iterator[tuple[str, int, Found]]:
    """Yields (prefix of scores, distractors, what is found among them).

    Ranks up to `max_rank` are told, and at least `min_negatives` of the highest
    scores with distractors kept.
    """
    num_probes, num_all = len(self.labels), self.images.num_rows
    if self.saved is None and len(features) != num_all:
      raise ValueError(f'{len(features)} features, {num_all} images')
    saved = self.saved or (
      saved_lib.Saved(features, np.arange(num_probes), ''),
      saved_lib.Saved(features, np.arange(num_probes, num_all), ''),
    )

    def fused(part, first, zeros=()):
      return fusion.Fused(
        saved[part].features,
        saved[part].rows,
        lambda i: self.images.name(first + i),
        flip=self.flip,
        normalise=self.normalise,
        zeros=zeros,
      )

    probes = fused(0, 0)[:]
    variants = [('', probes, fused(1, num_probes))]
    if self.noisy:
      clean = identification.without_noise(probes, self.labels, self.noisy[0])
      gallery = fused(1, num_probes, zeros=np.flatnonzero(self.noisy[1]))
      variants.append(('refined/', clean, gallery))
    for prefix, probes, gallery in variants:
      for size in sorted({*self.sizes, self.num_distractors}):
        found = self._search(probes, gallery, size, max_rank, min_negatives)
        of_size = f'{size}/' if size < self.num_distractors else ''
        yield prefix + of_size, size, found

  def _search(self, probes, gallery, size, max_rank, min_negatives) -> Found:
    """Searches probes among their mates and the first `size` distractors."""
    num_negatives = len(probes) * size
    needed = roc.num_negatives_needed(num_negatives, self.far)
    count = min(max(needed, min_negatives), num_negatives)
    nearest = search.TopK(probes, gallery, min(max_rank, size))
    highest = search.Highest(probes, gallery, count)
    both, what = (nearest, highest), f'{size} distractors'
    search.scan(probes, gallery, both, slice(0, size), progress=what)
    strangers, rows = nearest.result()
    negatives = highest.result()
    scores = products.exact(probes, probes, *self._mates)
    return Found(
      scores,
      identification.ranks(scores, self._mates[0], strangers),
      strangers,
      rows,
      negatives,
      roc.rate_of_highest(scores, negatives, num_negatives, self.far),
    )


def _scores(prefix: str, found: Found) -> dict[str, float]:
  cmc = identification.cmc(found.ranks, _RANKS)
  scores = {f'{prefix}rank{i}': float(x) for i, x in enumerate(cmc, 1)}
  points = found.tar.points().items()
  return scores | {f'{prefix}{name}': point.tar for name, point in points}
