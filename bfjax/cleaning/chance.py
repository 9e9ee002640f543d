"""How often different people look alike by chance, and what of it is believed.

Cosines between different people spread like those of random directions on a
sphere of few dimensions: (1 + cosine) / 2 is distributed as

    Beta(k (1 + m) / 2, k (1 - m) / 2)

with mean m and concentration k, which the median and upper quantiles of the
cosines themselves tell. This holds far out, where one person twice has to be
told from two people who look alike; a normal distribution does not, as cosines
end at 1.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

# Fewer cosines than so many tell nothing of their spread.
_FEWEST = 30
# How many cosines there are above the two quantiles: times those that may be of
# one person, but no fewer in number, and no larger or smaller a share.
_TIMES_SAME = 10, 4
_IN_TAIL, _LARGEST_TAIL, _SMALLEST_TAIL = 100, 0.25, 1e-4


class Chance(NamedTuple):
  """The distribution of cosines between different people."""

  mean: float
  concentration: float  # 0 where there were too few cosines to tell

  def exceeding(self, cosine: np.ndarray | float) -> np.ndarray:
    """P(cosine of different people >= this one), float64 like `cosine`."""
    if not self.concentration:
      return np.ones(np.shape(cosine))
    above = self.concentration * (1 + self.mean) / 2
    below = self.concentration * (1 - self.mean) / 2
    apart = (1 - np.clip(cosine, -1, 1)) / 2
    return special.betainc(below, above, apart)

  def cosine(self, share: float) -> float:
    """The cosine that this share of different people reaches; 1 for nobody."""
    low, high = -1.0, 1.0
    for _ in range(50):
      middle = (low + high) / 2
      if self.exceeding(middle) > share:
        low = middle
      else:
        high = middle
    return high


def sample(count: int, most: int) -> np.ndarray:
  """At most `most` of 0 .. count - 1, ascending, always the same: int64 [k]."""
  if count <= most:
    return np.arange(count)
  return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def fit(cosines: np.ndarray, same: float) -> Chance:
  """The distribution of cosines of which nearly all are of different people.

  Two upper quantiles are looked at, with ten and with four times as many above
  them as may be of one person, so that these move the threshold by little and
  upwards. The smaller concentration is taken: where a network tells some people
  less well apart than others, it is the tail that counts.

  Args:
    cosines: of pairs, any shape.
    same: the largest share of them that may be of one person.
  """
  cosines = np.ravel(cosines)
  if len(cosines) < _FEWEST:
    return Chance(0.0, 0.0)
  smallest = max(_IN_TAIL / len(cosines), _SMALLEST_TAIL)
  tails = [
    min(max(times * same, smallest), _LARGEST_TAIL) for times in _TIMES_SAME
  ]
  middle, *high = np.quantile(cosines, [0.5, *(1 - x for x in tails)])
  mean = float(np.clip(middle, -0.9, 0.9))
  return Chance(mean, min(map(_concentration, [mean] * 2, high, tails)))


def _concentration(mean: float, quantile: float, tail: float) -> float:
  """That of which a share `tail` lies above the quantile."""
  # The larger it is, the fewer are.
  low, large = np.log(2.0), np.log(1e6)
  for _ in range(50):
    middle = (low + large) / 2
    if Chance(mean, np.exp(middle)).exceeding(quantile) > tail:
      low = middle
    else:
      large = middle
  return float(np.exp(low))


def false_rates(by_chance: np.ndarray, count: float) -> np.ndarray:
  """The share of findings that are wrong, of each and all that are surer.

      rate_i = min over p_j >= p_i of  count p_j / #{k: p_k <= p_j}

  after Benjamini and Hochberg (1995). Where nothing is to be found, taking all
  below a rate finds anything at all with a probability of that rate.

  Args:
    by_chance: float [n], the probability p that chance is as good as each.
    count: how many might have been found by chance.

  Returns:
    float64 [n], 0 .. 1.
  """
  order = np.argsort(by_chance, kind='stable')
  rates = count * by_chance[order] / np.arange(1, len(order) + 1)
  rates = np.minimum.accumulate(rates[::-1])[::-1]
  out = np.empty(len(order))
  out[order] = np.minimum(rates, 1.0)
  return out
