"""How right verdicts are: where truth was planted, and where it is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bfjax.cleaning import calibration
from bfjax.cleaning.verdicts import KEEP, OUTLIER, RELABEL, UNSURE, Verdicts


def reliability(
  found: Verdicts, tried: calibration.Trial, true: np.ndarray | None
) -> list[dict[str, Any]]:
  """The reliability curves: `calibration.bins` of the verdicts.

  Unsure rows count with the verdict that they would have had.

  Args:
    found: the verdicts.
    tried: of `Judged`.
    true: int32 [n], or None where that is not known.
  """
  kind, is_right = kinds(found), None
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
