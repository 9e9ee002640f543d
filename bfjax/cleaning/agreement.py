"""Whether the nearest rows of a row carry the label that is proposed for it."""

import numpy as np

from bfjax.evaluation import search

NEIGHBOURS = 10
# Rows that are looked at, in a set of more: those least surely right.
_MOST = 1 << 17
_PART = 1 << 12


def neighbours(
  features, proposed: np.ndarray, doubt: np.ndarray, progress: str = ''
) -> np.ndarray:
  """float32 [n]: the share of the nearest rows that carry the proposed label.

  Of at most 131,072 rows, those of most doubt; NaN for the others. So the time
  grows with the rows and no faster.

  Args:
    features: float32 or float16 [n, d] of length 1; gives rows by a slice and
      by an array of row numbers.
    proposed: int32 [n], of each row.
    doubt: float32 [n].
    progress: what a progress bar is headed; '' for none.
  """
  num_rows = len(proposed)
  rows = np.arange(num_rows)
  if num_rows > _MOST:
    rows = np.sort(np.argpartition(doubt, -_MOST)[-_MOST:])
  count = min(NEIGHBOURS + 1, num_rows)
  out = np.full(num_rows, np.nan, np.float32)
  for start in range(0, len(rows), _PART):
    part = rows[start : start + _PART]
    queries = np.asarray(features[part], np.float32)
    title = progress and f'{progress} {start + len(part)} of {len(rows)}'
    _, found = search.top_k(queries, features, count, progress=title)
    same = proposed[found] == proposed[part, None]
    # The row itself is the nearest, unless others are the same image.
    is_other = found != part[:, None]
    is_other[is_other.all(1), -1] = False
    out[part] = (same & is_other).sum(1) / np.maximum(is_other.sum(1), 1)
  return out
