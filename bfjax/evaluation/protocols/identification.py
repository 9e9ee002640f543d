"""1:N identification: at which rank is a person found among strangers?

The rule of MegaFace, for a probe j and an image i of the same person:

    hit at rank N  iff  s_ij >= the N-th largest score of j against strangers

so the rank of the pair is 1 + the number of strangers with a higher score than
s_ij, and equal scores count as found. Nothing depends on the order of rows.
"""

import numpy as np

from bfjax.evaluation.protocols import fusion, roc


def mates(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """All ordered pairs of two different images of one person.

  A person with one image has none: the image takes part in what is compared
  with strangers only.

  Args:
    labels: int [n], the person of each image.

  Returns:
    int64 [p] gallery image and int64 [p] probe image of each pair, in the
    order of the probes.
  """
  order = np.argsort(labels, kind='stable')
  ends = np.flatnonzero(np.diff(labels[order])) + 1
  gallery, probe = [], []
  for group in np.split(order, ends):
    one, other = np.nonzero(~np.eye(len(group), dtype=bool))
    probe.append(group[one])
    gallery.append(group[other])
  gallery, probe = np.concatenate(gallery), np.concatenate(probe)
  by_probe = np.lexsort((gallery, probe))
  return gallery[by_probe], probe[by_probe]


def ranks(
  scores: np.ndarray, probe: np.ndarray, strangers: np.ndarray
) -> np.ndarray:
  """The rank of each pair among the strangers of its probe.

      rank = 1 + #{strangers with a score > the pair's}

  Args:
    scores: float64 [p], of pairs of one person.
    probe: int [p], the probe of each pair, 0 <= probe < q.
    strangers: float64 [q, k], the k highest scores of each probe against
      strangers, descending.

  Returns:
    int64 [p], from 1 to k + 1; the last stands for every rank over k.
  """
  out = np.empty(len(scores), np.int64)
  order = np.argsort(probe, kind='stable')
  ends = np.flatnonzero(np.diff(probe[order])) + 1
  for pairs in np.split(order, ends):
    if len(pairs):
      rising = -strangers[probe[pairs[0]]]
      out[pairs] = 1 + np.searchsorted(rising, -scores[pairs], side='left')
  return out


def cmc(ranks: np.ndarray, max_rank: int) -> np.ndarray:
  """Cumulative match characteristic: float64 [max_rank], from rank 1 on.

  cmc(N) = share of `ranks` that are <= N
  """
  counts = np.bincount(ranks, minlength=max_rank + 1)[1 : max_rank + 1]
  return np.cumsum(counts) / len(ranks)


def num_negatives_needed(num_negatives: int, far: float) -> int:
  """How many of the highest negative scores `tar_at_far` has to know."""
  return int(min(num_negatives, 4 * np.ceil(far * num_negatives) + 4096))


def tar_at_far(
  positives: np.ndarray, highest: np.ndarray, num_negatives: int, far: float
) -> roc.Rate:
  """The true accept rate at a false accept rate, as `roc.rates` has it.

  Args:
    positives: float64 [p], the scores of all pairs of one person.
    highest: float64 [m], descending, the highest scores of pairs of two; m is
      at least `num_negatives_needed`.
    num_negatives: how many pairs of two persons there are.
    far: the rate aimed at.
  """
  if len(highest) < num_negatives:
    # They stand for the negatives left out. Their rate is over 4 far: further
    # from far than 0 is, so that none of them is the nearest.
    lower = np.finfo(float).min * np.array([0.25, 0.5, 0.75])
    highest = np.concatenate([highest, lower])
  return roc.rates_of_highest(positives, highest, num_negatives, (far,))[0]


def without_noise(
  features: np.ndarray, labels: np.ndarray, noisy: np.ndarray
) -> np.ndarray:
  """Features with those of mislabelled images replaced.

      f_i = sum of the clean f_j of i's label / |sum|    for every noisy i

  Args:
    features: float32 [n, d].
    labels: int [n], the person of each image.
    noisy: bool [n], whether the image does not show that person.

  Returns:
    float32 [n, d].

  Raises:
    ValueError: if a person has noisy images only.
  """
  features = features.copy()
  for label in np.unique(labels[noisy]):
    of_label = labels == label
    clean = features[of_label & ~noisy].astype(np.float64)
    if not len(clean):
      raise ValueError(f'all images of the person {label} are noisy')
    # In an order that is not that of the rows.
    centre = np.sort(clean, axis=0).sum(axis=0, keepdims=True)
    features[of_label & noisy] = fusion.fuse(
      centre, flip='none', normalise=True
    )
  return features
