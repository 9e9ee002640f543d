"""1:1 verification: is this pair of images of one person?

Both protocols of the field, from the features of images and a list of pairs.
The threshold for each fold of the list is the one that serves all other folds
best (see `thresholds`). Rates are fractions, computed in float64 by numpy.
"""

from typing import NamedTuple

import numpy as np

from bfjax.evaluation.protocols import folding, fusion, thresholds

# Pairs whose features are centred and normalised together: few enough that
# they stay in the processor's cache for all folds.
_BLOCK = 64


class Val(NamedTuple):
  """Shares of pairs accepted where the other folds have a fixed FAR."""

  rate: float  # of same pairs, mean over the folds
  std: float  # its standard deviation over the folds (ddof 0)
  far: float  # of different pairs, mean over the folds: near the one asked for


class Verification(NamedTuple):
  """The outcome of a protocol, rates as fractions.

  Attributes:
    accuracy: mean over the folds of `accuracies`.
    std: their standard deviation (ddof 0).
    accuracies: float64 [folds], the share of the fold's pairs decided right
      with the threshold that the other folds chose.
    thresholds: float64 [folds], these thresholds: of the cosine (boundaryface)
      or of the squared distance (insightface).
    val: VAL at FAR = 1e-3; None for the protocol that has none.
    scores: float64 [n], of each pair as its own fold sees it.
    decided_right: bool [n].
    accepted: bool [n], at the threshold of VAL; None without one.
  """

  accuracy: float
  std: float
  accuracies: np.ndarray
  thresholds: np.ndarray
  val: Val | None = None
  scores: np.ndarray | None = None
  decided_right: np.ndarray | None = None
  accepted: np.ndarray | None = None


def boundaryface(
  features: np.ndarray,
  left: np.ndarray,
  right: np.ndarray,
  same: np.ndarray,
  folds: int = 10,
) -> Verification:
  """Verification accuracy as BoundaryFace and Face_Pytorch report it.

  With F = (f(x), f(mirror x)) joined, for each of the contiguous folds:

      mu = mean of F over both sides of the pairs of all other folds
      score = cosine of F_left - mu and F_right - mu

  and with the threshold of `thresholds.mean_best` for the other folds' scores,
  accuracy = (#same with score > t + #different with score < t) / #pairs. An F
  that equals mu has no direction: its pairs score 0.

  Args:
    features: float32 [m, 2, d], f(x) and f(mirror x) of m images, as they come
      out of the network, not normalised.
    left: int [n], the row of `features` on the left of each pair.
    right: int [n], the row on the right.
    same: bool [n], whether the two are one person.
    folds: the number of folds; n must be a multiple of it.

  Raises:
    UserError: if n is no multiple of `folds`, there are fewer than 2 folds, or
      features are not finite (the message names the row).
  """
  features, left, right, same = _checked(features, left, right, same)
  folding.check(len(same), folds, equal=True)
  joined = features.reshape(len(features), -1)
  bounds = folding.bounds(len(same), folds)
  # Float32 of ordinary range is summed in float64 without rounding: the order
  # of summation is free, and constant features equal their mean exactly.
  sums = np.stack(
    [
      joined[np.r_[left[a:b], right[a:b]]].sum(axis=0, dtype=np.float64)
      for a, b in bounds
    ]
  )
  num_others = 2 * (len(same) - len(same) // folds)
  means = [np.delete(sums, k, 0).sum(0) / num_others for k in range(folds)]
  scores = _centred_cosines(joined, left, right, means)
  chosen, own, threshold = folding.thresholds(
    scores, same, thresholds.mean_best
  )
  right = np.where(same, own > threshold, own < threshold)
  return _outcome(right, bounds, chosen, own)


def insightface(
  features: np.ndarray,
  left: np.ndarray,
  right: np.ndarray,
  same: np.ndarray,
  folds: int = 10,
) -> Verification:
  """Verification accuracy and VAL as InsightFace and FaceNet report them.

      e = (f(x) + f(mirror x)) / |f(x) + f(mirror x)|
      distance = |e_left - e_right|^2, from 0 to 4

  Folds are those of scikit-learn's KFold without shuffling: contiguous, the
  first n mod folds of them one pair longer. A pair is accepted if distance <
  t; t is that of `thresholds.first_best` for the accuracy and that of
  `thresholds.at_far` at 1e-3 for VAL, both from the other folds. Where a fold
  has no pair of a kind, the rate of that kind is 0.

  Where f(x) + f(mirror x) = 0, e is the zero vector: at distance 1 from every
  other image.

  Args, what is returned, and what is raised are those of `boundaryface`, but
  that there may be any number of folds from 2 to n.
  """
  features, left, right, same = _checked(features, left, right, same)
  folding.check(len(same), folds, equal=False)
  bounds = folding.bounds(len(same), folds)
  embedding = features.sum(axis=1, dtype=np.float64)
  norm = np.sqrt(np.einsum('md,md->m', embedding, embedding))
  embedding /= np.where(norm > 0, norm, 1.0)[:, None]
  distances = np.concatenate(
    [
      np.sum(np.square(embedding[left[a:b]] - embedding[right[a:b]]), axis=1)
      for a, b in bounds
    ]
  )
  seen = np.broadcast_to(distances, (folds, len(same)))
  chosen, _, threshold = folding.thresholds(seen, same, thresholds.first_best)
  right = (distances < threshold) == same
  _, _, threshold = folding.thresholds(seen, same, thresholds.at_far)
  accepted = distances < threshold
  vals, fars = (
    np.array([_share(accepted[a:b], kind[a:b]) for a, b in bounds])
    for kind in (same, ~same)
  )
  val = Val(float(vals.mean()), float(vals.std()), float(fars.mean()))
  found = _outcome(right, bounds, chosen, distances)
  return found._replace(val=val, accepted=accepted)


PROTOCOLS = {'boundaryface': boundaryface, 'insightface': insightface}


def _checked(features, left, right, same):
  features = np.asarray(features)
  left, right, same = np.asarray(left), np.asarray(right), np.asarray(same)
  if features.ndim != 3 or features.shape[1] != 2:
    raise ValueError(f'features [m, 2, d] expected, got {features.shape}')
  if not left.shape == right.shape == same.shape == (len(same),):
    raise ValueError(f'pairs: {left.shape}, {right.shape}, {same.shape}')
  fusion.check_finite(features, lambda row: f'{row} (counted from 0)')
  return features, left, right, same.astype(bool)


def _centred_cosines(features, left, right, means) -> np.ndarray:
  """float64 [k, n]: the cosines of pairs seen from each of the `means`."""
  scores = np.zeros((len(means), len(left)))
  for start in range(0, len(left), _BLOCK):
    block = slice(start, start + _BLOCK)
    sides = np.stack([features[left[block]], features[right[block]]])
    sides = sides.astype(np.float64)
    for k, mean in enumerate(means):
      centred = sides - mean
      norm = np.sqrt(np.sum(np.square(centred), axis=2))
      centred /= np.where(norm > 0, norm, 1.0)[:, :, None]
      scores[k, block] = np.sum(centred[0] * centred[1], axis=1)
  return scores


def _outcome(decided_right, bounds, chosen, scores) -> Verification:
  accuracies = np.array([decided_right[a:b].mean() for a, b in bounds])
  return Verification(
    float(accuracies.mean()),
    float(accuracies.std()),
    accuracies,
    chosen,
    scores=scores,
    decided_right=decided_right,
  )


def _share(accepted: np.ndarray, of: np.ndarray) -> float:
  return np.count_nonzero(accepted & of) / max(int(np.count_nonzero(of)), 1)
