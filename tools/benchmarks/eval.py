"""Evaluation at the sizes of the field's tests, on generated features.

Both sides do the whole work on the same features, and must find the same:
pairs in folds as of LFW, templates as of IJB-C, and a search as of MegaFace.
For a quick look at all of it, `EVAL_SCALE=0.01` makes the last two smaller by
that factor.
"""

import os

from benchmarks import timing
from benchmarks.evaluation import megaface, pairs, templates


def run(*, repeats: int = 5, scale: float | None = None) -> list[timing.Row]:
  """The rows of all tests.

  Args:
    repeats: measured calls of each side.
    scale: of the sizes; None for the environment's EVAL_SCALE, or 1.

  Raises:
    AssertionError: if two sides do not find the same.
  """
  if scale is None:
    scale = float(os.environ.get('EVAL_SCALE', '1'))
  return [
    *pairs.rows(repeats=repeats),
    *templates.rows(repeats=repeats, scale=scale),
    *megaface.rows(repeats=repeats, scale=scale),
  ]
