"""From embeddings to verdicts: the look, the trials, the neighbours."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bfjax import atomic
from bfjax.cleaning import (
  agreement,
  calibration,
  classmeans,
  secondlook,
)
from bfjax.cleaning.verdicts import KEEP, RELABEL, UNSURE, Verdicts

_TRIALS = 3
_LARGE = 1 << 18  # rows from which one trial has to do
_STATE, _JUDGED = 'look.npz', 'judged.npz'


class Judged(NamedTuple):
  """What was found of n rows, before anybody asks how sure is sure.

  Attributes:
    kind: uint8 [n], `verdicts.KEEP`, `RELABEL` or `OUTLIER`.
    confidence: float32 [n], P(that is right).
    proposed: int32 [n], and the others as `verdicts.Verdicts` has them.
    rates: float64 [3], shares of right rows, others' and nobody's.
    kappa: the concentration of the cosines, a scalar.
    trial: what was planted, with confidences as they were corrected.
  """

  kind: np.ndarray
  confidence: np.ndarray
  proposed: np.ndarray
  given_cosine: np.ndarray
  proposed_cosine: np.ndarray
  neighbour_agreement: np.ndarray
  rates: np.ndarray
  kappa: np.ndarray
  trial: calibration.Trial


class Limits(NamedTuple):
  """From which confidence on a row is kept as given, or relabelled."""

  keep: float
  relabel: float


def judge(
  features,
  given: np.ndarray,
  num_classes: int,
  *,
  state: pathlib.Path,
  progress: bool = True,
) -> Judged:
  """Judges all rows, once.

  Args:
    features: float32 or float16 [n, d] of length 1, memory-mapped or not.
    given: int32 [n].
    num_classes: C.
    state: a folder for what is known, after a kill too; what it holds is of
      these features and labels.
    progress: whether bars are shown.

  Raises:
    UserError: if there are too few classes.
  """
  if (state / _JUDGED).exists():
    return _read_judged(state / _JUDGED)

  def title(text):
    return text if progress else ''

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
  near = seen.nearest
  proposed = np.where(kind == RELABEL, near.nearest, seen.proposed(given))
  proposed = np.where(kind == KEEP, given, proposed).astype(np.int32)
  is_new = proposed != given
  doubt = np.where(kind == KEEP, 1 - confidence, 1)
  corrected = calibration.corrected(lines, tried.kind, tried.probability)
  found = Judged(
    kind,
    confidence,
    proposed,
    near.given_cosine,
    np.where(is_new, near.nearest_cosine, near.given_cosine),
    agreement.neighbours(features, proposed, doubt, title('Neighbours')),
    seen.rates,
    np.asarray(seen.kappa, np.float64),
    tried._replace(probability=corrected),
  )
  _write_judged(state / _JUDGED, found)
  (state / _STATE).unlink(missing_ok=True)
  return found


def verdicts_of(
  found: Judged,
  given: np.ndarray,
  names: Sequence[str],
  *,
  limits: Limits,
  history: tuple[np.ndarray, np.ndarray],
) -> Verdicts:
  """What was found, as verdicts.

  Args:
    found: what that is.
    given: int32 [n].
    names: of the rows.
    limits: below them a verdict is unsure.
    history: int32 [n], the first epoch in which a run corrected the row, and in
      how many.
  """
  limit = np.array([limits.keep, limits.relabel, 0])[found.kind]
  is_unsure = found.confidence < limit
  return Verdicts(
    names,
    given,
    found.proposed,
    found.given_cosine,
    found.proposed_cosine,
    found.neighbour_agreement,
    *history,
    np.where(is_unsure, UNSURE, found.kind).astype(np.uint8),
    found.confidence,
  )


def _write_judged(path, found: Judged) -> None:
  trial = {f'trial_{k}': v for k, v in found.trial._asdict().items()}
  own = found._asdict()
  del own['trial']
  with atomic.writing(path) as draft, draft.open('wb') as file:
    np.savez(file, **own, **trial)


def _read_judged(path) -> Judged:
  with np.load(path) as saved:
    trial = calibration.Trial(
      *(saved[f'trial_{name}'] for name in calibration.Trial._fields)
    )
    own = {name: saved[name] for name in Judged._fields if name != 'trial'}
  return Judged(**own, trial=trial)


def _read(path):
  if not path.exists():
    return None
  with np.load(path) as saved:
    now = classmeans.Labelling(saved['label'], saved['weight'])
    return int(saved['done']), now


def _write(path, done, now):
  with atomic.writing(path) as draft, draft.open('wb') as file:
    np.savez(file, done=done, **now._asdict())
