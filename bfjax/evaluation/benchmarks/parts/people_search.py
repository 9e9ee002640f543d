"""A search for people in a gallery: TinyFace's and IJB's, and its pictures.

`bfjax.evaluation.protocols.identification` says what a rank is. In the open
set, a search reports the highest score of the gallery if it is above a
threshold t. A probe is mated if the gallery has its person; m is its best score
with that person's:

    FPIR(t) = #{non-mated probes whose highest score > t} / #non-mated
    TPIR(t) = #{mated probes of rank 1 with m > t} / #mated

TPIR at an FPIR x is taken at the least t for which FPIR(t) <= x: a score of a
non-mated probe. Nothing is interpolated, and ties count against the system.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bfjax.evaluation import search
from bfjax.evaluation.protocols import identification, products
from bfjax.report import results

_MAX_POINTS = 2000


class People(NamedTuple):
  """Images or templates of people."""

  numbers: np.ndarray  # int [n], what they are called in what is found
  people: np.ndarray  # int [n], whose they are


class Nearest(NamedTuple):
  """Who is most similar to each mated probe; of equal ones, the first."""

  probe: np.ndarray  # int [m], its number
  mate: np.ndarray  # int [m], the number of one of its person in the gallery
  mate_score: np.ndarray  # float64 [m]
  stranger: np.ndarray  # int [m], the number of one of another person
  stranger_score: np.ndarray  # float64 [m]; -inf if there is none


class Found(NamedTuple):
  """What searching a gallery has found for m mated probes, and for others."""

  nearest: Nearest
  ranks: np.ndarray  # int [m], exact up to the highest rank asked for
  others: np.ndarray  # float64, descending: highest scores of non-mated probes

  def threshold(self, fpir: float) -> float:
    """The least t with FPIR(t) <= `fpir`."""
    total = len(self.others)
    at_most = np.arange(total + 1) / total <= fpir
    return float(np.r_[self.others, -np.inf][np.count_nonzero(at_most) - 1])

  def identified(self, threshold: float) -> np.ndarray:
    """bool [m]: which mated probes are found above a threshold."""
    return (self.ranks == 1) & (self.nearest.mate_score > threshold)

  def open_set(self) -> results.Curve:
    """TPIR over FPIR, at thresholds evenly spaced on a logarithmic axis."""
    total = len(self.others)
    counts = np.unique(np.geomspace(1, total, _MAX_POINTS).astype(int)) - 1
    thresholds = self.others[counts]
    reached = np.sort(self.nearest.mate_score[self.ranks == 1])
    tpir = len(reached) - np.searchsorted(reached, thresholds, 'right')
    tpir = tpir / len(self.ranks)
    fpir = np.searchsorted(-self.others, -thresholds, 'left') / total
    return results.Curve(fpir, tpir, 'FPIR', 'TPIR', log_x=True)


def search_people(
  probes: np.ndarray,
  gallery,
  probe_people: People,
  gallery_people: People,
  max_rank: int,
  *,
  ties_found: bool,
) -> Found:
  """Searches a gallery for all probes.

  Args:
    probes: float [q, d], at least one of them mated.
    gallery: [n, d], see `search.top_k`.
    probe_people: who the probes are.
    gallery_people: who is in the rows of the gallery.
    max_rank: up to which ranks are to be exact.
    ties_found: whether strangers with an equal score do not count.

  Raises:
    UserError: if features are not finite.
  """
  probe, row = identification.mates(probe_people.people, gallery_people.people)
  own = products.exact(probes, gallery, probe, row)
  pairs = identification.best(probe, row, own)
  mated, mate, own = probe[pairs], row[pairs], own[pairs]
  # With as many others among them as ranks are looked at.
  most = int(np.bincount(probe).max())
  k = min(max_rank + most, len(gallery))
  scores, rows = search.top_k(probes, gallery, k)
  highest, others = scores[mated], rows[mated]
  own_person = probe_people.people[mated][:, None]
  is_stranger = gallery_people.people[others] != own_person
  better = np.greater if ties_found else np.greater_equal
  is_better = is_stranger & better(highest, own[:, None])
  first = np.arange(len(mated)), np.argmax(is_stranger, axis=1)
  return Found(
    Nearest(
      probe_people.numbers[mated],
      gallery_people.numbers[mate],
      own,
      gallery_people.numbers[others[first]],
      np.where(is_stranger[first], highest[first], -np.inf),
    ),
    1 + np.count_nonzero(is_better, axis=1),
    np.sort(np.delete(scores[:, 0], mated))[::-1],
  )


def cmc_curve(ranks: np.ndarray, max_rank: int) -> results.Curve:
  """The share of `ranks`, int [n], that are at most 1, 2 .. `max_rank`."""
  rates = identification.cmc(ranks, max_rank)
  x = np.arange(1.0, max_rank + 1)
  return results.Curve(x, rates, 'rank', 'identification rate', log_x=True)


def examples(
  nearest: Nearest,
  picture: Callable[[int], tuple[int, str]],
  count: int,
  rival: str = 'stranger',
) -> tuple[results.Example, ...]:
  """The probes whose best rival is most ahead of their best mate.

  Of `count` at most, `picture` gives (row of the image to look at, text under
  it); a stranger is called `rival`.
  """
  ahead = nearest.stranger_score - nearest.mate_score
  worst = np.argsort(-ahead, kind='stable')[:count]
  found = []
  for i in worst[np.isfinite(ahead[worst])]:
    images = (
      (nearest.probe[i], 'probe'),
      (nearest.mate[i], f'best mate {nearest.mate_score[i]:.3f}'),
      (nearest.stranger[i], f'best {rival} {nearest.stranger_score[i]:.3f}'),
    )
    pictures = [(*picture(int(row)), what) for row, what in images]
    won = f'a {rival} wins' if ahead[i] > 0 else 'the mate wins'
    found.append(
      results.Example(
        f'{won}; by how much the {rival} is ahead',
        tuple((row, f'{what}: {name}') for row, name, what in pictures),
        float(ahead[i]),
      )
    )
  return tuple(found)
