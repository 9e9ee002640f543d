"""Classes that are one person: candidates to be merged."""

from collections.abc import Iterable

import numpy as np

from bfjax.cleaning import chance, links, means
from bfjax.cleaning.findings import SHOWN, Finding
from bfjax.evaluation import search

KIND = 'twice'
FALSE_RATE = 0.01  # of all that is found, the share that may be wrong
_NEAREST = 8  # classes that are looked at for each
_SAMPLE = 3000  # classes whose cosines tell the chance


def find(
  features,
  by_class: means.ByClass,
  of_classes: means.Means,
  progress: str = '',
) -> list[Finding]:
  """Pairs of classes whose means are as close as those of no two people.

  Evidence: `cosine` of the means; `threshold`, which it has to reach; `first`
  and `second`, the sizes; `first_nearer` and `second_nearer`, how many rows of
  each are nearer to the mean of the other than to that of their own class
  without them. A network that was trained with two labels for one person tells
  the two apart, so there may be none of these.

  Args:
    features: [n, d], float32 or float16, memory-mapped or not.
    by_class: the rows of the classes.
    of_classes: their means.
    progress: what a progress bar is headed; '' for none.

  Returns:
    the findings, the surest first.
  """
  there = np.flatnonzero(of_classes.sizes)
  if len(there) < 2:
    return []
  pairs, cosines = _near(of_classes.directions[there], progress)
  usual = _usual(of_classes.directions[there])
  rates = chance.false_rates(
    usual.exceeding(cosines), len(there) * (len(there) - 1) / 2
  )
  found = np.flatnonzero(rates <= FALSE_RATE)
  threshold = float(cosines[found].min(initial=1.0))
  out = []
  for i in found[np.argsort(-cosines[found], kind='stable')]:
    a, b = map(int, there[pairs[i]])
    of_a, rows_a = _nearer(features, by_class, of_classes, a, b)
    of_b, rows_b = _nearer(features, by_class, of_classes, b, a)
    evidence = {
      'cosine': float(cosines[i]),
      'threshold': threshold,
      'first': int(of_classes.sizes[a]),
      'second': int(of_classes.sizes[b]),
      'first_nearer': of_a,
      'second_nearer': of_b,
    }
    out.append(
      Finding(KIND, (a, b), float(rates[i]), evidence, (rows_a, rows_b))
    )
  return out


def _usual(directions) -> chance.Chance:
  """Of the cosines between different classes."""
  some = directions[chance.sample(len(directions), _SAMPLE)]
  cosines = some @ some.T
  upper = np.triu_indices(len(some), 1)
  return chance.fit(cosines[upper], 1 / len(directions))


def _near(directions, progress) -> tuple[np.ndarray, np.ndarray]:
  """Pairs of classes, one near the other: int [p, 2], cosines float64 [p]."""
  k = min(_NEAREST + 1, len(directions))  # itself is among them
  cosines, near = search.top_k(directions, directions, k, progress=progress)
  own = np.broadcast_to(np.arange(len(directions))[:, None], near.shape)
  pairs = np.stack([np.minimum(own, near), np.maximum(own, near)], axis=-1)
  pairs = pairs.reshape(-1, 2)
  pairs, first = np.unique(pairs, axis=0, return_index=True)
  is_pair = pairs[:, 0] < pairs[:, 1]
  return pairs[is_pair], cosines.reshape(-1)[first[is_pair]]


def _nearer(features, by_class, of_classes, own, other):
  """How many rows of a class are nearer to another, and the nearest to that."""
  rows = by_class.rows(own)
  found = means.unit(features[rows])
  total = of_classes.directions[own] * (
    of_classes.lengths[own] * of_classes.sizes[own]
  )
  to_own = np.sum(found * means.unit(total - found), axis=1)
  to_other = found @ of_classes.directions[other]
  order = np.argsort(-to_other, kind='stable')
  return int((to_other > to_own).sum()), rows[order[:SHOWN]]


def merged(found: Iterable[Finding], num_classes: int) -> np.ndarray:
  """The class that each becomes where one person is to be one class.

  Args:
    found: those that are believed; other kinds do not count.
    num_classes: how many classes there are.

  Returns:
    int32 [num_classes], the lowest of all classes that are one person, by way
    of others too.
  """
  pairs = [x.classes for x in found if x.kind == KIND]
  first, second = np.array(pairs, np.int64).reshape(-1, 2).T
  person = links.groups(first, second, num_classes)
  _, lowest = np.unique(person, return_index=True)
  return lowest[person].astype(np.int32)
