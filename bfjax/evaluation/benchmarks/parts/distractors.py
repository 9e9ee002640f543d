"""Identification among distractors: people among very many strangers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bfjax.evaluation.benchmarks.parts import distractor_search, template_pairs
from bfjax.evaluation.features import saved as saved_lib
from bfjax.evaluation.protocols import fusion, identification
from bfjax.report import results

_RANKS = 10
_CMC_RANKS = 1000
_ROC_NEGATIVES = 1_000_000


class Distractors:
  """The protocol of MegaFace.

  Probes are images of known people; each is searched among its mates, one at
  a time, and all distractors (see `identification`). Images are numbered:
  first the probes, then the distractors.

  Attributes:
    files: the images to embed; None where the features are saved.
    pictures: the images, for those who look at examples; None if there are
      none.
    labels: int [probes], the person of each probe.
    noisy: bool [probes] and bool [distractors], the images that refined scores
      replace; None for no refined scores.
  """

  def __init__(
    self,
    files,
    labels: np.ndarray,
    num_distractors: int,
    name: Callable[[int], str],
    *,
    pictures=None,
    saved: tuple[saved_lib.Saved, saved_lib.Saved] | None = None,
    noisy: tuple[np.ndarray, np.ndarray] | None = None,
    flip: str = 'sum',
    normalise: bool = True,
    sizes: Sequence[int] = (),
    far: float = 1e-6,
    num_examples: int = 16,
  ):
    """Takes the attributes.

    Args:
      files: see above.
      labels: see above.
      num_distractors: how many distractors there are.
      name: number of an image -> what the user knows it by.
      pictures: see above.
      saved: the features of the probes and of the distractors.
      noisy: see above.
      flip: see `fusion.fuse`.
      normalise: likewise.
      sizes: evaluate with the first so many distractors, too.
      far: false accept rate of the verification.
      num_examples: how many probes an analysis explains.
    """
    self.files, self.pictures, self.labels = files, pictures, labels
    self.noisy, self._saved, self._name = noisy, saved, name
    self._num_distractors, self._far = num_distractors, far
    self._num_examples = num_examples
    self._how = {'flip': flip, 'normalise': normalise}
    self._sizes = sorted({*sizes, num_distractors})
    self.mates = identification.mates(labels)

  @property
  def protocol(self) -> str:
    """The protocol and its flags, in words."""
    how = fusion.in_words(**self._how)
    if self._saved:
      normalise = self._how['normalise']
      how = '; '.join(dict.fromkeys(x.in_words for x in self._saved))
      how += ', normalised' if normalise else ', as they are'
    text = (
      f'MegaFace: {len(self.labels)} probes of {len(np.unique(self.labels))} '
      f'people, {len(self.mates[0])} ordered pairs of one person, '
      f'{self._num_distractors} distractors; features: {how}; score: inner '
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
    prefix = 'refined/' if self.noisy else ''
    return f'{prefix}rank1', f'{prefix}{self._tar_name()}'

  def evaluate(self, features: np.ndarray | None) -> dict[str, float]:
    """Searches all probes.

    Args:
      features: float32 [files.num_rows, 2, d]: f(x) and f(mirror x); None
        where the features are saved.

    Returns:
      'rank1' .. 'rank10', 'tar@far=1e-6' and 'tar@far<=1e-6', as fractions;
      of fewer distractors with their number before, '1000/rank1';
      with noise removed with 'refined/' before.

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    scores = {}
    for prefix, probes, gallery in self._variants(features):
      for size in self._sizes:
        found = self._search(probes, gallery, size, _RANKS)
        scores |= self._scores(found, prefix, size)
    return scores

  def analyse(self, features: np.ndarray | None) -> results.Analysis:
    """The same, with CMC and ROC curves, and which distractors won."""
    scores, curves, histograms, outcomes = {}, {}, {}, {}
    for prefix, probes, gallery in self._variants(features):
      for size in self._sizes:
        whole = size == self._num_distractors
        found = self._search(
          probes,
          gallery,
          size,
          _CMC_RANKS if whole else _RANKS,
          _ROC_NEGATIVES if whole else 0,
        )
        scores |= self._scores(found, prefix, size)
      title = ', refined' if prefix else ''
      curves[f'CMC{title}'] = distractor_search.cmc_curve(found)
      curves[f'ROC{title}'] = distractor_search.roc_curve(found)
      histograms[f'scores{title}'] = distractor_search.histogram(found)
      outcomes[f'{prefix}rank1'] = results.outcomes(found.ranks <= 1)
      outcomes[f'{prefix}{self._tar_name()}'] = results.outcomes(
        found.scores >= found.tar.nearest.threshold
      )
    examples = distractor_search.examples(
      distractor_search.winners(found),
      len(self.labels),
      self._name,
      count=self._num_examples,
    )
    return results.Analysis(scores, curves, histograms, examples, outcomes)

  def winners(self, features: np.ndarray | None) -> distractor_search.Winners:
    """Which distractor came first for each probe; refined if noise is known.

    Args:
      features: as in `evaluate`.
    """
    *_, (_, probes, gallery) = self._variants(features)
    return distractor_search.winners(
      self._search(probes, gallery, self._num_distractors, 1)
    )

  def _variants(self, features) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Yields (prefix of scores, probes float32 [q, d], distractors)."""
    num_probes, num_all = len(self.labels), self._num_distractors
    num_all += num_probes
    saved = self._saved or (
      saved_lib.Saved(features, range(num_probes), ''),
      saved_lib.Saved(features, range(num_probes, num_all), ''),
    )
    if self._saved is None and len(features) != num_all:
      raise ValueError(f'{len(features)} features, {num_all} images')
    probes = fusion.Fused(
      saved[0].features, saved[0].rows, self._name, **self._how
    )[:]

    def distractors(zeros=()):
      return fusion.Fused(
        saved[1].features,
        saved[1].rows,
        lambda i: self._name(num_probes + i),
        zeros=zeros,
        **self._how,
      )

    yield '', probes, distractors()
    if self.noisy:
      clean = identification.without_noise(probes, self.labels, self.noisy[0])
      yield 'refined/', clean, distractors(np.flatnonzero(self.noisy[1]))

  def _search(self, probes, gallery, size, max_rank, min_negatives=0):
    return distractor_search.search_among(
      probes,
      self.mates,
      gallery,
      size,
      max_rank=max_rank,
      min_negatives=min_negatives,
      far=self._far,
    )

  def _tar_name(self, conservative=False):
    return template_pairs.score_name(self._far, conservative=conservative)

  def _scores(self, found, prefix, size) -> dict[str, float]:
    if size != self._num_distractors:
      prefix = f'{prefix}{size}/'
    rates = identification.cmc(found.ranks, _RANKS)
    scores = {f'{prefix}rank{i + 1}': float(x) for i, x in enumerate(rates)}
    scores[f'{prefix}{self._tar_name()}'] = found.tar.nearest.tar
    conservative = found.tar.conservative.tar
    scores[f'{prefix}{self._tar_name(conservative=True)}'] = conservative
    return scores
