"""Tells what a data set holds, and which command trains or evaluates on it.

    bfjax info faces_emore/            train.rec
    bfjax info images/                 a folder for each person
    bfjax info --root images train.txt a list of lines `path  label`
    bfjax info --root images pairs.txt a list of pairs
    bfjax info lfw.bin                 a verification pack

It prints format, images, classes, images per class, label gaps, image sizes and
colour modes, files that cannot be read, and images with the same bytes: across
classes these are wrong labels for certain. Every image is read for that;
--quick reads a sample only. Sizes and broken files are told of a sample of
10,000 images, or with --all of all. The command is for a set of that size and
for what is at hand, a GPU or not, with the time that it takes; where a set
cannot be used as it is, you are told what is wrong instead.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import shlex

from bfjax import atomic, command, defaults, recipes
from bfjax.datasets import layouts, ondisk
from bfjax.datasets.inspection import census, findings
from bfjax.evaluation import pairinspection, pairlist
from bfjax.formats import packs
from bfjax.text import printable

_SAMPLE = 10_000


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  add = parser.add_argument
  add('path', help='a folder, list, .rec, TFDS folder, pair list or .bin pack')
  add('--root', default='', help='the folder that a list is relative to')
  add('--format', default='', help=f'one of {", ".join(layouts.readable())}')
  add('--truth', default='', help='flipped images with their true labels')
  add(
    '--device',
    default='',
    choices=('', *recipes.DEVICES),
    help='what you will train on (found out)',
  )
  add('--all', action='store_true', help='decode every image')
  add('--quick', action='store_true', help='read the sample only')
  add('--duplicates-out', metavar='FILE', help='list equal images there (TSV)')
  add(
    '--picture', metavar='FILE', type=pathlib.Path, help='draw it: .png, .svg'
  )
  add('--json', action='store_true', help='print JSON')
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Looks and prints.

  Raises:
    UserError: if there is no data set, or it cannot be read at all.
  """
  tell = _tell_pairs if _holds_pairs(arguments) else _tell_set
  report, said, use = tell(arguments)
  if arguments.json:
    print(json.dumps({'path': arguments.path, **report}, indent=2))
    return
  print(f'{printable(arguments.path)}: {said}\n')
  print(report['problem'] or use)
  if report['config']:
    print('  ' + ' \\\n    '.join(report['config']))


def _holds_pairs(arguments) -> bool:
  path = arguments.path
  if arguments.format or not os.path.isfile(path) or path.endswith('.rec'):
    return False
  return packs.is_pack(path) or pairlist.is_pair_list(path)


def _tell_set(arguments):
  """(report, in words, what its command is for) of a training set."""
  found = ondisk.detect(
    arguments.root or arguments.path,
    list=arguments.path if arguments.root else '',
    format=arguments.format,
  )
  source = ondisk.open_source(
    found, truth=arguments.truth, check='none', on_error='skip'
  )
  sample = 0 if arguments.all else _SAMPLE
  seen = census.take(source, sample=sample, compare=not arguments.quick)
  if arguments.duplicates_out:
    _write_duplicates(arguments.duplicates_out, source, seen.across_classes)
  if arguments.picture:
    from bfjax.datasets.inspection import picture  # loads matplotlib

    picture.draw(arguments.picture, source, seen)
  options = _options(found, arguments.truth, seen)
  problem = findings.problem_of_set(
    source,
    seen,
    root=options['root'],
    list=options.get('list', ''),
  )
  recipe = recipes.recommend(seen.images, arguments.device)
  values = dataclasses.asdict(seen)
  del values['across_classes']
  report = {
    'format': found.format,
    **values,
    'problem': problem.text if problem else '',
    'device': recipe.device,
    'time': recipe.time,
    'seconds': round(recipe.secs),
    'config': problem.commands if problem else recipes.command(recipe, options),
  }
  said = '\n'.join([found.format, *findings.of_set(source, seen)])
  return report, said, f'To train on it, {recipe.time}:'


def _options(found, truth, seen) -> dict[str, str]:
  """Keys of `config.data`, files by their absolute paths."""
  options = dict(found.options)
  options['root'] = os.path.abspath(options['root'])
  if 'list' in options:
    # Relative to the root, or absolute already.
    options['list'] = os.path.join(options['root'], options['list'])
  if truth:
    options['truth'] = os.path.abspath(truth)
  if seen.unreadable['images'] or seen.left_out:
    options['on_error'] = 'skip'
    if options['source'] == 'imagelist':
      options['check'] = 'none'  # which refuses what is missing
    share = seen.unreadable['share']
    if share > defaults.get_config().data.max_skipped:
      options['max_skipped'] = f'{math.ceil(10 * share + 1) / 10:g}'
  return options


def _write_duplicates(path, source, groups) -> None:
  lines = ['group\trow\tpath\tlabel\n']
  for number, rows in enumerate(groups):
    for row, (name, label) in zip(
      rows, findings.named(source, rows), strict=True
    ):
      lines.append(f'{number}\t{row}\t{name}\t{label}\n')
  atomic.write_text(path, ''.join(lines))


def _tell_pairs(arguments):
  """The same of a list or a pack of pairs."""
  path, root = os.path.abspath(arguments.path), arguments.root
  root = os.path.abspath(root) if root else os.path.dirname(path)
  is_pack = packs.is_pack(path)
  sample = 0 if arguments.all else _SAMPLE
  images, seen = pairinspection.inspect(path, root, sample=sample)
  problem = findings.problem_of_pairs(
    images, seen, root=root, list='' if is_pack else path
  )
  options = {'root': root, 'pairs': path, **seen.options}
  lines = [
    'python -m bfjax.main --mode=eval --config=configs/small.py'
    ' --workdir=WORKDIR',
    '--config.eval.benchmarks="(\'own\',)"',
    *(
      shlex.quote(f'--config.benchmarks.own.{k}={v}')
      for k, v in options.items()
    ),
  ]
  report = {
    'format': 'bin' if is_pack else 'pairs',
    **dataclasses.asdict(seen),
    'problem': problem.text if problem else '',
    'config': problem.commands if problem else lines,
  }
  what = 'a verification pack' if is_pack else 'a list of pairs'
  said = '\n'.join([what, *findings.of_pairs(seen)])
  use = 'To evaluate a run on it (with the config of the run):'
  return report, said, use
