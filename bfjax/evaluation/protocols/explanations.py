"""What explains the score of a list of pairs: ROC, histogram, worst pairs."""

from collections.abc import Callable, Mapping

import numpy as np

from bfjax.report import results

_BINS = 60
_LEAST_RANGE = 1e-6  # of scores, for bins over it


def roc(scores: np.ndarray, same: np.ndarray) -> results.Curve:
  """The receiver operating characteristic: true over false accept rate.

  Pairs with score >= t are accepted, t falling through all scores:

      FAR(t) = #different with score >= t / #different
      TAR(t) = #same with score >= t / #same

  from (0, 0) to (1, 1). Equal scores are one point. Of points with one and
  the same FAR only the lowest and the highest are kept: no other is a corner.

  Args:
    scores: float [n], the higher the more alike.
    same: bool [n]; a rate of pairs that there are none of is 0.
  """
  scores, same = np.asarray(scores), np.asarray(same, bool)
  order = np.argsort(-scores, kind='stable')
  last_of_tie = np.r_[np.diff(scores[order]) != 0, True]
  accepted = np.cumsum(same[order])[last_of_tie]
  wrongly = np.cumsum(~same[order])[last_of_tie]
  accepted, wrongly = np.r_[0, accepted], np.r_[0, wrongly]
  changes = np.diff(wrongly) != 0
  corner = np.r_[True, changes] | np.r_[changes, True]
  return _roc(
    wrongly[corner] / max(wrongly[-1], 1),
    accepted[corner] / max(accepted[-1], 1),
  )


def thinned_roc(
  positives: np.ndarray,
  negatives: np.ndarray,
  num_negatives: int | None = None,
  max_points: int = 2000,
) -> results.Curve:
  """The same thinned, of very many pairs; as far as the scores go.

  Of the thresholds just above a negative score, ranks spaced evenly on a
  logarithmic axis are kept, the first negatives one by one.

  Args:
    positives: float [p], all positive scores; no NaN.
    negatives: float [m], all negative scores or the m highest; no NaN.
    num_negatives: how many negatives there are; default m.
    max_points: how many points at most.
  """
  positives, negatives = np.sort(positives), np.sort(negatives)
  total = len(negatives) if num_negatives is None else num_negatives
  ranks = np.geomspace(1, len(negatives), max_points - 2)
  ranks = np.unique(np.r_[0, np.round(ranks).astype(np.int64)])
  ranks, ends = ranks[ranks < len(negatives)], []
  thresholds = negatives[len(negatives) - 1 - ranks]
  if total == len(negatives):
    ends = [1.0]
  far = len(negatives) - np.searchsorted(negatives, thresholds, 'right')
  tar = len(positives) - np.searchsorted(positives, thresholds, 'right')
  far, keep = np.unique(far / total, return_index=True)
  tar = tar[keep] / len(positives)
  return _roc(np.r_[far, ends], np.r_[tar, ends])


def _roc(far, tar) -> results.Curve:
  labels = 'false accept rate', 'true accept rate'
  return results.Curve(far, tar, *labels, log_x=True)


def histogram(
  groups: Mapping[str, np.ndarray],
  x_label: str,
  edges: np.ndarray | None = None,
) -> results.Histogram:
  """Groups of scores, such as of same and of different pairs, counted in bins.

  Args:
    groups: what is counted -> its scores, float [n].
    x_label: what the scores are.
    edges: of the bins, the outermost of which count what is beyond; None for
      equal ones over all scores.
  """
  if edges is None:
    scores = np.concatenate([*groups.values()])
    low, high = float(scores.min()), float(scores.max())
    # Scores may be equal but for rounding.
    margin = 0.5 if high - low < _LEAST_RANGE else 0.0
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
  counts = {
    what: np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0]
    for what, scores in groups.items()
  }
  return results.Histogram(edges, counts, x_label)


def hardest_pairs(
  scores: np.ndarray,
  same: np.ndarray,
  left: np.ndarray,
  right: np.ndarray,
  picture: Callable[[int], tuple[int, str]],
  *,
  of_each: int,
  what: str,
) -> tuple[results.Example, ...]:
  """The same pairs that are least alike, the different ones that are most.

  Args:
    scores: float [n], the higher the more alike.
    same: bool [n].
    left: int [n], row of the left image or template.
    right: int [n], row of the right one.
    picture: row -> (row of the image to look at, text under it).
    of_each: how many of each kind, at most; equal scores in list order.
    what: what the scores are, for the captions.
  """
  order = np.argsort(scores, kind='stable')
  alike = np.argsort(-scores, kind='stable')
  chosen = [
    ('same person', order[same[order]][:of_each]),
    ('different people', alike[~same[alike]][:of_each]),
  ]
  return tuple(
    results.Example(
      f'{kind}, {what}',
      (picture(int(left[i])), picture(int(right[i]))),
      float(scores[i]),
    )
    for kind, pairs in chosen
    for i in pairs
  )
