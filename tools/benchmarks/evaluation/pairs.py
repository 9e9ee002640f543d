"""Verification of pairs, beside the protocols taken at their word.

The other side is numpy too: one pass over all pairs for every threshold, as
the published evaluation code does it. Both compute in float64 on the same
features, and must agree to the last digit.
"""

import numpy as np
import scipy.interpolate

from benchmarks import timing
from bfjax.evaluation.protocols import thresholds, verification

FOLDS = 10


def rows(
  *, repeats: int, num_pairs: int = 6000, dim: int = 512
) -> list[timing.Row]:
  """Times both protocols, and the search for one threshold by itself.

  Raises:
    AssertionError: if the two sides do not agree to the last digit.
  """
  pairs = make_pairs(num_pairs, dim)
  same = pairs[-1]
  scores = np.random.default_rng(1).normal(0.3 * same, 0.1)
  works = (
    (
      f'boundaryface protocol, {num_pairs} pairs, {FOLDS} folds',
      lambda: verification.boundaryface(*pairs, folds=FOLDS),
      lambda: boundaryface_by_loop(*pairs),
      'at least 10',
    ),
    (
      f'insightface protocol with VAL, {num_pairs} pairs, {FOLDS} folds',
      lambda: verification.insightface(*pairs, folds=FOLDS),
      lambda: insightface_by_loop(*pairs),
      '',
    ),
    (
      f'one search over 20001 thresholds, {num_pairs} scores',
      lambda: thresholds.mean_best(scores, same),
      lambda: mean_best_by_loop(scores, same),
      '',
    ),
  )
  table = []
  for what, ours, theirs, goal in works:
    timing.tell(f'{what}: the same on both sides?')
    _check_same_digits(ours(), theirs())
    secs = timing.interleaved(
      {'ours': ours, 'theirs': theirs}, repeats, 0, what
    )
    table.append(
      timing.Row(
        what,
        'sorted',
        'threshold loop',
        secs['ours'],
        secs['theirs'],
        goal,
        'numpy on both sides; the same digits',
      )
    )
  return table


def make_pairs(num_pairs: int, dim: int):
  """Features of 2 n images, and n pairs in blocks of one kind, as in LFW."""
  rng = np.random.default_rng(0)
  features = rng.normal(size=(2 * num_pairs, 2, dim)).astype(np.float32)
  left, right = np.arange(0, 2 * num_pairs, 2), np.arange(1, 2 * num_pairs, 2)
  same = np.arange(num_pairs) // (num_pairs // FOLDS // 2) % 2 == 0
  features[right[same]] += np.float32(0.08) * features[left[same]]
  return features, left, right, same


def boundaryface_by_loop(features, left, right, same):
  """The boundaryface protocol, fold by fold, threshold by threshold."""
  features = features.reshape(len(features), -1).astype(np.float64)
  left_features, right_features = features[left], features[right]
  fold = np.arange(len(same)) // (len(same) // FOLDS)
  accuracies, chosen = [], []
  for k in range(FOLDS):
    train, test = fold != k, fold == k
    mean = np.mean(
      np.concatenate([left_features[train], right_features[train]]), axis=0
    )
    a, b = left_features - mean, right_features - mean
    a /= np.sqrt(np.sum(np.square(a), axis=1, keepdims=True))
    b /= np.sqrt(np.sum(np.square(b), axis=1, keepdims=True))
    scores = np.sum(a * b, axis=1)
    chosen.append(mean_best_by_loop(scores[train], same[train]))
    accuracies.append(_accuracy(scores[test], same[test], chosen[-1]))
  return verification.Verification(
    np.mean(accuracies), np.std(accuracies), accuracies, chosen
  )


def mean_best_by_loop(scores, same):
  """The mean of the thresholds that decide most pairs right."""
  tried = np.arange(-10_000, 10_001) / 10_000
  accuracies = np.array([_accuracy(scores, same, t) for t in tried])
  return np.mean(tried[accuracies == np.max(accuracies)])


def _accuracy(scores, same, t):
  right = np.sum(scores[same] > t) + np.sum(scores[~same] < t)
  return right / len(scores)


def insightface_by_loop(features, left, right, same):
  """The insightface protocol, fold by fold, threshold by threshold."""
  embedding = features[:, 0].astype(np.float64) + features[:, 1]
  embedding /= np.sqrt(np.einsum('md,md->m', embedding, embedding))[:, None]
  distances = np.sum(np.square(embedding[left] - embedding[right]), axis=1)
  fold = np.arange(len(same)) // (len(same) // FOLDS)
  accuracies, chosen, vals, fars = [], [], [], []
  for k in range(FOLDS):
    train, test = fold != k, fold == k
    tried = np.arange(0, 4, 0.01)
    rates = [np.mean((distances[train] < t) == same[train]) for t in tried]
    chosen.append(tried[np.argmax(rates)])
    accuracies.append(np.mean((distances[test] < chosen[-1]) == same[test]))
    t = _at_far_by_loop(distances[train], same[train])
    val, far = _accepted(distances[test], same[test], t)
    vals.append(val)
    fars.append(far)
  return verification.Verification(
    np.mean(accuracies),
    np.std(accuracies),
    accuracies,
    chosen,
    verification.Val(np.mean(vals), np.std(vals), np.mean(fars)),
  )


def _at_far_by_loop(distances, same, target=1e-3):
  tried = np.arange(0, 4, 0.001)
  fars = np.array([_accepted(distances, same, t)[1] for t in tried])
  if np.max(fars) < target:
    return 0.0
  # interp1d(fars, tried, kind='slinear') without its refusal of equal rates.
  knots = np.r_[fars[0], fars, fars[-1]]
  return scipy.interpolate.BSpline.construct_fast(knots, tried, 1)(target)


def _accepted(distances, same, t):
  accepted = distances < t
  return (
    np.sum(accepted & same) / np.sum(same),
    np.sum(accepted & ~same) / np.sum(~same),
  )


def _check_same_digits(ours, theirs):
  if isinstance(ours, verification.Verification):
    # The loops have no outcomes of single pairs.
    ours = ours._replace(scores=None, decided_right=None, accepted=None)
  else:
    ours, theirs = (ours,), (theirs,)
  for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(a, b)
