"""The options of `pack`: of what is read, changed and written."""

import argparse
import pathlib

from bfjax import plugins
from bfjax.datasets import layouts


def add_read(parser: argparse.ArgumentParser) -> None:
  """Adds those that say which set is read, or which pairs."""
  add = parser.add_argument_group('what is read').add_argument
  add(
    '--root',
    required=True,
    help='folder of the images, of train.rec or of a TFDS set; or a list or '
    '.rec file itself',
  )
  add(
    '--list',
    default='',
    help='lines `path label`, relative to --root or to where you are',
  )
  add(
    '--from',
    dest='format',
    default='',
    choices=layouts.readable(),
    help='the format, where it cannot be found out',
  )
  add(
    '--dataset',
    default='',
    help='`name` or `name:1.0.0` of a TFDS set, if --root is a data_dir of '
    'several',
  )
  add('--split', default='', help='of a TFDS set (train)')
  add('--image-key', default='', help='its feature of the image (found out)')
  add('--label-key', default='', help='its feature of the label (found out)')
  add(
    '--truth',
    default='',
    help='a file of lines `path label`: the flipped images with their true '
    'labels, to be kept with the set (folders cannot)',
  )
  add('--pairs', default='', help='for bin: the list of pairs')
  add(
    '--pairs-format',
    default='auto',
    help='of that list: lfw, rfw or flags (found out)',
  )
  add(
    '--suffix',
    default='.jpg',
    help='of the images that a list of pairs names by number (.jpg)',
  )


def add_changed(parser: argparse.ArgumentParser) -> None:
  """Adds those that change the set: other labels, fewer images."""
  add = parser.add_argument_group('what is changed').add_argument
  add(
    '--labels',
    default='',
    help='new labels: a correction log of a run, or lines `path label`',
  )
  add(
    '--drop',
    default='',
    help='images to leave out: lines `path`, or a log of a run with columns '
    'row and path',
  )


def add_written(parser: argparse.ArgumentParser) -> None:
  """Adds those of the result, of its format, and of the checks."""
  add = parser.add_argument_group('what is written').add_argument
  formats = plugins.names(layouts.__name__)
  add('--to', required=True, choices=formats, help='the format')
  options = of_formats()
  _, meaning = options.pop('out')
  add('--out', required=True, type=pathlib.Path, help=meaning)
  for option, (default, meaning) in options.items():
    is_flag = default is False
    add(
      f'--{option.replace("_", "-")}',
      default=None,
      help=meaning if is_flag else f'{meaning} ({default})',
      **{'action': 'store_true'} if is_flag else {'type': type(default)},
    )
  add(
    '--check',
    default='decode',
    choices=('decode', 'none'),
    help='whether to decode every image before (decode)',
  )
  add(
    '--on-error',
    default='error',
    choices=('error', 'skip'),
    help='what to do if images cannot be decoded: stop, or leave them out and '
    'list them in skipped_images.tsv, and damaged records with a warning '
    '(error)',
  )
  add(
    '--verify',
    action='store_true',
    help='compare the bytes of all images in the end, not of 1000',
  )


def of_formats() -> dict[str, tuple[object, str]]:
  """Option -> its default and what it means, of all formats."""
  found = {}
  for name in plugins.names(layouts.__name__):
    for option, (default, meaning) in layouts.options(name).items():
      others = f'{found[option][1]}; ' if option in found else ''
      found[option] = default, f'{others}{name}: {meaning}'
  return found
