"""What was found in a data set, in words."""

from collections.abc import Iterator, Mapping, Sequence

from bfjax.data import labelled
from bfjax.datasets.inspection import census
from bfjax.text import printable

_BAR = 40
_GROUPS, _PER_GROUP, _SIZES = 5, 4, 6


def of_training_set(source: labelled.Source, seen: census.Inspection) -> str:
  """The lines that `tools/info.py` prints, without what trains on it."""
  counts = seen.per_class
  return '\n'.join(
    [
      f'{seen.images} images of {seen.classes} classes; images per class:'
      f' {counts["fewest"]} to {counts["most"]}, median {counts["median"]:g},'
      f' mean {counts["mean"]:.1f}',
      '',
      *_bars(seen.histogram),
      '',
      *_labels(seen),
      *_contents(seen),
      *_lost(seen),
      *_equal(source, seen),
    ]
  )


def of_pairs(seen) -> str:
  """The same of a `pairinspection.PairInspection`."""
  return '\n'.join(
    [
      f'{seen.pairs} pairs, {seen.pairs_of_one_person} of one person,'
      f' {seen.images} images',
      *_contents(seen),
    ]
  )


def _contents(seen) -> list[str]:
  """What the images are like, and which cannot be read."""
  of = 'all images' if seen.decoded == seen.images else f'of {seen.decoded}'
  return [
    f'Sizes ({of}): {_shares(seen.sizes)}',
    f'Colour: {_shares(seen.modes)}',
    f'Unreadable: {seen.unreadable["images"]}',
    *(f'  {name}: {text}' for name, text in seen.unreadable['first']),
  ]


def _shares(counts: Mapping[str, int]) -> str:
  """'112 x 112 (90.0%), 96 x 96 (10.0%)', the first of them."""
  total = sum(counts.values())
  shown = [f'{k} ({v / total:.1%})' for k, v in list(counts.items())[:_SIZES]]
  more = len(counts) - len(shown)
  return ', '.join(shown or ['-']) + (f', and {more} more' if more else '')


def named(
  source: labelled.Source, rows: Sequence[int]
) -> Iterator[tuple[str, str]]:
  """(name, label) of images, to be printed."""
  for row in rows:
    label = source.class_names[source.labels[row]]
    yield printable(source.name(row)), printable(label)


def _bars(histogram) -> list[str]:
  most = max(number for _, _, number in histogram)
  names = [str(a) if a == b else f'{a}-{b}' for a, b, _ in histogram]
  width = max(map(len, names))
  return [
    f'  {name:>{width}} images: {number:>8} classes'
    f' {"#" * round(_BAR * number / most)}'.rstrip()
    for name, (_, _, number) in zip(names, histogram, strict=True)
  ]


def _labels(seen) -> Iterator[str]:
  gaps = seen.label_gaps
  if gaps.get('missing'):
    shown = ', '.join(map(str, gaps['first']))
    yield (
      f'Labels: {gaps["missing"]} of 0 .. {gaps["largest"]} have no image'
      f' ({shown}, ...): the others are renumbered'
    )
  elif gaps:
    yield f'Labels: 0 .. {gaps["largest"]}, without gaps'
  if seen.wrong_labels is not None:
    share = seen.wrong_labels / seen.images
    yield f'Known wrong labels: {seen.wrong_labels} ({share:.2%})'


def _lost(seen) -> Iterator[str]:
  bad = seen.unreadable
  if bad['classes']:
    first = bad['first_classes']
    more = ', ...' if bad['classes'] > len(first) else ''
    yield (
      f'Classes without a readable image: {bad["classes"]}'
      f' ({", ".join(first)}{more})'
    )
  if seen.left_out:
    yield f'Damaged records, left out: {seen.left_out}'


def _equal(source, seen) -> Iterator[str]:
  equal = seen.duplicates
  yield (
    f'Equal images: {equal["images"]} in {equal["groups"]} groups, of these'
    f' {equal["groups_across_classes"]} groups across classes'
    + (' (of the sample alone)' if seen.read < seen.images else '')
  )
  for rows in seen.across_classes[:_GROUPS]:
    names = (f'{x} [{label}]' for x, label in named(source, rows[:_PER_GROUP]))
    yield '  ' + '  =  '.join(names)
