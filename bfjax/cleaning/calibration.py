"""How far confidences can be trusted, found without truth.

Errors are planted, see `planting`, and the same second look is taken. Their
truth is known, and so how often a verdict of a given confidence is right. What
that says of the real verdicts is a straight line between log odds.
"""

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from bfjax.cleaning import planting, secondlook, verdicts
from bfjax.data.labelled import NOBODY

EDGES = 0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1
SIZES = 1, 5, 10, 20, 50, 100
# So many verdicts of a confidence count as one that it is right as it is.
_PRIOR = 10.0
_LONGEST = 12.0  # log odds
_STEPS = 50
# Images of strangers are many, and the one of somebody else that is left out is
# lost: a wrong label among many right ones costs less.
_NOBODYS = 5


class Trial(NamedTuple):
  """Verdicts whose truth is known.

  Attributes:
    kind: uint8 [m], `verdicts.KEEP`, `RELABEL` or `OUTLIER`.
    probability: float32 [m], of that kind.
    right: float32 [m], how likely the verdict is right.
    planted: int8 [m]: what was planted, `KEEP` for nothing.
    size: int64 [m], of the given class.
  """

  kind: np.ndarray
  probability: np.ndarray
  right: np.ndarray
  planted: np.ndarray
  size: np.ndarray


class _Some:
  """Rows of features, in ascending order, by a slice or an array."""

  def __init__(self, features, rows):
    self._features, self._rows = features, rows
    self.shape = (len(rows), features.shape[1])

  def __getitem__(self, at):
    return self._features[self._rows[at]]


def trial(
  features,
  seen: secondlook.Look,
  given: np.ndarray,
  num_classes: int,
  *,
  seed: int = 0,
  rounds: int = 3,
  progress: str = '',
) -> Trial:
  """Plants, looks again, and compares with what was planted.

  Args:
    features: as `secondlook.look` takes them.
    seen: what that has seen.
    given: int32 [n].
    num_classes: C.
    seed: of the draw.
    rounds: of the look, at most.
    progress: what progress bars are headed.
  """
  made = planting.plant(seen, given, num_classes, seed)
  found = secondlook.look(
    _Some(features, made.rows),
    made.given,
    made.num_classes,
    rounds=rounds,
    progress=progress,
  )
  planted = np.where(made.given == made.true, verdicts.KEEP, verdicts.RELABEL)
  planted[made.true == NOBODY] = verdicts.OUTLIER
  size = np.bincount(made.given, minlength=made.num_classes)[made.given]
  kind, probability = judge(found)
  is_right = right(kind, made.given, found.nearest.nearest, made.true)
  # If what is taken for the truth is not, no label was right but an outlier.
  chance = np.where(is_right, made.belief, 0)
  chance += np.where(kind == verdicts.OUTLIER, 1 - made.belief, 0)
  told = Trial(kind, probability, chance, planted.astype(np.int8), size)
  # Rows that keep the label which we gave them say nothing of those that keep
  # a person's.
  some = (kind != verdicts.KEEP) | (made.belief == 1)
  return Trial(*(values[some] for values in told))


def judge(seen: secondlook.Look) -> tuple[np.ndarray, np.ndarray]:
  """A verdict on each row, uint8 [n], and how likely it is right.

  The likeliest one; but a row that is not of its given class is of the nearest
  other one unless it is `_NOBODYS` times as likely of neither.
  """
  keep, relabel, neither = seen.probability.T
  kind = np.where(
    neither > _NOBODYS * relabel, verdicts.OUTLIER, verdicts.RELABEL
  )
  kind[(keep >= relabel) & (keep >= neither)] = verdicts.KEEP
  probability = np.take_along_axis(seen.probability, kind[:, None], 1)[:, 0]
  return kind.astype(np.uint8), probability


def right(kind, given, nearest, true) -> np.ndarray:
  """bool [n]: whether verdicts are right.

  Keep, if the given label is true; relabel, if that of the nearest other class
  is; outlier, if neither is.
  """
  of_given, of_nearest = given == true, nearest == true
  return np.choose(kind, [of_given, of_nearest, ~(of_given | of_nearest)])


