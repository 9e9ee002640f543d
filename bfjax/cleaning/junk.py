"""Classes of nobody: images that have a label in common and no person."""

import numpy as np
from scipy import special

from bfjax.cleaning import chance, means
from bfjax.cleaning.findings import SHOWN, Finding

FALSE_RATE = 0.01  # of all that is found, the share that may be wrong
_FEWEST = 4  # rows, for which it can be told
# Of a class of nobody, less than this share of rows are of one person: more
# than none, as a network that was trained with the label draws them together.
_SHARE = 0.4


def find(
  by_class: means.ByClass, given: means.Means, proposed: means.Means
) -> list[Finding]:
  """Classes whose rows, as given, are hardly more alike than random ones.

  If a share s of a class is one person, and the rest anyone, then two of its
  rows have the cosine c s^2 on average, where c is that of one person's rows.
  Those of nobody have a share below _SHARE, which is also far below those of
  the other classes, taken for normal.

  Evidence: `share` of the class that is of one person, and `usual`, the median;
  `within`, the mean cosine between rows; `size`.

  Args:
    by_class: the rows of the classes as given.
    given: the means of these.
    proposed: the means of the classes after the second look.

  Returns:
    the findings, the surest first.
  """
  pure = means.within(proposed)
  large = np.flatnonzero(given.sizes >= _FEWEST)
  known = np.flatnonzero(proposed.sizes >= _FEWEST)
  if not len(large) or not len(known):
    return []
  one_person = max(float(np.median(pure[known])), 1e-3)
  within = means.within(given)[large]
  share = np.sqrt(np.clip(within / one_person, 0, 1))
  usual, low = np.quantile(share, [0.5, 0.16])
  spread = max(usual - low, 1e-3)
  rates = chance.false_rates(special.ndtr((share - usual) / spread), len(large))
  found = np.flatnonzero((rates <= FALSE_RATE) & (share < _SHARE))
  return [
    Finding(
      'junk',
      (int(large[i]),),
      float(rates[i]),
      {
        'share': float(share[i]),
        'usual': float(usual),
        'within': float(within[i]),
        'size': int(given.sizes[large[i]]),
      },
      (by_class.rows(large[i])[:SHOWN],),
    )
    for i in found[np.argsort(share[found], kind='stable')]
  ]
