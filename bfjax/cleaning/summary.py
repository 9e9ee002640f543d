"""What cleaning found, in words and as data."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bfjax import atomic, text
from bfjax.cleaning import (
  calibration,
  comparing,
  findings,
  judging,
  means,
  scoring,
  verdicts,
)

JSON, WORDS = 'summary.json', 'summary.md'
_KINDS = {
  'twice': 'merges',
  'two people': 'splits',
  'junk': 'junk',
  'shared': 'shared',
}
_SCORES = {
  'wrong_given': 'labels wrong as given',
  'wrong_proposed': 'labels wrong as proposed, all rows',
  'wrong_of_surest_95': 'labels wrong as proposed, of the surest 95 % of rows',
  'wrong_of_cleaned': 'labels wrong in the cleaned set',
  'changed_of_right': 'right labels changed',
  'left_out_of_right': 'right rows left out',
  'set_right_of_flipped': 'wrong labels set right',
  'left_out_of_flipped': 'rows with a wrong label left out',
  'left_out_of_strangers': 'strangers left out',
  'right_of_changed_at_90': 'changes of confidence .9 and more that are right',
}


def of_rows(
  judged: judging.Judged, found: verdicts.Verdicts, true: np.ndarray | None
) -> dict[str, Any]:
  """What is told of the rows, as JSON has it.

  Args:
    judged: what was found.
    found: the verdicts that were made of it.
    true: int32 [n], or None where the truth is not known.
  """
  counts = np.bincount(found.verdict, minlength=4)
  return {
    'rows': len(found.given),
    'noise_rate': float(1 - judged.rates[0]),
    'stranger_rate': float(judged.rates[2]),
    'kappa': float(judged.kappa),
    'counts': dict(zip(verdicts.WORDS, map(int, counts), strict=True)),
    'calibration': scoring.reliability(found, judged.trial, true),
    'planted': calibration.found_by_size(judged.trial),
    'scores': None if true is None else scoring.scores(found, true),
  }


def of_classes(found: list[findings.Finding] | None) -> dict[str, Any]:
  """What is told of classes: `merges`, `splits`, `junk` and `shared`."""
  out = {name: [] for name in _KINDS.values()}
  for finding, values in zip(
    found or [], findings.to_json(found or []), strict=True
  ):
    out[_KINDS[finding.kind]].append(values)
  return out


def of_others(
  compared: Sequence[comparing.Compared], labels: np.ndarray, num_classes: int
) -> dict[str, Any]:
  """What is told of other sets: `overlap`, and `compared`, in words.

  Args:
    compared: the sets.
    labels: int32 [n], our labels as they seem to be, -1 for nobody's.
    num_classes: of ours.
  """
  by_class = means.ByClass(labels, num_classes)
  return {
    'overlap': comparing.told(compared, by_class),
    'compared': [comparing.in_words(one) for one in compared],
  }


def write(out: pathlib.Path, told: Mapping[str, Any], after: str) -> str:
  """Writes both files; returns the words.

  Args:
    out: the folder.
    told: all that goes into summary.json.
    after: what is said at the end: what was written, and what to do next.
  """
  words = in_words(told) + ('\n\n' + after if after else '')
  content = json.dumps(told, indent=1, allow_nan=False) + '\n'
  atomic.write_text(out / JSON, content)
  atomic.write_text(out / WORDS, words + '\n')
  return words


def in_words(told: Mapping[str, Any]) -> str:
  """The findings as a person would tell them."""
  counts, rows = told['counts'], told['rows']
  lines = [
    f'{rows} rows of {told["classes"]} classes. As it seems, '
    f'{100 * told["noise_rate"]:.1f} % of the labels are wrong, '
    f'{100 * told["stranger_rate"]:.1f} % of the rows of nobody in the set.',
    '',
    f'- {counts["keep"]} rows are kept as they are',
    f'- {counts["relabel"]} get another label',
    f'- {counts["outlier"]} are of nobody in the set, or cannot be told',
    f'- {counts["unsure"]} are unsure',
  ]
  kinds = {
    'merges': 'pairs of classes that are one person',
    'splits': 'classes of two people',
    'junk': 'classes of nobody',
    'shared': 'images in two classes',
  }
  found = [
    f'- {len(told[kind])} {words}'
    for kind, words in kinds.items()
    if told[kind]
  ]
  if found:
    lines += ['', 'Probably there are also', '', *found]
  if told['compared']:
    lines += ['', *told['compared']]
  changed = [x for x in told['calibration'] if x['verdict'] == 'relabel']
  if changed:
    table: list[tuple[str, ...]] = [
      ('confidence', 'rows', 'told', 'right of planted', 'truly right')
    ]
    table += [
      (
        f'{x["low"]:.2f} to {x["high"]:.2f}',
        str(x['count']),
        *map(
          _percent,
          (x['predicted'], x['measured_planted'], x['measured_true']),
        ),
      )
      for x in changed
    ]
    lines += ['', 'New labels, how sure and how often right:', '']
    lines += [text.table(table)]
  if told['scores']:
    lines += ['', 'Against the truth, in per cent:', '']
    lines += [
      f'- {words}: {_percent(told["scores"][name])}'
      for name, words in _SCORES.items()
      if told['scores'][name] is not None
    ]
  return '\n'.join(lines)


def _percent(share) -> str:
  return '-' if share is None else f'{100 * share:.2f}'
