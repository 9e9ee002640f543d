"""Why a data set cannot be used as it is, and what can be done about it."""

import itertools
import os
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from bfjax.data import labelled
from bfjax.datasets.inspection import census
from bfjax.text import printable

_MOST = 0.5  # share of images that cannot be read
_TRIED = 5  # images that are looked for in another folder
_LEVELS = 3  # folders above that are tried
_MOST_INSIDE = 1000  # folders inside


class Problem(NamedTuple):
  """What is wrong and what to do, in words, and the commands that do it."""

  text: str
  commands: tuple[str, ...] = ()


def of_training_set(
  source: labelled.Source,
  seen: census.Inspection,
  *,
  root: str,
  list: str = '',
) -> Problem | None:
  """What keeps a run from training on a set, or None.

  Args:
    source: the set.
    seen: what was found in it.
    root: its folder or file.
    list: the list of its images, '' if there is none.
  """
  bad = seen.unreadable
  if not seen.sizes:
    return _unreadable(source, seen, root, list)
  if seen.classes - bad['classes'] < 2:
    return _one_class(source, root, list)
  if bad['share'] > _MOST:
    given = f'--root {shlex.quote(root)}'
    given += f' --list {shlex.quote(list)}' if list else ''
    return Problem(
      f'{bad["share"]:.0%} of the images cannot be read. Restore them, or make'
      ' a set of the others:',
      (
        f'python tools/pack.py {given} --on-error skip --to list'
        ' --out READABLE',
      ),
    )
  return None


def of_pairs(images, seen, *, root: str, list: str = '') -> Problem | None:
  """What keeps a run from being evaluated on pairs, or None.

  Args:
    images: of the pairs, as `files.ImageFiles`.
    seen: what was found in them, a `pairinspection.PairInspection`.
    root: the folder that the paths of the list are relative to.
    list: the list of the pairs, '' of a pack.
  """
  if not seen.sizes:
    return _unreadable(images, seen, root, list)
  if seen.unreadable['images']:
    return Problem(
      'An evaluation needs all images of its pairs. Restore those that cannot'
      ' be read, or take their pairs off the list.'
    )
  if seen.pairs_of_one_person in (0, seen.pairs):
    return Problem(
      'All pairs are of one kind. An evaluation needs pairs of one person and'
      ' pairs of two.'
    )
  return None


def _unreadable(images, seen, root, list) -> Problem:
  """None can be read; those of a list may lie in another folder."""
  (name, why), *_ = seen.unreadable['first']
  text = f'None of {seen.decoded} images can be read. The first, {name}: {why}'
  if not list or os.path.exists(images.path(0)):
    return Problem(text)
  names = [images.name(row) for row in range(min(images.num_rows, _TRIED))]
  for folder in _folders_near(root):
    if all(os.path.isfile(os.path.join(folder, name)) for name in names):
      found = f'--root {shlex.quote(folder)} {shlex.quote(list)}'
      return Problem(
        f'{text}\nThe paths of the list fit another folder:',
        (f'python tools/info.py {found}',),
      )
  return Problem(
    f'{text}\nThe paths of the list are taken relative to {printable(root)}:'
    ' give the right folder as --root.'
  )


def _folders_near(root) -> Iterator[str]:
  """Those above, the working directory, and those inside."""
  above = root
  for _ in range(_LEVELS):
    above = os.path.dirname(above)
    yield above
  yield os.getcwd()
  with os.scandir(root) as entries:
    inside = (entry.path for entry in entries if entry.is_dir())
    yield from sorted(itertools.islice(inside, _MOST_INSIDE))


def _one_class(source, root, list) -> Problem:
  text = (
    'There is one class with images that can be read, and a net learns by'
    ' telling people apart.'
  )
  if list:
    return Problem(f'{text} Is the label the last word of each line?')
  inside = os.path.join(root, source.class_names[0])
  if source.num_classes == 1 and os.path.isdir(inside):
    with os.scandir(inside) as entries:
      if sum(entry.is_dir() for entry in entries) > 1:
        return Problem(
          f'{text} The folders inside it may be the classes:',
          (f'python tools/info.py {shlex.quote(inside)}',),
        )
  return Problem(f'{text} Expected is a folder for each person.')
