"""From embeddings to verdicts: the look, the trials, the neighbours."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bfjax import atomic
from bfjax.cleaning import (
  agreement,
  calibration,
  classmeans,
  secondlook,
)
from bfjax.cleaning.verdicts import KEEP, OUTLIER, RELABEL, UNSURE, Verdicts

_TRIALS = 3
_LARGE = 1 << 18  # rows from which one trial has to do
_STATE = 'look.npz'


class Judged(NamedTuple):
  """What was found of the rows.

  Attributes:
    verdicts: one a row.
    rates: float64 [3], shares of right rows, others' and nobody's.
    kappa: the concentration of the cosines.
    trial: what was planted, with confidences as they were corrected.
    lines: float64 [3, 2], the correction.
  """

  verdicts: Verdicts
  rates: np.ndarray
  kappa: float
  trial: calibration.Trial
  lines: np.ndarray


class Limits(NamedTuple):
  """From which confidence on a row is kept as given, or relabelled."""

  keep: float
  relabel: float


def judge(
  features,
  given: np.ndarray,
  num_classes: int,
  names: Sequence[str],
  *,
  limits: Limits,
  history: tuple[np.ndarray, np.ndarray],
  state: pathlib.Path,
  progress: bool = True,
) -> Judged:
  """Judges all rows.

  Args:
    features: float32 or float16 [n, d] of length 1, memory-mapped or not.
    given: int32 [n].
    num_classes: C.
    names: of the rows.
    limits: below them a verdict is unsure.
    history: int32 [n], the first epoch in which a run corrected the row, and in
      how many.
    state: a folder for what a kill shall not cost; what it holds is of these
      features and labels.
    progress: whether bars are shown.

  Raises:
    UserError: if there are too few classes.
  """
  title = (lambda text: text) if progress else (lambda text: '')
  seen = secondlook.look(
    features,
    given,
    num_classes,
    start=_read(state / _STATE),
    save=lambda *done: _write(state / _STATE, *done),
    progress=title('Second look'),
  )
  tried = calibration.merged(
    calibration.trial(
      features,
      seen,
      given,
      num_classes,
      seed=seed,
      progress=title(f'Planted errors {seed + 1}'),
    )
    for seed in range(1 if len(given) >= _LARGE else _TRIALS)
  )
  lines = calibration.lines(tried)
  kind, probability = calibration.judge(seen)
  confidence = calibration.corrected(lines, kind, probability)
  likelier = seen.proposed(given)
  proposed = np.where(kind == RELABEL, seen.nearest.nearest, likelier)
  proposed = np.where(kind == KEEP, given, proposed).astype(np.int32)
  is_new = proposed != given
  cosine = np.where(
    is_new, seen.nearest.nearest_cosine, seen.nearest.given_cosine
  )
  limit = np.array([limits.keep, limits.relabel, 0])[kind]
  doubt = np.where(kind == KEEP, 1 - confidence, 1)
  found = Verdicts(
    names,
    given,
    proposed,
    seen.nearest.given_cosine,
    cosine,
    agreement.neighbours(features, proposed, doubt, title('Neighbours')),
    *history,
    np.where(confidence < limit, UNSURE, kind).astype(np.uint8),
    confidence,
  )
  corrected = calibration.corrected(lines, tried.kind, tried.probability)
  return Judged(
    found,
    seen.rates,
    seen.kappa,
    tried._replace(probability=corrected),
    lines,
  )


def _read(path):
  if not path.exists():
    return None
  with np.load(path) as saved:
    now = classmeans.Labelling(saved['label'], saved['weight'])
    return int(saved['done']), now


def _write(path, done, now):
  with atomic.writing(path) as draft, draft.open('wb') as file:
    np.savez(file, done=done, **now._asdict())


def reliability(
  judged: Judged, true: np.ndarray | None
) -> list[dict[str, Any]]:
  """The reliability curves: `calibration.bins` of the verdicts.

  Unsure rows count with the verdict that they would have had.

  Args:
    judged: what was found.
    true: int32 [n], or None where that is not known.
  """
  found, tried = judged.verdicts, judged.trial
  kind = kinds(found)
  is_right = None
  if true is not None:
    is_right = calibration.right(kind, found.given, found.proposed, true)
  return calibration.bins(
    kind,
    found.confidence,
    (tried.kind, tried.probability, tried.right),
    is_right,
  )


def kinds(found: Verdicts) -> np.ndarray:
  """uint8 [n]: the verdicts, and of unsure rows the ones they would have."""
  likeliest = np.where(found.proposed == found.given, KEEP, RELABEL)
  return np.where(found.verdict == UNSURE, likeliest, found.verdict)


def scores(found: Verdicts, true: np.ndarray) -> Mapping[str, float]:
  """How right verdicts are, where the truth is known; shares.

  wrong_given and wrong_proposed: of all labels, before and after; of_surest_95:
  of the 95 % of rows of most confidence; changed_right: of right labels, that
  are changed; of rows that are right, flipped, or of strangers: what becomes of
  them.

  Args:
    found: the verdicts.
    true: int32 [n].
  """
  is_right, is_wrong = found.given == true, found.proposed != true
  stranger = true < 0
  flipped = ~is_right & ~stranger
  out = kinds(found) == OUTLIER
  # What is left out is not among the sure ones.
  order = np.argsort(np.where(out, 0, -found.confidence), kind='stable')
  surest = order[: int(0.95 * len(order))]
  changed = found.verdict == RELABEL
  left_out = found.verdict >= OUTLIER
  sure = found.confidence >= 0.9
  return {
    'wrong_given': float((found.given != true).mean()),
    'wrong_proposed': float(is_wrong.mean()),
    'wrong_of_surest_95': float(is_wrong[surest].mean()),
    'changed_of_right': _share(changed, is_right),
    'left_out_of_right': _share(left_out, is_right),
    'set_right_of_flipped': _share(changed & ~is_wrong, flipped),
    'left_out_of_flipped': _share(left_out, flipped),
    'left_out_of_strangers': _share(left_out, stranger),
    'right_of_changed_at_90': _share(~is_wrong, changed & sure),
    'wrong_of_cleaned': _share(is_wrong, ~left_out),
  }


def _share(of, some):
  return float(of[some].mean()) if some.any() else None
