"""True accept rates at false accept rates, as scores of a benchmark."""

from collections.abc import Iterable

import numpy as np

from bfjax.evaluation.protocols import roc


def names(far: float) -> tuple[str, str]:
  """('tar@far=1e-4', 'tar@far<=1e-4'): nearest to a rate, and conservative."""
  number = np.format_float_scientific(far, trim='-', exp_digits=1)
  return f'tar@far={number}', f'tar@far<={number}'


def points(rates: Iterable[roc.Rate]) -> dict[str, roc.Point]:
  """Name of a score -> the point of the ROC whose TAR it is."""
  return {
    name: point
    for rate in rates
    for name, point in zip(
      names(rate.target), (rate.nearest, rate.conservative), strict=True
    )
  }
