"""Classes that are two people."""

import numpy as np
from scipy import special

from bfjax.cleaning import chance, means
from bfjax.cleaning.findings import SHOWN, Finding

# Of all that is found, the share that may be wrong: a person will look.
FALSE_RATE = 0.05
# Rows of each of the two, at least, and their share of the class.
_FEWEST, _SMALLEST = 4, 0.15
# Each of the two holds together as half of the classes do, times this.
_COHERENT = 0.6
_ROUNDS = 20


def find(
  features,
  by_class: means.ByClass,
  of_classes: means.Means,
  progress: str = '',
) -> list[Finding]:
  """Classes whose rows are of two people, as those of other classes are not.

  Every class is cut in two, see `halves`. The cosines between the halves of one
  person are high and much alike from class to class: log(1 - cosine) is taken
  for normal. What is far below is two people, even where a network that was
  trained with one label for both has drawn them together.

  Evidence: `cosine` between the two people, and `usual`, the median of those
  between halves; `threshold`, which it has to be below; `within`, the mean
  cosine between rows of the looser of the two; their sizes, `first` and
  `second`.

  Args:
    features: [n, d], float32 or float16, memory-mapped or not.
    by_class: the rows of the classes.
    of_classes: their means.
    progress: what a progress bar is headed; '' for none.

  Returns:
    the findings, the surest first.
  """
  large = of_classes.sizes > 1
  if not large.any():
    return []
  coherent = _COHERENT * np.median(means.within(of_classes)[large])
  cuts = []
  for label, rows, found in by_class.each(features, 2 * _FEWEST, progress):
    first = halves(found)
    sizes = int(first.sum()), int((~first).sum())
    cosine, within = _between(found[first], found[~first])
    fewest = max(_FEWEST, _SMALLEST * len(rows))
    if min(sizes) >= fewest and within >= coherent:
      shown = tuple(_central(rows[x], found[x]) for x in (first, ~first))
      cuts.append((cosine, within, label, sizes, shown))
  if not cuts:
    return []
  cosines = np.array([cut[0] for cut in cuts])
  apart = np.log(np.maximum(1 - cosines, 1e-6))
  middle, high = np.quantile(apart, [0.5, 0.16])
  spread = max(middle - high, 1e-3)  # of the closer ones: all one person
  rates = chance.false_rates(special.ndtr((middle - apart) / spread), len(cuts))
  found = np.flatnonzero(rates <= FALSE_RATE)
  threshold = float(cosines[found].max(initial=-1.0))
  out = []
  for i in found[np.argsort(cosines[found], kind='stable')]:
    cosine, within, label, sizes, shown = cuts[i]
    evidence = {
      'cosine': float(cosine),
      'usual': float(np.median(cosines)),
      'threshold': threshold,
      'within': float(within),
      'first': sizes[0],
      'second': sizes[1],
    }
    out.append(
      Finding('two people', (label,), float(rates[i]), evidence, shown)
    )
  return out


def halves(rows: np.ndarray) -> np.ndarray:
  """Cuts rows in two along the direction in which they differ most.

  That cut is then improved: every row goes to the nearer of the two means
  (k-means on the sphere), until none moves.

  Args:
    rows: float32 [n, d] of length 1, n >= 2.

  Returns:
    bool [n], which are of the first half; neither is empty if two differ.
  """
  centred = rows - rows.mean(axis=0)
  farthest = np.argmax(np.sum(centred**2, axis=1))
  direction = centred[farthest]
  for _ in range(_ROUNDS):
    direction = (centred @ direction) @ centred
    direction = direction / max(np.linalg.norm(direction), 1e-12)
  first = centred @ direction > 0
  for _ in range(_ROUNDS):
    if first.all() or not first.any():
      break
    two = means.unit(np.stack([rows[first].mean(0), rows[~first].mean(0)]))
    nearer = rows @ two[0] > rows @ two[1]
    if (nearer == first).all():
      break
    first = nearer
  return first


def _between(first, second) -> tuple[float, float]:
  """The cosine between two people, and the cosine of rows of the looser one.

  That of the people is that of their means if these were of many rows.
  """
  if min(len(first), len(second)) < 2:
    return 1.0, 0.0
  a, b = first.mean(axis=0), second.mean(axis=0)
  lengths, sizes = np.linalg.norm([a, b], axis=1), [len(first), len(second)]
  within = means.within(means.Means(np.stack([a, b]), lengths, np.array(sizes)))
  if within.min() <= 0:
    return 1.0, float(within.min())
  return float(a @ b / np.sqrt(within.prod())), float(within.min())


def _central(rows, found):
  """The rows nearest to their mean."""
  order = np.argsort(-(found @ found.mean(axis=0)), kind='stable')
  return rows[order[:SHOWN]]
