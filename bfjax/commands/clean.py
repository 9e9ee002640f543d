"""Finds what is wrong with a data set, and writes the set without it.

    bfjax clean --model runs/mine --out cleaned
    bfjax clean --model runs/mine --root IMAGES --list train.txt \\
      --to recordio --out cleaned
    bfjax clean --model converted/r50 --root faces_emore --out cleaned

The model is the workdir of a run, finished or still running, or a folder of
`bfjax convert`. The images are those of the run unless --root or
--source says others; any set that bfjax trains on.

--out gets verdicts.parquet (or .tsv), a verdict and a confidence for every row;
summary.md and summary.json; changes.tsv, every row that is changed or left out
with its old and new label; and cleaned/, the set after these changes. A killed
command is started again and goes on; what is known of the rows is kept, so that
other limits or marks cost seconds.

A given label is kept where it is surely right (--min-keep), and a row that is
nearer to somebody else gets that label (--min-confidence asks for more); what
is of nobody in the set, or cannot be told, is left out.
"""

import argparse
import pathlib

from bfjax import command, errors
from bfjax.commands.parts import setoptions

USES_JAX = True
_SHARES = {
  'min_confidence': (
    0.0,
    'below this confidence, a row that seems to be of another class is unsure',
  ),
  'min_keep': (0.85, 'below it, a row whose label seems right is unsure'),
  'allow_changes': (0.5, 'of the rows, that may be changed or left out'),
  'allow_class_loss': (0.75, 'of its rows, that a class may lose'),
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  add = parser.add_argument_group('the model').add_argument
  add('--model', '--workdir', required=True, type=pathlib.Path, dest='model')
  add('--checkpoint', default='last', help="'last', 'best' or a step (last)")

  add = parser.add_argument_group(
    'the images, unless they are those of the run'
  ).add_argument
  add('--root', default='', help='folder, list, .rec or TFDS folder')
  add('--truth', default='', help='lines `path  true label`, where it is known')
  setoptions.add(add)

  _add_decisions(parser)
  add = parser.add_argument_group('what is written').add_argument
  add('--out', required=True, type=pathlib.Path, help='the folder')
  add(
    '--to',
    default='list',
    choices=('list', 'folder', 'recordio', 'tfds', 'none'),
    help='the format of the cleaned set; none for no set (list)',
  )
  add('--tsv', action='store_true', help='verdicts.tsv, not .parquet')
  add('--batch', type=int, default=256, help='images a step (256)')
  add('--threads', type=int, default=0, help='that decode (one a core)')
  return parser.parse_args(arguments)


def _add_decisions(parser) -> None:
  """What is changed, and from which confidence on."""
  add = parser.add_argument_group('what is decided').add_argument
  for name, (default, words) in _SHARES.items():
    option, words = name.replace('_', '-'), f'{words} ({default:g})'
    add(f'--{option}', type=float, default=default, metavar='SHARE', help=words)
  add(
    '--unsure',
    default='drop',
    choices=('drop', 'keep'),
    help='leave unsure rows out, or keep them as given (drop)',
  )
  add('--merge', action='store_true', help='make classes of one person one')
  add('--overrides', default='', help='verdicts marked as wrong on the page')
  add(
    '--against',
    nargs='+',
    default=[],
    metavar='SET',
    help='which classes are people of these sets too: a verification pack, a '
    'list of pairs, any set, a folder of images, or features of `bfjax embed`',
  )
  add('--drop-overlap', action='store_true', help='and leave these classes out')
  add('--join', default='', metavar='SET', help='make one set of two')


def main(arguments: argparse.Namespace) -> None:
  """Does all steps, or the rest of them.

  Raises:
    UserError: if the model or the images cannot be read, an option is out of
      range, the changes are refused, or the set cannot be written.
  """
  _check(arguments)
  # After the runtime's flags are set.
  from bfjax import pages
  from bfjax.cleaning import (
    comparing,
    judging,
    outcome,
    steps,
    summary,
    twice,
    verdicts,
  )

  out, source = arguments.out, pages.open_set(vars(arguments))
  by = steps.Embedding(
    *(getattr(arguments, x) for x in steps.Embedding._fields)
  )
  features = steps.embed(by, source, out)
  judged = steps.judge(source, features, out)
  limits = judging.Limits(arguments.min_keep, arguments.min_confidence)
  workdir = None if arguments.root or arguments.source else by.model
  found = steps.verdicts_of(judged, source, limits, workdir)
  found, marked = outcome.override(found, arguments.overrides)
  name = verdicts.TSV if arguments.tsv else verdicts.PARQUET
  verdicts.write(out / name, found, source.class_names)
  classes = steps.find_classes(source, features, found)
  others = [*arguments.against, *filter(None, [arguments.join])]
  compared = steps.compare(by, others, source, features, found, out)
  made = outcome.change(found, drop_unsure=arguments.unsure == 'drop')
  problems = outcome.check(
    source.labels,
    made,
    source.class_names,
    most_of_class=arguments.allow_class_loss,
    most_of_set=arguments.allow_changes,
  )
  # What is asked for by name needs no other word.
  if arguments.merge:
    made = outcome.merged(made, twice.merged(classes, source.num_classes))
  if arguments.drop_overlap:
    against = compared[: len(arguments.against)]
    made = outcome.without(made, comparing.classes(against))
  told = {
    **summary.of_rows(judged, found, source.true_labels),
    **summary.of_classes(classes),
    **summary.of_others(compared, steps.labels_of(found), source.num_classes),
    'classes': source.num_classes,
    'changed': outcome.write_changes(out / outcome.CHANGES, source, made),
    'marked_wrong': marked,
    'refused': problems,
    'settings': _settings(arguments),
  }
  after = 'No cleaned set was written.'
  if not problems and arguments.to != 'none':
    after = _pack(arguments, source, made, compared)
  print(summary.write(out, told | {'command': after}, after))
  print(f'What there is to look at: {steps.write_page(source, compared, out)}')
  if problems:
    raise errors.UserError('\n'.join(problems))


def _settings(arguments) -> dict:
  """The command, as JSON has it."""
  paths = {'model': str(arguments.model), 'out': str(arguments.out)}
  return vars(arguments) | paths


def _check(arguments) -> None:
  """Refuses shares that are none, and options that do not fit."""
  for name in _SHARES:
    value = getattr(arguments, name)
    if not 0 <= value <= 1:
      option = name.replace('_', '-')
      raise errors.UserError(f'--{option} is a share, 0 .. 1, not {value}.')
  if arguments.drop_overlap and not arguments.against:
    raise errors.UserError('--drop-overlap needs --against.')
  if arguments.root and arguments.source:
    raise errors.UserError('Give --root or --source, not both.')
  for name in ('list', 'dataset', 'split', 'format', 'truth'):
    if getattr(arguments, name) and not arguments.root:
      option = {'format': 'from'}.get(name, name)
      raise errors.UserError(f'--{option} needs --root.')


def _pack(arguments, source, made, compared) -> str:
  """Writes the set after its changes; returns how to train on it."""
  from bfjax import recipes
  from bfjax.cleaning import comparing, outcome, steps

  if arguments.join:
    source = comparing.join(source, compared[-1])
    made = outcome.extended(made, source.labels)
  cleaned = outcome.cleaned(source, made)
  options = steps.pack(cleaned, arguments.to, arguments.out)
  recipe = recipes.recommend(cleaned.num_rows)
  lines = ' \\\n    '.join(recipes.command(recipe, options))
  return (
    f'The cleaned set, {cleaned.num_rows} images of {cleaned.num_classes} '
    f'classes, is {arguments.out / steps.CLEANED}\n'
    f'To train on it, {recipe.time}:\n  {lines}'
  )
