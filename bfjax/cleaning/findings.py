"""What is found about classes: a claim, its evidence, and rows to look at."""

from typing import NamedTuple

import numpy as np

SHOWN = 8  # rows, at most, that are shown of a class


class Finding(NamedTuple):
  """Something is probably wrong with a class, or with two."""

  # 'twice': two classes are one person; 'two people': a class is two; 'junk':
  # a class is nobody; 'shared': two classes have one image.
  kind: str
  classes: tuple[int, ...]
  # Of this and all surer findings of the kind, the share expected to be wrong.
  false_rate: float
  evidence: dict[str, float | int]
  # Rows to show, the most telling first: int64 [k] for each class, or for each
  # of the two people.
  rows: tuple[np.ndarray, ...]
