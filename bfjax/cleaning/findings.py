"""What is found about classes: a claim, its evidence, and rows to look at."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

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


def to_json(found: Iterable[Finding]) -> list[dict[str, Any]]:
  """Findings as JSON has them."""
  return [
    finding._asdict() | {'rows': [rows.tolist() for rows in finding.rows]}
    for finding in found
  ]


def from_json(listed: Iterable[Mapping[str, Any]]) -> list[Finding]:
  """Findings that `to_json` has made JSON of."""
  return [
    Finding(**values)._replace(
      classes=tuple(values['classes']),
      rows=tuple(np.array(rows, np.int64) for rows in values['rows']),
    )
    for values in listed
  ]
