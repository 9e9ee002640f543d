"""Search for people among galleries of templates: IJB-B and IJB-C 1:N.

A probe is mated in a gallery if the gallery has templates of its person; m is
the highest score with one of them. Then

    rank = 1 + #{templates of other people in the gallery that score >= m}

so a tie counts against the system. Rank-N is the share of mated probes whose
rank is at most N (closed set). In the open set, a search reports the highest
score of the gallery if it is above a threshold t:

    FPIR(t) = #{non-mated probes whose highest score > t} / #non-mated
    TPIR(t) = #{mated probes of rank 1 with m > t} / #mated

TPIR at an FPIR x is taken at the least t for which FPIR(t) <= x: a score of a
non-mated probe. Nothing is interpolated, and ties count against the system.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.evaluation import search
from bfjax.evaluation.protocols import products
from bfjax.report import results

_MAX_RANK = 50  # that the curve goes to
_MAX_POINTS = 2000
_HARDEST = 8


class People(NamedTuple):
  """Templates, int32 [n] into those of the data set, and whose they are."""

  templates: np.ndarray
  subjects: np.ndarray


class Found(NamedTuple):
  """What searching one gallery has found.

  Attributes:
    mated: int [m], which probes are mated.
    ranks: int [m], theirs; exact up to the highest rank asked for.
    scores: float64 [m], the score m of each.
    mates: int [m], the template of the gallery that has it.
    winners: int [m], the template that scores highest.
    strangers: float64, descending: the highest scores of non-mated probes.
  """

  mated: np.ndarray
  ranks: np.ndarray
  scores: np.ndarray
  mates: np.ndarray
  winners: np.ndarray
  strangers: np.ndarray

  def threshold(self, fpir: float) -> float:
    """The least t with FPIR(t) <= `fpir`."""
    total = len(self.strangers)
    at_most = np.arange(total + 1) / total <= fpir
    count = int(np.count_nonzero(at_most)) - 1
    return float(self.strangers[count]) if count < total else -np.inf

  def identified(self, threshold: float) -> np.ndarray:
    """bool [m]: which mated probes are found above a threshold."""
    return (self.ranks == 1) & (self.scores > threshold)


class TemplateSearch:
  """Rank-N and TPIR at FPIR of probes in galleries.

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
    galleries: Mapping[str, People],
    probes: People,
    ranks: Sequence[int] = (1, 5, 10),
    fpirs: Sequence[float] = (0.01, 0.1),
  ):
    """Takes the people.

    Args:
      name: of the data set, 'IJB-C'.
      images: has files, pictures, pool, describe and picture_of, as
        `ijb_images.Images`.
      galleries: name -> its templates.
      probes: the templates that are searched for in each.
      ranks: the N of rank-N.
      fpirs: false positive identification rates; () for no open set.

    Raises:
      UserError: if a rank or a rate is out of range, or a gallery has no
        mated probe, or no other one though there are `fpirs`.
    """
    self._name, self._images = name, images
    self.files, self.pictures = images.files, images.pictures
    self._galleries, self._probes = dict(galleries), probes
    self._ranks, self._fpirs = tuple(ranks), tuple(fpirs)
    for rank in self._ranks:
      if rank < 1:
        raise errors.UserError(f'Ranks are 1 or more, not {rank}.')
    for fpir in self._fpirs:
      if not 0 <= fpir <= 1:
        raise errors.UserError(f'FPIR is from 0 to 1, not {fpir}.')
    sizes = []
    for key, gallery in self._galleries.items():
      mated = np.isin(probes.subjects, gallery.subjects)
      _check_mated(key, int(mated.sum()), len(mated), self._fpirs)
      sizes.append(
        f'{key} ({len(gallery.templates)} templates, {mated.sum()} mated '
        'probes)'
      )
    self.headline = tuple(f'mean/{score}' for score in self._scores())
    self.protocol = (
      f'{name} 1:N identification, {len(probes.templates)} probes in '
      f'{" and ".join(sizes)}; {images.describe()}; rank-N: share of mated '
      'probes, others that score as much as the mate count as better; '
      'tpir@fpir=x: at the least threshold with FPIR <= x, rank 1 and above '
      'it; mean: of the galleries'
    )

  def _scores(self) -> tuple[str, ...]:
    return (
      *(f'rank-{rank}' for rank in self._ranks),
      *(f'tpir@fpir={fpir:g}' for fpir in self._fpirs),
    )

  def evaluate(self, features: np.ndarray | None) -> dict[str, float]:
    """Pools the templates and searches all galleries for all probes.

    Args:
      features: float32 [n, 2, d] of `files`; None for saved ones.

    Returns:
      'G1/rank-1', 'G1/tpir@fpir=0.01' and so on for each gallery, and the
      same of 'mean', over the galleries; fractions.

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    outcomes = self._outcomes(self._search(features, max(self._ranks)))
    return self._numbers(outcomes)

  def analyse(self, features: np.ndarray | None) -> results.Analysis:
    """The same, with curves, histograms and the probes found worst."""
    found = self._search(features, max(*self._ranks, _MAX_RANK))
    outcomes = self._outcomes(found)
    curves, histograms, examples = {}, {}, []
    for key, one in found.items():
      size = len(self._galleries[key].templates)
      ranks = np.arange(1, min(max(*self._ranks, _MAX_RANK), size) + 1)
      title = f'{self._name} 1:N, {key}'
      curves[f'CMC, {title}'] = results.Curve(
        ranks.astype(float),
        np.mean(one.ranks <= ranks[:, None], axis=1),
        'rank',
        'share of mated probes',
      )
      if len(one.strangers):
        curves[f'open set, {title}'] = _open_set(one)
        histograms[f'scores, {title}'] = _histogram(one)
      if self.pictures:
        examples += self._hardest(key, one)
    return results.Analysis(
      self._numbers(outcomes), curves, histograms, tuple(examples), outcomes
    )

  def _search(self, features, max_rank) -> dict[str, Found]:
    unit = self._images.pool(features)
    return {
      key: _search(unit, gallery, self._probes, max_rank)
      for key, gallery in self._galleries.items()
    }

  def _outcomes(self, found) -> dict[str, results.Outcomes]:
    """'<gallery>/<score>' -> the outcomes whose mean it is."""
    outcomes = {}
    for key, one in found.items():
      for rank in self._ranks:
        outcomes[f'{key}/rank-{rank}'] = results.outcomes(one.ranks <= rank)
      for fpir in self._fpirs:
        outcomes[f'{key}/tpir@fpir={fpir:g}'] = results.outcomes(
          one.identified(one.threshold(fpir))
        )
    for score in self._scores():
      parts = [outcomes[f'{key}/{score}'].values for key in found]
      strata = np.repeat(np.arange(len(parts)), [len(x) for x in parts])
      outcomes[f'mean/{score}'] = results.Outcomes(
        np.concatenate(parts), strata, len(parts)
      )
    return outcomes

  def _numbers(self, outcomes) -> dict[str, float]:
    return {key: outcome.score() for key, outcome in outcomes.items()}

  def _hardest(self, key, one) -> list[results.Example]:
    worst = np.lexsort((one.scores, -one.ranks))[:_HARDEST]
    return [
      results.Example(
        f'{key}, probe, mate and who scored highest; cosine with the mate',
        tuple(
          self._images.picture_of(template)
          for template in (
            self._probes.templates[one.mated[i]],
            one.mates[i],
            one.winners[i],
          )
        ),
        float(one.scores[i]),
      )
      for i in worst
      if one.ranks[i] > 1
    ]


def _check_mated(key, num_mated, num_probes, fpirs) -> None:
  if not num_mated:
    raise errors.UserError(
      f'No probe is of a person in the gallery {key}: its ranks are undefined. '
      'Are gallery and probes of one data set?'
    )
  if fpirs and num_mated == num_probes:
    raise errors.UserError(
      f'Every probe is of a person in the gallery {key}: there is no false '
      'positive identification rate. Give fpirs=() for ranks alone.'
    )


def _search(unit, gallery: People, probes: People, max_rank: int) -> Found:
  """Searches one gallery for all probes.

  Args:
    unit: float64 [T, d], all templates.
    gallery: some of them.
    probes: others.
    max_rank: up to which ranks are to be exact.
  """
  queries, rows = unit[probes.templates], unit[gallery.templates]
  probe, row = _mates(probes.subjects, gallery.subjects)
  own = products.exact(queries, rows, probe, row)
  # The best of each probe's own, and of equal ones the first.
  order = np.lexsort((row, -own, probe))
  probe, row, own = probe[order], row[order], own[order]
  mated, first, num_own = np.unique(
    probe, return_index=True, return_counts=True
  )
  row, own = row[first], own[first]
  # With as many others among them as ranks are looked at.
  k = min(max_rank + int(num_own.max()), len(rows))
  scores, best = search.top_k(queries, rows, k)
  is_other = gallery.subjects[best[mated]] != probes.subjects[mated][:, None]
  better = is_other & (scores[mated] >= own[:, None])
  strangers = np.delete(scores[:, 0], mated)
  return Found(
    mated,
    1 + np.count_nonzero(better, axis=1),
    own,
    gallery.templates[row],
    gallery.templates[best[mated, 0]],
    np.sort(strangers)[::-1],
  )


def _mates(probes, gallery) -> tuple[np.ndarray, np.ndarray]:
  """(number of a probe, row of a gallery) of all pairs of one person."""
  order = np.argsort(gallery, kind='stable')
  start = np.searchsorted(gallery[order], probes, 'left')
  count = np.searchsorted(gallery[order], probes, 'right') - start
  probe = np.repeat(np.arange(len(probes)), count)
  within = np.arange(len(probe)) - np.repeat(np.cumsum(count) - count, count)
  return probe, order[start[probe] + within]


def _open_set(one: Found) -> results.Curve:
  """TPIR over FPIR, at thresholds evenly spaced on a logarithmic axis."""
  total = len(one.strangers)
  counts = np.unique(np.geomspace(1, total, _MAX_POINTS).astype(int)) - 1
  thresholds = one.strangers[counts]
  reached = np.sort(one.scores[one.ranks == 1])
  tpir = len(reached) - np.searchsorted(reached, thresholds, 'right')
  fpir = np.searchsorted(-one.strangers, -thresholds, 'left') / total
  return results.Curve(fpir, tpir / len(one.ranks), 'FPIR', 'TPIR', log_x=True)


def _histogram(one: Found) -> results.Histogram:
  both = np.concatenate([one.scores, one.strangers])
  edges = np.histogram_bin_edges(both, 60)
  return results.Histogram(
    edges,
    {
      'mate': np.histogram(one.scores, edges)[0],
      'highest of a non-mated probe': np.histogram(one.strangers, edges)[0],
    },
    'cosine',
  )
