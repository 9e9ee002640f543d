"""Finds what is wrong with a data set, and writes the set without it.

    python tools/clean.py --model runs/mine --out cleaned
    python tools/clean.py --model runs/mine --root IMAGES --list train.txt \\
      --to recordio --out cleaned
    python tools/clean.py --model converted/r50 --root faces_emore --out cleaned

The model is the workdir of a run, finished or still running, or a folder of
tools/convert_checkpoint.py. The images are those of the run unless --root or
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
import ast
import hashlib
import json
import logging
import os
import pathlib

import numpy as np

from bfjax import command, errors, runtime

_FEATURES, _STATE, _CLEANED = 'features', 'state', 'cleaned'


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument_group('the model').add_argument
  add('--model', '--workdir', required=True, type=pathlib.Path, dest='model')
  add('--checkpoint', default='last', help="'last', 'best' or a step (last)")

  add = parser.add_argument_group(
    'the images, unless they are those of the run'
  ).add_argument
  add('--root', default='', help='folder, list, .rec or TFDS folder')
  add('--list', default='', help='lines `path  label`, as data.list')
  add('--dataset', default='', help='of a TFDS data_dir: name or name:version')
  add('--split', default='', help='of a TFDS set (train)')
  add('--from', dest='format', default='', help='list, folder, recordio, tfds')
  add('--truth', default='', help='lines `path  true label`, where it is known')
  add('--source', default='', help='or: a file of bfjax/data/sources, and')
  add(
    '--option',
    action='append',
    default=[],
    metavar='KEY=VALUE',
    help='its options; several times',
  )

  add = parser.add_argument_group('what is decided').add_argument
  add(
    '--min-confidence',
    type=float,
    default=0.0,
    help='below it, a row that seems to be of another class is unsure (0)',
  )
  add(
    '--min-keep',
    type=float,
    default=0.85,
    help='below it, a row whose given label seems right is unsure (0.85)',
  )
  add(
    '--unsure',
    default='drop',
    choices=('drop', 'keep'),
    help='leave unsure rows out, or keep them as given (drop)',
  )
  add('--merge', action='store_true', help='make classes of one person one')
  add(
    '--against',
    nargs='+',
    default=[],
    metavar='SET',
    help='which classes are people of these sets too: a verification pack, a '
    'list of pairs, any set, a folder of images, or features of embed.py',
  )
  add('--drop-overlap', action='store_true', help='and leave these classes out')
  add('--join', default='', metavar='SET', help='make one set of two')
  add('--overrides', default='', help='verdicts marked as wrong on the page')
  add(
    '--allow-changes',
    type=float,
    default=0.5,
    metavar='SHARE',
    help='of the rows, that may be changed or left out (0.5)',
  )
  add(
    '--allow-class-loss',
    type=float,
    default=0.75,
    metavar='SHARE',
    help='of its rows, that a class may lose (0.75)',
  )

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


def main(arguments: argparse.Namespace) -> None:
  """Does all steps, or the rest of them.

  Raises:
    UserError: if the model or the images cannot be read, an option is out of
      range, the changes are refused, or the set cannot be written.
  """
  _check(arguments)
  # After the runtime's flags are set.
  from bfjax.cleaning import (
    comparing,
    means,
    outcome,
    summary,
    twice,
    verdicts,
  )
  from bfjax.evaluation.features import extraction, store

  source = _open(arguments)
  out = arguments.out
  extraction.compute(
    arguments.model,
    source,
    out / _FEATURES,
    checkpoint=arguments.checkpoint,
    form=store.Form('sum', True, 'float32', 'rows'),
    batch=arguments.batch,
    threads=arguments.threads,
  )
  judged, found = _judge(arguments, source)
  marked = 0
  if arguments.overrides:
    found, marked = outcome.override(found, arguments.overrides)
  classes = _classes(arguments, source, found)
  compared = _compared(arguments, source, found)
  name = verdicts.TSV if arguments.tsv else verdicts.PARQUET
  verdicts.write(out / name, found, source.class_names)
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
    dropped = comparing.classes(compared[: len(arguments.against)])
    made = outcome.without(made, dropped)
  changed = outcome.write_changes(
    out / outcome.CHANGES, source, source.labels, made
  )
  if compared:
    comparing.write(out / comparing.TABLE, compared, source.class_names)
  told = {
    **summary.of_rows(judged, found, source.true_labels),
    **summary.of_classes(classes),
    'overlap': comparing.told(compared, means.ByClass(*_labels(source, found))),
    'compared': [comparing.in_words(one) for one in compared],
    'classes': source.num_classes,
    'changed': changed,
    'marked_wrong': marked,
    'settings': _plain(vars(arguments)),
    'source': _described(arguments),
  }
  after = ''
  if problems:
    after = 'No cleaned set was written:\n' + '\n'.join(problems)
  elif arguments.to != 'none':
    if arguments.join:
      source = comparing.join(source, compared[-1])
      made = outcome.extended(made, source.labels)
    after = _pack(arguments, source, made)
  told['refused'], told['command'] = problems, after
  print(summary.write(out, told, after))
  if problems:
    raise errors.UserError(
      f'{out / name} and {out / summary.WORDS} tell what was found, but the '
      'changes are too many to be made without a word from you. See above.'
    )


def _check(arguments) -> None:
  """Refuses shares that are none, and options that do not fit."""
  for name in (
    *('min_confidence', 'min_keep'),
    *('allow_changes', 'allow_class_loss'),
  ):
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


def _open(arguments):
  """The set to be cleaned; that of the run, with the labels it was given."""
  from bfjax import defaults, setup
  from bfjax.data import selection, sources
  from bfjax.datasets import ondisk

  if arguments.source:
    options = dict(map(_option, arguments.option))
    return sources.build(arguments.source, **options)
  if arguments.root:
    found = ondisk.detect(
      arguments.root,
      list=arguments.list,
      dataset=arguments.dataset,
      format=arguments.format,
    )
    return ondisk.open_source(
      found, truth=arguments.truth, split=arguments.split
    )
  path = arguments.model / 'config.json'
  if not path.exists():
    raise errors.UserError(
      f'{arguments.model} is no run whose config.json would say which images: '
      'give --root or --source.'
    )
  source, given = setup.open_source(defaults.read_config(path), arguments.model)
  if np.array_equal(given, source.labels):
    return source
  return selection.select(source, labels=given)


def _judge(arguments, source):
  """What was found of the rows, and the verdicts."""
  from bfjax.cleaning import history, judging
  from bfjax.evaluation.features import store

  features = store.open_store(arguments.out / _FEATURES)
  key = hashlib.sha256(json.dumps(features.meta, sort_keys=True).encode())
  key.update(source.labels.tobytes())
  state = arguments.out / _STATE / key.hexdigest()[:16]
  state.mkdir(parents=True, exist_ok=True)
  judged = judging.judge(
    features.features, source.labels, source.num_classes, state=state
  )
  past = tuple(np.zeros((2, source.num_rows), np.int32))
  if not (arguments.root or arguments.source):
    past = history.read(arguments.model, source.num_rows)
  return judged, judging.verdicts_of(
    judged,
    source.labels,
    source.names,
    limits=judging.Limits(arguments.min_keep, arguments.min_confidence),
    history=past,
  )


def _classes(arguments, source, found):
  """What is wrong with classes as a whole."""
  from bfjax.cleaning import classes
  from bfjax.evaluation.features import store

  proposed, num_classes = _labels(source, found)
  return classes.find(
    store.open_store(arguments.out / _FEATURES).features,
    source.labels,
    proposed,
    num_classes,
    read=source.read,
  )


def _labels(source, found):
  """The labels as they seem to be, -1 for nobody's, and how many there are."""
  from bfjax.cleaning import verdicts

  is_nobody = found.verdict == verdicts.OUTLIER
  labels = np.where(is_nobody, -1, found.proposed).astype(np.int32)
  return labels, source.num_classes


