"""Converts data sets between all formats of the field.

    list       lines `path label`, and the images
    folder     a folder of images for each person
    recordio   train.rec, train.idx and property, without MXNet
    tfds       a set of TensorFlow Datasets, in ArrayRecord files
    bin        a verification pack (lfw.bin), from a list of pairs

The bytes of the images stay as they are. Where a set comes from is found out
by looking at it:

    bfjax pack --root faces_emore --to tfds --out sets/emore
    bfjax pack --root IMAGES --list train.txt --to recordio --out rec
    bfjax pack --root sets/emore --to folder --out emore

the corrections of a run become a data set that other trainers read:

    bfjax pack --root IMAGES --list train.txt --to recordio \\
      --labels runs/mine/corrections/epoch_030.tsv --out cleaned

and pairs a pack:

    bfjax pack --root LFW --pairs pairs.txt --to bin --out lfw.bin

Every image is decoded first. The set grows in OUT.partial, is read back and
compared, and becomes OUT when it is complete; after an interruption the same
command goes on.
"""

import argparse
import os
import pathlib

import numpy as np

from bfjax import command, errors, recipes
from bfjax.commands.parts import packoptions
from bfjax.data import correctionlog, selection
from bfjax.data.names import Names
from bfjax.datasets import layouts, ondisk, packing
from bfjax.datasets.layouts import bin as pairs_layout
from bfjax.evaluation import pairlist

_SETS_ONLY = (
  *('list', 'truth', 'dataset', 'split', 'image_key', 'label_key'),
  *('labels', 'drop'),
)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line."""
  parser = command.Parser(__doc__)
  packoptions.add_read(parser)
  packoptions.add_changed(parser)
  packoptions.add_written(parser)
  return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
  """Does it.

  Raises:
    UserError: if an argument, the source or an image is wrong, or the set
      cannot be written.
  """
  # The name may have links in it; and `rec/` is called `rec`.
  out = pathlib.Path(os.path.abspath(arguments.out))
  options = {
    name: value
    for name in packoptions.of_formats()
    if name != 'out' and (value := getattr(arguments, name)) is not None
  }
  writer = layouts.build(arguments.to, out=out, **options)
  is_bin = arguments.to == 'bin'
  source = _open_pairs(arguments) if is_bin else _open_set(arguments)
  packed = packing.pack(
    source,
    writer,
    command={
      'format': arguments.to,
      'check': arguments.check,
      'on-error': arguments.on_error,
      **options,
    },
    check=arguments.check,
    on_error='error' if is_bin else arguments.on_error,
    verify=arguments.verify,
  )
  print(_message(writer, packed, source))


def _open_set(arguments):
  """The source with its labels corrected and images dropped, as asked."""
  if arguments.pairs:
    raise errors.UserError('--pairs is for --to bin.')
  found = ondisk.detect(
    arguments.root,
    list=arguments.list,
    dataset=arguments.dataset,
    format=arguments.format,
  )
  source = ondisk.open_source(
    found,
    truth=arguments.truth,
    # Otherwise files that are missing are refused.
    check='none' if arguments.on_error == 'skip' else 'exist',
    on_error=arguments.on_error,
    split=arguments.split,
    image_key=arguments.image_key,
    label_key=arguments.label_key,
  )
  print(f'{arguments.root}: {found.format}, {source.num_rows} images')
  labels, rows = source.labels, None
  if arguments.labels:
    new = correctionlog.read_log(arguments.labels)
    changed = selection.find_rows(
      source.names, Names.of(new), lambda _: arguments.labels
    )
    labels = selection.relabel(
      *(labels, changed, Names.of(new.values())),
      *(source.class_names, lambda _: arguments.labels),
    )
    print(f'{int((labels != source.labels).sum())} labels are changed')
  if arguments.drop:
    dropped = selection.read_names(arguments.drop)
    dropped = selection.find_rows(
      source.names, dropped, lambda _: arguments.drop
    )
    rows = np.setdiff1d(np.arange(source.num_rows), dropped)
    print(f'{source.num_rows - len(rows)} images are left out')
    if not len(rows):
      raise errors.UserError(f'{arguments.drop} leaves no images.')
  if not arguments.labels and not arguments.drop:
    return source
  return selection.select(source, rows=rows, labels=labels)


def _open_pairs(arguments):
  """The images of a list of pairs."""
  for name in _SETS_ONLY:
    if getattr(arguments, name):
      option = name.replace('_', '-')
      raise errors.UserError(f'--{option} has no meaning with --to bin.')
  if not arguments.pairs:
    raise errors.UserError(
      '--to bin needs --pairs: the list of pairs, relative to --root.'
    )
  pairs = pairlist.read(
    os.path.join(arguments.root, arguments.pairs),
    format=arguments.pairs_format,
    suffix=arguments.suffix,
  )
  return pairs_layout.pairs_source(
    [pair.left for pair in pairs],
    [pair.right for pair in pairs],
    np.array([pair.same for pair in pairs]),
    arguments.root,
  )


def _message(writer, packed: packing.Packed, source) -> str:
  """What was written, and how to use it."""
  out = writer.out
  if writer.format == 'bin':
    return f'Wrote {packed.num_rows // 2} pairs to {out}.'
  skipped = ''
  if packed.num_skipped:
    skipped = f', {packed.num_skipped} left out (skipped_images.tsv)'
  note = ''
  if source.true_labels is not None and not packed.has_truth:
    note = f'\nThe format {writer.format} does not keep the true labels.'
  options = ondisk.detect(str(out), format=writer.format).options
  if (out / layouts.FLIPS).exists():
    options['truth'] = out / layouts.FLIPS
  recipe = recipes.recommend(packed.num_rows)
  lines = ' \\\n    '.join(recipes.command(recipe, options))
  return (
    f'Wrote {packed.num_rows} images of {packed.num_classes} classes to {out}'
    f'{skipped}.{note}\nTo train on it, {recipe.time}:\n  {lines}'
  )
