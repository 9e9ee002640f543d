"""What a data set holds: counts, labels, image sizes, duplicates, broken files.

Images with the same bytes under two labels are closed-set noise that needs no
training to be found.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bfjax.data import labelled
from bfjax.datasets.inspection import looking
from bfjax.text import printable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Census(looking.Looks):
  """What was found; counts unless told otherwise, all of it JSON values.

  `unreadable` also has the classes without another image, and the first ones.
  """

  images: int
  classes: int
  per_class: dict[str, float]  # fewest, median, mean and most images
  # (fewest, most, classes) for classes of 1, 2 to 3, 4 to 7, ... images.
  histogram: list[tuple[int, int, int]]
  # Labels from 0 to the largest that no image has: how many, and the first; {}
  # if labels are names.
  label_gaps: dict[str, Any]
  wrong_labels: int | None  # that are not the true ones; None: not known
  read: int  # images that were read and compared: all, or the sample
  left_out: int  # damaged records, which do not count as images
  # Images with the bytes of another one: groups, images, of these across
  # classes.
  duplicates: dict[str, int]
  across_classes: list[list[int]]  # the rows of each such group


def take(
  source: labelled.Source, *, sample: int, compare: bool = True
) -> Census:
  """Looks through a data set; a progress bar tells how far.

  Args:
    source: the data set.
    sample: how many images to decode; 0 for all.
    compare: whether to read every image, to find equal ones.
  """
  looks, bad, rows, digests = looking.look(
    source, sample=sample, compare=compare
  )
  groups = _groups(digests, rows)
  across = [group for group in groups if len(set(source.labels[group])) > 1]
  counts = np.bincount(source.labels, minlength=source.num_classes)
  num_bad = np.bincount(source.labels[bad], minlength=source.num_classes)
  lost = np.flatnonzero((num_bad == counts) & (counts > 0)).tolist()
  first_lost = [printable(source.class_names[i]) for i in lost[: looking.SHOWN]]
  unreadable = {'classes': len(lost), 'first_classes': first_lost}
  true = source.true_labels
  return Census(
    **vars(looks) | {'unreadable': looks.unreadable | unreadable},
    images=source.num_rows,
    classes=source.num_classes,
    per_class={
      'fewest': int(counts.min()),
      'median': float(np.median(counts)),
      'mean': float(counts.mean()),
      'most': int(counts.max()),
    },
    histogram=_histogram(counts),
    label_gaps=_gaps(source.class_names),
    wrong_labels=None if true is None else int((true != source.labels).sum()),
    read=source.num_rows if compare else looks.decoded,
    left_out=getattr(source, 'num_left_out', 0),
    duplicates={
      'groups': len(groups),
      'images': sum(map(len, groups)),
      'groups_across_classes': len(across),
      'images_across_classes': sum(map(len, across)),
    },
    across_classes=across,
  )


def _groups(digests, rows) -> list[list[int]]:
  """Rows of equal digests, ascending, where there are two or more."""
  # The first half of a digest finds them, the whole one tells them apart.
  _, group, count = np.unique(
    digests[:, 0], return_inverse=True, return_counts=True
  )
  found = collections.defaultdict(list)
  for i in np.flatnonzero(count[group] > 1):
    found[digests[i].tobytes()].append(int(rows[i]))
  return [group for group in found.values() if len(group) > 1]


def _histogram(counts: np.ndarray) -> list[tuple[int, int, int]]:
  """(fewest, most, classes): none, 1, 2 to 3, 4 to 7, ... images."""
  power = np.frexp(counts)[1]
  return [
    (2 ** (p - 1) if p else 0, 2**p - 1, int(np.sum(power == p)))
    for p in range(int(power.min()), int(power.max()) + 1)
  ]


def _gaps(class_names: Sequence[str]) -> dict[str, Any]:
  if not all(name.isdecimal() for name in class_names):
    return {}
  used = np.sort(np.fromiter(map(int, class_names), np.int64))
  jumps = np.flatnonzero(np.diff(used, prepend=-1) > 1)
  first = []
  for i in jumps[: looking.SHOWN]:
    start = used[i - 1] + 1 if i else 0
    first += range(int(start), int(min(used[i], start + looking.SHOWN)))
  missing = int(used[-1]) + 1 - len(used)
  first = first[: looking.SHOWN]
  return {'largest': int(used[-1]), 'missing': missing, 'first': first}