def _compared(arguments, source, found):
  """The sets of --against, then that of --join, beside ours."""
  from bfjax.cleaning import comparing, means, othersets
  from bfjax.evaluation.features import store

  others = [*arguments.against, *([arguments.join] if arguments.join else [])]
  if not others:
    return []
  features = store.open_store(arguments.out / _FEATURES)
  ours = means.of_classes(features.features, *_labels(source, found))
  compared = []
  for given in others:
    name = hashlib.sha256(os.path.abspath(given).encode()).hexdigest()[:16]
    other = othersets.embedded(
      arguments.model,
      given,
      arguments.out / 'others' / name,
      ours=features.meta,
      checkpoint=arguments.checkpoint,
      batch=arguments.batch,
      threads=arguments.threads,
    )
    compared.append(comparing.compare(ours, other, f'Beside {given}'))
  return compared


def _pack(arguments, source, made) -> str:
  """Writes the cleaned set unless it is there; returns what to do with it."""
  from bfjax import recipes
  from bfjax.cleaning import outcome
  from bfjax.datasets import layouts, ondisk, packing

  # The name may have links in it.
  out = pathlib.Path(os.path.abspath(arguments.out / _CLEANED))
  cleaned = outcome.cleaned(source, made)
  if _is_written(out, cleaned, arguments.to):
    num_rows, num_classes = cleaned.num_rows, cleaned.num_classes
  else:
    writer = layouts.build(arguments.to, out=out, **_naming(cleaned, arguments))
    packed = packing.pack(cleaned, writer, command={'format': arguments.to})
    num_rows, num_classes = packed.num_rows, packed.num_classes
    _write_mark(out, cleaned, arguments.to)
  options = ondisk.detect(str(out), format=arguments.to).options
  if (out / layouts.FLIPS).exists():
    options['truth'] = out / layouts.FLIPS
  recipe = recipes.recommend(num_rows)
  lines = ' \\\n    '.join(recipes.command(recipe, options))
  return (
    f'The cleaned set, {num_rows} images of {num_classes} classes, is {out}\n'
    f'To train on it, {recipe.time}:\n  {lines}'
  )