def merged(trials: Iterable[Trial]) -> Trial:
  """Several trials as one."""
  return Trial(*map(np.concatenate, zip(*trials, strict=True)))


def lines(found: Trial) -> np.ndarray:
  """How log odds are corrected: float64 [3, 2], offset and slope of each kind.

  By the most likely logistic curve through the verdicts of a trial, held near
  the identity where they are few.
  """
  out = np.tile([0.0, 1.0], (3, 1))
  for kind in range(3):
    some = found.kind == kind
    odds = _log_odds(found.probability[some])
    x, y = np.stack([np.ones_like(odds), odds], 1), found.right[some]
    for _ in range(_STEPS):
      p = _logistic(x @ out[kind])
      slope = x.T @ (y - p) - _PRIOR * (out[kind] - [0, 1])
      bend = (x * (p * (1 - p))[:, None]).T @ x + _PRIOR * np.eye(2)
      step = np.linalg.solve(bend, slope)
      out[kind] += step / max(1, np.abs(step).max())  # or it may overshoot
    out[kind, 1] = max(out[kind, 1], 0.0)  # never falling
  return out


def corrected(lines: np.ndarray, kind, probability) -> np.ndarray:
  """float32 [n]: P(the verdict is right) by what trials have shown."""
  offset, slope = lines[kind].T
  odds = offset + slope * _log_odds(probability)
  return _logistic(odds).astype(np.float32)


def _logistic(odds):
  return 1 / (1 + np.exp(-odds))


def _log_odds(probability):
  p = np.asarray(probability, np.float64)
  with np.errstate(divide='ignore'):
    return np.clip(np.log(p) - np.log1p(-p), -_LONGEST, _LONGEST)


def bins(
  kind: np.ndarray,
  confidence: np.ndarray,
  planted: tuple[np.ndarray, np.ndarray, np.ndarray],
  is_right: np.ndarray | None,
) -> list[dict[str, Any]]:
  """A reliability curve for each verdict.

  Args:
    kind: uint8 [n], the verdicts.
    confidence: float32 [n], of each.
    planted: likewise of a trial, and bool, whether they are right.
    is_right: bool [n], or None where the truth is not known.

  Returns:
    bins that are not empty: verdict, low, high, count and predicted, of the
    real verdicts; measured_planted, the share that was right of those of the
    trial, and planted, how many these are; measured_true, of the real ones.
  """

  def mean(x):
    return float(x.mean()) if len(x) else None

  out = []
  for number, word in enumerate(verdicts.WORDS[:3]):
    for low, high in itertools.pairwise(EDGES):
      some, tried = (
        (k == number) & (c >= low) & ((c < high) | (high == 1))
        for k, c in ((kind, confidence), planted[:2])
      )
      if not some.any() and not tried.any():
        continue
      out.append(
        {
          'verdict': word,
          'low': low,
          'high': high,
          'count': int(some.sum()),
          'predicted': mean(confidence[some]),
          'planted': int(tried.sum()),
          'measured_planted': mean(planted[2][tried]),
          'measured_true': None if is_right is None else mean(is_right[some]),
        }
      )
  return out


def found_by_size(tried: Trial) -> list[dict[str, Any]]:
  """How much of what was planted was found, by the size of the given class."""
  out = []
  for low, high in zip(SIZES, [*SIZES[1:], None], strict=True):
    some = (tried.size >= low) & (tried.size < (high or np.inf))
    row = {'from': low, 'below': high, 'rows': int(some.sum())}
    for kind in (verdicts.RELABEL, verdicts.OUTLIER):
      these = some & (tried.planted == kind)
      found = these & (tried.kind != verdicts.KEEP)
      word = verdicts.WORDS[kind]
      row[f'planted_{word}'] = int(these.sum())
      row[f'found_{word}'] = int(found.sum())
    if some.any():
      out.append(row)
  return out
