"""What was found in a data set, in words, and what keeps it from being used."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bfjax.data import labelled, places
from bfjax.datasets.inspection import census
from bfjax.text import printable

_BAR = 40
_GROUPS, _PER_GROUP, _SIZES = 5, 4, 6
_MOST_BAD = 0.5  # share of images that cannot be read
_TRIED = 5  # images that are looked for in another folder


def of_set(source: labelled.Source, seen: census.Census) -> Iterator[str]:
  """Yields the lines on a training set that `tools/info.py` prints."""
  counts, gaps, equal = seen.per_class, seen.label_gaps, seen.duplicates
  yield (
    f'{seen.images} images of {seen.classes} classes; images per class:'
    f' {counts["fewest"]} to {counts["most"]}, median {counts["median"]:g},'
    f' mean {counts["mean"]:.1f}\n'
  )
  yield from _bars(seen)
  yield ''
  if gaps.get('missing'):
    yield (
      f'Labels: {gaps["missing"]} of 0 .. {gaps["largest"]} have no image'
      f' ({", ".join(map(str, gaps["first"]))}, ...): the others are renumbered'
    )
  elif gaps:
    yield f'Labels: 0 .. {gaps["largest"]}, without gaps'
  if seen.wrong_labels is not None:
    share = seen.wrong_labels / seen.images
    yield f'Known wrong labels: {seen.wrong_labels} ({share:.2%})'
  yield from _contents(seen)
  if num_lost := seen.unreadable['classes']:
    first = seen.unreadable['first_classes']
    more = ', ...' if num_lost > len(first) else ''
    yield (
      f'Classes without a readable image: {num_lost} ({", ".join(first)}{more})'
    )
  if seen.left_out:
    yield f'Damaged records, left out: {seen.left_out}'
  yield (
    f'Equal images: {equal["images"]} in {equal["groups"]} groups, of these'
    f' {equal["groups_across_classes"]} groups across classes'
    + (' (of the sample alone)' if seen.read < seen.images else '')
  )
  for rows in seen.across_classes[:_GROUPS]:
    names = (f'{x} [{label}]' for x, label in named(source, rows[:_PER_GROUP]))
    yield '  ' + '  =  '.join(names)


def of_pairs(seen) -> Iterator[str]:
  """Yields the same of a `pairinspection.PairInspection`."""
  yield (
    f'{seen.pairs} pairs, {seen.pairs_of_one_person} of one person,'
    f' {seen.images} images'
  )
  yield from _contents(seen)


def ranges(seen: census.Census) -> list[str]:
  """The numbers of images that the histogram is of: '1', '2-3', '4-7'."""
  return [str(a) if a == b else f'{a}-{b}' for a, b, _ in seen.histogram]


def named(
  source: labelled.Source, rows: Sequence[int]
) -> Iterator[tuple[str, str]]:
  """(name, label) of images, to be printed."""
  for row in rows:
    label = source.class_names[source.labels[row]]
    yield printable(source.name(row)), printable(label)


def _bars(seen) -> Iterator[str]:
  most = max(number for _, _, number in seen.histogram)
  width = max(map(len, ranges(seen)))
  for name, (_, _, number) in zip(ranges(seen), seen.histogram, strict=True):
    bar = '#' * round(_BAR * number / most)
    yield f'  {name:>{width}} images: {number:>8} classes {bar}'.rstrip()


def _contents(seen) -> Iterator[str]:
  """What the images are like, and which cannot be read."""
  of = 'all images' if seen.decoded == seen.images else f'of {seen.decoded}'
  yield f'Sizes ({of}): {_shares(seen.sizes)}'
  yield f'Colour: {_shares(seen.modes)}'
  yield f'Unreadable: {seen.unreadable["images"]}'
  yield from (f'  {name}: {text}' for name, text in seen.unreadable['first'])


def _shares(counts: Mapping[str, int]) -> str:
  """'112 x 112 (90.0%), 96 x 96 (10.0%)', the first of them."""
  total = sum(counts.values())
  shown = [f'{k} ({v / total:.1%})' for k, v in list(counts.items())[:_SIZES]]
  more = len(counts) - len(shown)
  return ', '.join(shown or ['-']) + (f', and {more} more' if more else '')


class Problem(NamedTuple):
  """What is wrong and what to do, in words, and the commands that do it."""

  text: str
  commands: tuple[str, ...] = ()


def problem_of_set(
  source: labelled.Source, seen: census.Census, *, root: str, list: str = ''
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
  if bad['share'] > _MOST_BAD:
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


def problem_of_pairs(images, seen, *, root: str, list: str) -> Problem | None:
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
  if folder := places.find_root(root, names):
    found = f'--root {shlex.quote(folder)} {shlex.quote(list)}'
    return Problem(
      f'{text}\nThe paths of the list fit another folder:',
      (f'python tools/info.py {found}',),
    )
  return Problem(
    f'{text}\nThe paths of the list are taken relative to {printable(root)}:'
    ' give the right folder as --root.'
  )


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