def _naming(cleaned, arguments) -> dict:
  """How files are called: by their numbers where a name leads elsewhere."""
  from bfjax.datasets import layouts

  leads_out = any('..' in name.split('/') for name in cleaned.names)
  if leads_out and 'rename' in layouts.options(arguments.to):
    return {'rename': True}
  return {}


def _mark(cleaned, format) -> str:
  return f'{format} {cleaned.fingerprint}\n'


def _is_written(out, cleaned, format) -> bool:
  """Whether the set is there already; another one is left to packing."""
  mark = out.with_name(f'{out.name}.txt')
  return (
    out.exists()
    and mark.exists()
    and mark.read_text(encoding='utf-8') == _mark(cleaned, format)
  )


def _write_mark(out, cleaned, format) -> None:
  from bfjax import atomic

  atomic.write_text(out.with_name(f'{out.name}.txt'), _mark(cleaned, format))


def _described(arguments) -> dict:
  """What `_open` needs, to open the set again: for the page."""
  names = ('root', 'list', 'dataset', 'split', 'format', 'source', 'option')
  return {name: getattr(arguments, name) for name in names}


def _plain(values) -> dict:
  return {
    name: str(value) if isinstance(value, pathlib.Path) else value
    for name, value in values.items()
  }


def _option(given: str) -> tuple[str, object]:
  """'key=value'; the value a Python literal, or else text."""
  key, equals, value = given.partition('=')
  if not equals:
    raise errors.UserError(f'--option {given}: expected KEY=VALUE.')
  try:
    return key, ast.literal_eval(value)
  except (ValueError, SyntaxError):
    return key, value


if __name__ == '__main__':
  logging.basicConfig(level=logging.ERROR)  # of libraries
  logging.getLogger('bfjax').setLevel(logging.WARNING)
  runtime.start()
  command.run('clean', lambda: main(parse_arguments()))
