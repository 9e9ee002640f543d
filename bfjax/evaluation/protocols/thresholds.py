"""The threshold that serves a list of scored pairs best, by sorting.

The protocols define it by trying thousands of thresholds, each against all
pairs. How many scores lie above a threshold is its place in the sorted list of
scores: one search instead of a pass over all pairs. The counts are whole
numbers, so the outcome is the same to the last digit.
"""

import numpy as np

# BoundaryFace: j / 10000, divided (not multiplied by 1e-4, which rounds
# otherwise); insightface: np.arange with a step of .01 and .001, likewise.
_COSINES = np.arange(-10_000, 10_001) / 10_000
_DISTANCES = np.arange(0, 4, 0.01)
_FINE_DISTANCES = np.arange(0, 4, 0.001)


def mean_best(scores: np.ndarray, same: np.ndarray) -> float:
  """The mean of all thresholds j / 10000 from -1 to 1 that decide best.

  Right are same pairs with score > t and different pairs with score < t: a
  score equal to t is wrong for both.

  Args:
    scores: float64 [n], the higher the more alike.
    same: bool [n].
  """
  positive, negative = np.sort(scores[same]), np.sort(scores[~same])
  correct = len(positive) - np.searchsorted(positive, _COSINES, side='right')
  correct += np.searchsorted(negative, _COSINES, side='left')
  return float(_COSINES[correct == correct.max()].mean())


def first_best(distances: np.ndarray, same: np.ndarray) -> float:
  """The lowest threshold of 0, .01 .. 3.99 that decides best.

  Right are same pairs with distance < t and different pairs with distance >=
  t.

  Args:
    distances: float64 [n], the lower the more alike.
    same: bool [n].
  """
  positive, negative = np.sort(distances[same]), np.sort(distances[~same])
  correct = np.searchsorted(positive, _DISTANCES, side='left')
  correct -= np.searchsorted(negative, _DISTANCES, side='left')
  return float(_DISTANCES[np.argmax(correct)])


def at_far(distances: np.ndarray, same: np.ndarray, far: float = 1e-3) -> float:
  """The distance below which the share `far` of different pairs lies.

  The false accept rate is taken at 0, .001 .. 3.999, and the threshold is
  interpolated linearly over it, as InsightFace does with SciPy's `interp1d`
  of kind 'slinear'. Of thresholds with one and the same rate, the last counts
  if the rate is the largest that is <= far, and the first if it is the
  smallest that is > far; a rate equal to `far` gives the last with that
  rate. (So SciPy had it when that code was written; today it refuses them.)

  Args:
    distances: float64 [n], the lower the more alike.
    same: bool [n].
    far: the false accept rate aimed at, a fraction.

  Returns:
    the threshold; 0, which accepts nothing, if no rate reaches `far`, as is
    the case if there are no different pairs.
  """
  negative = np.sort(distances[~same])
  fars = np.searchsorted(negative, _FINE_DISTANCES, side='left')
  fars = fars / max(len(negative), 1)
  if fars[-1] < far:
    return 0.0
  i = np.searchsorted(fars, far, side='right') - 1
  if i == len(fars) - 1:
    return float(_FINE_DISTANCES[i])
  # In the order of operations of a B-spline of degree 1.
  weight = 1 / (fars[i + 1] - fars[i])
  return float(
    weight * (fars[i + 1] - far) * _FINE_DISTANCES[i]
    + weight * (far - fars[i]) * _FINE_DISTANCES[i + 1]
  )
