"""A set beside others: which of its classes are people of these too, told."""

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bfjax import atomic, errors
from bfjax.cleaning import findings, joining, means, othersets, overlap
from bfjax.data import labelled
from bfjax.text import printable

TABLE = 'overlap.tsv'
_HEADER = 'set\tclass\tother\tcosine\tfalse_rate'


class Compared(NamedTuple):
  """Another set, and who of it is in ours."""

  other: othersets.OtherSet
  found: overlap.Overlap


def classes(compared: Iterable[Compared]) -> np.ndarray:
  """int64 [k]: our classes that are people of other sets, ascending."""
  found = [match.label for one in compared for match in one.found.matches]
  return np.unique(np.array(found, np.int64))


def compare(
  ours: means.Means, other: othersets.OtherSet, progress: str = ''
) -> Compared:
  """Finds who is in both.

  Args:
    ours: of the classes, by the labels as they seem to be.
    other: the other set.
    progress: what progress bars are headed; '' for none.
  """
  directions, sizes = other.units(progress)
  found = overlap.find(ours, directions, sizes, progress=progress)
  return Compared(other, found)


def told(
  compared: Iterable[Compared], by_class: means.ByClass
) -> list[dict[str, Any]]:
  """The findings as JSON has them, the surest of each set first.

  Args:
    compared: what was compared.
    by_class: the rows of our classes.
  """
  out = []
  for other, found in compared:
    for match in found.matches:
      best = int(match.others[0])
      out.append(
        {
          'classes': [match.label],
          'rows': [by_class.rows(match.label)[: findings.SHOWN].tolist()],
          'evidence': {
            'cosine': match.cosine,
            'threshold': found.threshold,
          },
          'false_rate': match.false_rate,
          'other': {
            'set': other.name,
            'name': _name(other, best),
            'rows': other.rows(best)[: findings.SHOWN].tolist(),
          },
        }
      )
  return out


def _name(other, unit) -> str:
  """What a person is called, or the image that shows him."""
  names = other.people.class_names
  named = other.people.labels is not None and names[unit]
  return names[unit] if named else other.names[int(other.rows(unit)[0])]


def write(
  path: pathlib.Path, compared: Iterable[Compared], class_names: Sequence[str]
) -> None:
  """Writes a line for every person who is in both sets.

  Columns between tabs: set, our class, what the person is called there or an
  image, the cosine, and the share that is expected to be wrong of this line and
  all surer ones.
  """
  with (
    atomic.writing(path) as draft,
    draft.open('w', encoding='utf-8', errors='surrogateescape') as file,
  ):
    file.write(f'{_HEADER}\n')
    for other, found in compared:
      for match in found.matches:
        person = _name(other, int(match.others[0]))
        numbers = f'{match.cosine:.4f}\t{match.false_rate:.2g}'
        label = class_names[match.label]
        file.write(f'{other.name}\t{label}\t{person}\t{numbers}\n')


def in_words(compared: Compared) -> str:
  """What was found, in a line."""
  other, found = compared
  per_mille = 1000 * found.false_rate
  return (
    f'{len(found.matches)} classes are people of {printable(other.name)} too: '
    f'cosines from {found.threshold:.2f} on, which at most {per_mille:.0f} in '
    '1000 of these would reach by chance.'
  )


def join(source: labelled.Source, compared: Compared) -> labelled.Source:
  """Our set and the other, shared people merged; see `joining.join`.

  Raises:
    UserError: if the other set is no set with labels.
  """
  other, found = compared
  images = other.people.images
  if not isinstance(images, labelled.Source):
    raise errors.UserError(
      f'--join {printable(other.name)}: a set to be joined has images and '
      'labels, as sets for training have.'
    )
  name = os.path.splitext(os.path.basename(os.path.abspath(other.name)))[0]
  number = joining.classes_of(found, images.num_classes)
  return joining.join(source, images, number, name)
