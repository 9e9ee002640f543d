"""1:N identification: at which rank is a person found among strangers?

A pair of one person, a probe j and an image or template i of the gallery, has
the rank

    1 + #{strangers n in the gallery : s_nj > s_ij}

so that equal scores count as found: a hit at rank N iff s_ij >= the N-th
largest score of j against strangers, as MegaFace and TinyFace say. In IJB they
count against the system: >= takes the place of >. Of several images of the
probe's person in a gallery, the most similar one counts. Nothing depends on the
order of rows.
"""

import numpy as np

from bfjax.evaluation.protocols import fusion


def mates(
  people: np.ndarray, gallery_people: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """All pairs of one person.

  Args:
    people: int [q], the person of each probe.
    gallery_people: int [n], that of each row of the gallery.

  Returns:
    int64 [p], the probe and the row of each pair, in the order of both.
  """
  order = np.argsort(gallery_people, kind='stable')
  start = np.searchsorted(gallery_people[order], people, 'left')
  count = np.searchsorted(gallery_people[order], people, 'right') - start
  probe = np.repeat(np.arange(len(people)), count)
  within = np.arange(len(probe)) - np.repeat(np.cumsum(count) - count, count)
  return probe, order[start[probe] + within]


def best(probe: np.ndarray, row: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """int [m]: which of the pairs, [p], is the best of each probe.

  Of equal ones it is that of the first row.
  """
  order = np.lexsort((row, -scores, probe))
  return order[np.unique(probe[order], return_index=True)[1]]


def ranks(
  scores: np.ndarray, probe: np.ndarray, strangers: np.ndarray
) -> np.ndarray:
  """The rank of each pair among the strangers of its probe; equal ones found.

  Args:
    scores: float64 [p], of pairs of one person.
    probe: int [p], the probe of each pair, 0 <= probe < q, ascending.
    strangers: float64 [q, k], the k highest scores of each probe against
      strangers, descending.

  Returns:
    int64 [p], from 1 to k + 1; the last stands for every rank over k.
  """
  found = np.empty(len(scores), np.int64)
  for j in np.unique(probe):
    pairs = slice(*np.searchsorted(probe, [j, j + 1]))
    found[pairs] = 1 + np.searchsorted(-strangers[j], -scores[pairs], 'left')
  return found


def cmc(ranks: np.ndarray, max_rank: int) -> np.ndarray:
  """Cumulative match characteristic: float64 [max_rank], from rank 1 on.

  cmc(N) = share of `ranks` that are <= N
  """
  counts = np.bincount(ranks, minlength=max_rank + 1)[1 : max_rank + 1]
  return np.cumsum(counts) / len(ranks)


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
