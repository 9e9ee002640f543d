"""A search of probes among distractors, and what is to be seen of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bfjax.evaluation import search
from bfjax.evaluation.protocols import (
  explanations,
  identification,
  products,
  roc,
)
from bfjax.report import results

_BINS = 60
_RANK, _RATE = 'rank', 'identification rate'


class Winners(NamedTuple):
  """What decides for each probe that has a mate.

  Attributes:
    probe: int [n], number of the probe.
    mate: int [n], its most similar image of the same person; of equal ones the
      first.
    mate_score: float64 [n].
    distractor: int [n], the most similar distractor; of equal ones the first.
    distractor_score: float64 [n].
  """

  probe: np.ndarray
  mate: np.ndarray
  mate_score: np.ndarray
  distractor: np.ndarray
  distractor_score: np.ndarray


class Found(NamedTuple):
  """The outcome of a search.

  Attributes:
    gallery: int [pairs], the image searched for.
    probe: int [pairs], the probe of the same person.
    scores: float64 [pairs], of the two.
    ranks: int [pairs], see `identification.ranks`.
    strangers: float64 [probes, k], the highest scores with distractors.
    rows: int [probes, k], these distractors.
    negatives: float64 [m], the highest scores of all, descending.
    num_negatives: probes times distractors.
    tar: the true accept rate at the false accept rate aimed at.
  """

  gallery: np.ndarray
  probe: np.ndarray
  scores: np.ndarray
  ranks: np.ndarray
  strangers: np.ndarray
  rows: np.ndarray
  negatives: np.ndarray
  num_negatives: int
  tar: roc.Rate


def search_among(
  probes: np.ndarray,
  mates: tuple[np.ndarray, np.ndarray],
  gallery,
  size: int,
  *,
  max_rank: int,
  min_negatives: int = 0,
  far: float,
) -> Found:
  """Searches probes among their mates and the first distractors.

  Args:
    probes: float32 [q, d].
    mates: of them, see `identification.mates`.
    gallery: the distractors, [n, d], see `search.top_k`.
    size: how many of these.
    max_rank: ranks up to it are told.
    min_negatives: keep so many scores with distractors, or more.
    far: the false accept rate aimed at.

  Raises:
    UserError: if features are not finite.
  """
  num_negatives = len(probes) * size
  needed = identification.num_negatives_needed(num_negatives, far)
  best = search.TopK(probes, gallery, min(max_rank, size))
  count = min(max(needed, min_negatives), num_negatives)
  highest = search.Highest(probes, gallery, count)
  search.scan(
    probes,
    gallery,
    (best, highest),
    slice(0, size),
    progress=f'{size} distractors',
  )
  strangers, rows = best.result()
  negatives = highest.result()
  scores = products.exact(probes, probes, mates[1], mates[0])
  return Found(
    *mates,
    scores,
    identification.ranks(scores, mates[1], strangers),
    strangers,
    rows,
    negatives,
    num_negatives,
    identification.tar_at_far(scores, negatives, num_negatives, far),
  )


def winners(found: Found) -> Winners:
  """What decides for each probe."""
  order = np.lexsort((found.gallery, -found.scores, found.probe))
  probe, first = np.unique(found.probe[order], return_index=True)
  best = order[first]
  return Winners(
    probe,
    found.gallery[best],
    found.scores[best],
    found.rows[probe, 0],
    found.strangers[probe, 0],
  )


def cmc_curve(found: Found) -> results.Curve:
  """Share of pairs found up to each rank."""
  rates = identification.cmc(found.ranks, found.strangers.shape[1])
  ranks = np.arange(1.0, len(rates) + 1)
  return results.Curve(ranks, rates, _RANK, _RATE, log_x=True)


def roc_curve(found: Found) -> results.Curve:
  """As far as the highest scores with distractors go."""
  return explanations.thinned_roc(
    found.scores, found.negatives, found.num_negatives
  )


def histogram(found: Found) -> results.Histogram:
  """Scores of one person beside those that they must exceed."""
  first = found.strangers[:, 0]
  edges = np.histogram_bin_edges(np.r_[found.scores, first], _BINS)
  counts = {
    'pairs of one person': np.histogram(found.scores, edges)[0],
    'the best distractor of each probe': np.histogram(first, edges)[0],
  }
  return results.Histogram(edges, counts, 'score')


def examples(
  winners: Winners,
  num_probes: int,
  name: Callable[[int], str],
  *,
  count: int,
  rival: str = 'distractor',
) -> tuple[results.Example, ...]:
  """The probes whose best rival is most ahead of their best mate.

  Args:
    winners: of a search.
    num_probes: the image of distractor 0; the following are the others.
    name: number of an image -> what the user knows it by.
    count: how many at most.
    rival: what a distractor is called.
  """
  ahead = winners.distractor_score - winners.mate_score
  found = []
  for i in np.argsort(-ahead, kind='stable')[:count]:
    distractor = num_probes + int(winners.distractor[i])
    of_mate, of_distractor = winners.mate_score[i], winners.distractor_score[i]
    images = (
      (int(winners.probe[i]), 'probe'),
      (int(winners.mate[i]), f'best mate {of_mate:.3f}'),
      (distractor, f'best {rival} {of_distractor:.3f}'),
    )
    won = f'a {rival} wins' if ahead[i] > 0 else 'the mate wins'
    found.append(
      results.Example(
        f'{won}; by how much the {rival} is ahead',
        tuple((row, f'{text}: {name(row)}') for row, text in images),
        float(ahead[i]),
      )
    )
  return tuple(found)
