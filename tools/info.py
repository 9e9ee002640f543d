"""Tells what a data set holds, and which config lines train on it.

    python tools/info.py faces_emore/            train.rec
    python tools/info.py images/                 a folder for each person
    python tools/info.py --root images train.txt a list of lines `path  label`
    python tools/info.py lfw.bin                 a verification pack

It prints format, images, classes, images per class, label gaps, image sizes and
colour modes, files that cannot be read, and images with the same bytes: across
classes these are wrong labels for certain. Every image is read for that;
--quick reads a sample only. Sizes and broken files are told of a sample of
10,000 images, or with --all of all.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import shlex

import numpy as np

from bfjax import atomic, command
from bfjax.data.conversion import formats
from bfjax.data.files import printable
from bfjax.data.inspection import inspection, inspection_chart
from bfjax.data.packs import packs

_BAR = 40
_SAMPLE = 10_000
_LARGE_SET = 2_000_000


def parse_arguments() -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('path', help='a folder, list, .rec, TFDS folder or .bin pack')
  add('--root', default='', help='the folder that a list is relative to')
  add('--format', default='', help=f'one of {", ".join(formats.FORMATS)}')
  add('--truth', default='', help='flipped images with their true labels')
  add('--all', action='store_true', help='decode every image')
  add('--quick', action='store_true', help='read the sample only')
  add('--duplicates-out', metavar='FILE', help='list equal images there (TSV)')
  add(
    '--picture', metavar='FILE', type=pathlib.Path, help='draw it: .png, .svg'
  )
  add('--json', action='store_true', help='print JSON')
  return parser.parse_args()


def main(arguments: argparse.Namespace) -> None:
  """Looks and prints.

  Raises:
    UserError: if there is no data set, or it cannot be read at all.
  """
  if arguments.path.endswith('.bin') and not arguments.format:
    _tell_pack(arguments)
    return
  found = formats.detect(
    arguments.root or arguments.path,
    list=arguments.path if arguments.root else '',
    format=arguments.format,
  )
  source = formats.open_source(
    found, truth=arguments.truth, check='none', on_error='skip'
  )
  sample = 0 if arguments.all else _SAMPLE
  seen = inspection.inspect(source, sample=sample, compare=not arguments.quick)
  options = found.options
  if seen.unreadable['images'] or seen.left_out:
    options = {**options, 'on_error': 'skip'}
    if options['source'] == 'imagelist':
      options['check'] = 'none'  # which refuses what is missing
  lines = config_lines(options, seen.images)
  if arguments.duplicates_out:
    _write_duplicates(arguments.duplicates_out, source, seen.across_classes)
  if arguments.picture:
    inspection_chart.draw(arguments.picture, source, seen)
  if arguments.json:
    values = dataclasses.asdict(seen)
    del values['across_classes']
    report = {'path': arguments.path, 'format': found.format, **values}
    print(json.dumps({**report, 'config': lines}, indent=2))
  else:
    print(f'{printable(arguments.path)}: {found.format}')
    print(_text(source, seen))
    print('\nTo train on it:\n  ' + ' \\\n    '.join(lines))


def config_lines(options: dict[str, str], num_images: int) -> list[str]:
  """The command that trains on the set, a part a line."""
  config = 'ms1m' if num_images > _LARGE_SET else 'casia_noisy'
  flags = [
    f'--config.data.{key}={os.path.abspath(v) if key == "root" else v}'
    for key, v in options.items()
  ]
  return [
    f'python -m bfjax.main --config=configs/{config}.py --workdir=WORKDIR',
    *map(shlex.quote, flags),
  ]


def _text(source, seen) -> str:
  counts = seen.per_class
  lines = [
    f'{seen.images} images of {seen.classes} classes; images per class:'
    f' {counts["fewest"]} to {counts["most"]}, median {counts["median"]:g},'
    f' mean {counts["mean"]:.1f}',
    '',
    *_bars(seen.histogram),
    '',
  ]
  gaps = seen.label_gaps
  if gaps.get('missing'):
    shown = ', '.join(map(str, gaps['first']))
    lines.append(
      f'Labels: {gaps["missing"]} of 0 .. {gaps["largest"]} have no image'
      f' ({shown}, ...): the others are renumbered'
    )
  elif gaps:
    lines.append(f'Labels: 0 .. {gaps["largest"]}, without gaps')
  if seen.wrong_labels is not None:
    share = seen.wrong_labels / seen.images
    lines.append(f'Known wrong labels: {seen.wrong_labels} ({share:.2%})')
  of = 'all images' if seen.decoded == seen.images else f'of {seen.decoded}'
  lines.append(f'Sizes ({of}): {_shares(seen.sizes)}')
  lines.append(f'Colour: {_shares(seen.modes)}')
  bad = seen.unreadable
  if bad['images'] and not seen.sizes:
    lines.append('No image can be read. Is --root the folder of the list?')
  lines.append(f'Unreadable: {bad["images"]}')
  lines += [f'  {name}: {problem}' for name, problem in bad['first']]
  if seen.left_out:
    lines.append(f'Damaged records, left out: {seen.left_out}')
  equal = seen.duplicates
  lines.append(
    f'Equal images: {equal["images"]} in {equal["groups"]} groups, of these'
    f' {equal["groups_across_classes"]} groups across classes'
    + (' (of the sample alone)' if seen.read < seen.images else '')
  )
  for rows in seen.across_classes[:5]:
    names = (f'{name} [{label}]' for name, label in _named(source, rows[:4]))
    lines.append('  ' + '  =  '.join(names))
  return '\n'.join(lines)


def _bars(histogram) -> list[str]:
  most = max(number for _, _, number in histogram)
  names = [str(a) if a == b else f'{a}-{b}' for a, b, _ in histogram]
  width = max(map(len, names))
  return [
    f'  {name:>{width}} images: {number:>8} classes'
    f' {"#" * round(_BAR * number / most)}'.rstrip()
    for name, (_, _, number) in zip(names, histogram, strict=True)
  ]


def _shares(counts) -> str:
  total = sum(counts.values())
  shown = [f'{k} ({v / total:.1%})' for k, v in list(counts.items())[:6]]
  more = len(counts) - len(shown)
  return ', '.join(shown) + (f', and {more} more' if more else '')


def _named(source, rows):
  """(name, label) of images, to be printed."""
  for row in rows:
    label = source.class_names[source.labels[row]]
    yield printable(source.name(row)), printable(label)


def _write_duplicates(path, source, groups) -> None:
  lines = ['group\trow\tpath\tlabel\n']
  for number, rows in enumerate(groups):
    for row, (name, label) in zip(rows, _named(source, rows), strict=True):
      lines.append(f'{number}\t{row}\t{name}\t{label}\n')
  atomic.write_text(path, ''.join(lines))


def _tell_pack(arguments) -> None:
  pack = packs.read(arguments.path)
  headers = [inspection.header(bytes(image)) for image in pack.images]
  folder, name = os.path.split(os.path.abspath(arguments.path))
  report = {
    'path': arguments.path,
    'format': 'bin',
    'images': len(pack.images),
    'pairs': len(pack.same),
    'pairs_of_one_person': int(np.sum(pack.same)),
    'sizes': dict(collections.Counter(size for size, _ in headers if size)),
    'modes': dict(collections.Counter(mode for _, mode in headers if mode)),
    'unreadable': sum(not size for size, _ in headers),
    'config': [
      '--config.eval.benchmarks="(\'own\',)"',
      shlex.quote(f'--config.benchmarks.own.root={folder}'),
      shlex.quote(f'--config.benchmarks.own.pairs={name}'),
    ],
  }
  if arguments.json:
    print(json.dumps(report, indent=2))
    return
  print(
    f'{printable(arguments.path)}: a verification pack\n'
    f'{report["pairs"]} pairs, {report["pairs_of_one_person"]} of one person,'
    f' {report["images"]} images\n'
    f'Sizes: {_shares(report["sizes"])}\n'
    f'Colour: {_shares(report["modes"])}\n'
    f'Unreadable: {report["unreadable"]}\n'
    '\nTo evaluate on it:\n  ' + ' \\\n  '.join(report['config'])
  )


if __name__ == '__main__':
  command.run('info', lambda: main(parse_arguments()))
