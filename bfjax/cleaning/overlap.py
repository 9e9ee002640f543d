"""Which classes of a set are people of another set, whose names say nothing.

Class means are compared with the means of the other set's people, or with its
single images where it does not say who is who. The threshold comes from these
cosines themselves: nearly all of them are of different people (`chance`), other
set's people among them, whom the model has not been trained to tell apart.
"""

from typing import NamedTuple

import numpy as np

from bfjax.cleaning import chance, means
from bfjax.evaluation import search

# Of all that is found, the share that may be wrong; and the probability that
# anything is found where nobody is in both sets.
FALSE_RATE = 0.003
_MATCHES = 16  # people or images of the other set, at most, for each class
_SAMPLE = 2000  # classes and people, whose cosines tell the chance
_FEWEST_OF_A_KIND = 20  # means or images, to have a chance of their own


class Match(NamedTuple):
  """A class, and who of the other set is the same person."""

  label: int  # the class
  cosine: float  # of the best match
  # The share of wrong ones that is to be expected among this match and all
  # that are surer.
  false_rate: float
  # int64 [k], the best first: people of the other set, or where it has no
  # labels, images; and float64 [k], their cosines.
  others: np.ndarray
  cosines: np.ndarray


class Overlap(NamedTuple):
  """What was found."""

  matches: list[Match]  # the surest first
  # The cosine that a match has at least; that of means or that of images, of
  # which there are more. Where nothing was found, what would have been.
  threshold: float
  false_rate: float  # as asked for
  num_pairs: int  # classes times people or images of the other set


def find(
  ours: means.Means,
  others,
  sizes: np.ndarray | None = None,
  *,
  false_rate: float = FALSE_RATE,
  progress: str = '',
) -> Overlap:
  """Finds the classes whose people are in another set too.

  Args:
    ours: of the classes.
    others: [m, d], the other set's people (the `directions` of their means) or
      images (features, memory-mapped or not); rows of length 0 are nobody.
    sizes: int [m], how many images each is the mean of; None for 1 each.
    false_rate: the share of matches that may be wrong.
    progress: what a progress bar is headed; '' for none.
  """
  classes = np.flatnonzero(ours.sizes)
  others = means.Unit(others)
  sizes = np.ones(len(others), int) if sizes is None else sizes
  num_pairs = len(classes) * int((sizes > 0).sum())
  if not num_pairs:
    return Overlap([], 1.0, false_rate, num_pairs)
  directions = ours.directions[classes]
  several = _several(sizes)
  chances = [_chance(directions, others, kind) for kind in (~several, several)]
  k = min(_MATCHES, len(others))
  cosines, rows = search.top_k(directions, others, k, progress=progress)
  by_chance = np.where(
    several[rows],
    chances[1].exceeding(cosines),
    chances[0].exceeding(cosines),
  )
  by_chance[sizes[rows] == 0] = 1.0
  # One finding a class: its surest.
  surest = by_chance.min(axis=1)
  rates = chance.false_rates(surest, num_pairs)
  found = np.flatnonzero(rates <= false_rate)
  # Matches of a class that has been found are as good as the worst of these.
  worst = surest[found].max(initial=false_rate / num_pairs)
  matches = []
  for i in found[np.argsort(surest[found], kind='stable')]:
    good = by_chance[i] <= worst
    matches.append(
      Match(
        int(classes[i]),
        float(cosines[i, by_chance[i].argmin()]),
        float(rates[i]),
        rows[i, good],
        cosines[i, good],
      )
    )
  common = chances[int(several.mean() > 0.5)]
  return Overlap(matches, common.cosine(worst), false_rate, num_pairs)


def _several(sizes: np.ndarray) -> np.ndarray:
  """bool [m]: which are means of several images, if enough of each kind are.

  Cosines of means spread more widely than those of images.
  """
  several = sizes > 1
  if min(several.sum(), (sizes == 1).sum()) < _FEWEST_OF_A_KIND:
    several[:] = several.sum() * 2 > len(several)
  return several


def _chance(directions, others, kind) -> chance.Chance:
  """Of the cosines of some classes with some others of a kind, bool [m]."""
  rows = np.flatnonzero(kind)
  rows = rows[chance.sample(len(rows), _SAMPLE)]
  some = directions[chance.sample(len(directions), _SAMPLE)]
  cosines = others[rows] @ some.T
  return chance.fit(cosines, 1 / len(directions))
