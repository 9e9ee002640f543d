"""Which format a data set on disk is in, and opening it whatever it is."""

import glob
import os
from typing import NamedTuple

from bfjax import errors
from bfjax.data import folders, labelled, places, selection, sources, tfds_sets
from bfjax.storage import partial
from bfjax.text import printable

# What users call a format -> the file of bfjax/data/sources that reads it.
FORMATS = {
  'list': 'imagelist',
  'folder': 'imagelist',
  'recordio': 'recordio',
  'tfds': 'tfds',
}
CLASSES = 'classes.tsv'
_LIST = 'train.txt'


class Found(NamedTuple):
  """A data set that has been recognised.

  Attributes:
    format: a key of `FORMATS`.
    options: what `sources.build` needs to know to read it, as `data.NAME` of
      a config: source, root, list (absolute), dataset.
    folder: where files beside the set lie.
  """

  format: str
  options: dict[str, str]
  folder: str


def detect(
  root: str, *, list: str = '', dataset: str = '', format: str = ''
) -> Found:
  """Tells the format of a data set by what is there.

  Args:
    root: a folder, a list file or a `.rec` file.
    list: a list of images, see `places.find_list`; '' if `root` is one, or
      there is none.
    dataset: the set in a data_dir of TFDS.
    format: a key of `FORMATS`; '' to find it out.

  Raises:
    UserError: if nothing is there, it is no data set, or it could be two
      things.
  """
  if format:
    errors.choose('format', format, FORMATS)
  if not os.path.exists(root):
    raise errors.UserError(f'There is nothing at {printable(root)}.')
  if not format and partial.is_incomplete(root):
    raise errors.UserError(
      f'{printable(root)} is not complete: start the command again that was '
      'writing it.'
    )
  if not format:
    format = _only(root, _guesses(root, list, dataset))
  options = {'source': FORMATS[format], 'root': root}
  folder = root
  if format == 'list':
    # Absolute: this one, whatever lies where the user is.
    if os.path.isfile(root):
      path = os.path.abspath(root)
      options['root'] = os.path.dirname(root) or '.'
    elif list:
      path = places.find_list(list, root, '--list')
    else:
      path = os.path.abspath(os.path.join(root, _LIST))
    options['list'] = path
    folder = os.path.dirname(path)
  elif format == 'recordio' and os.path.isfile(root):
    folder = os.path.dirname(root) or '.'
  elif format == 'tfds':
    folder = str(tfds_sets.find(root, dataset))
    options |= {'dataset': dataset} if dataset else {}
  return Found(format, options, folder)


def _guesses(root, list, dataset) -> dict[str, str]:
  """Format -> why, of all that it can be."""
  if list:
    return {'list': 'a list is given'}
  if dataset:
    return {'tfds': 'a set of TensorFlow Datasets is named'}
  if os.path.isfile(root):
    if root.endswith('.rec'):
      return {'recordio': 'it ends in .rec'}
    if root.endswith(('.txt', '.lst', '.tsv', '.csv', '.list')):
      return {'list': 'it is a text file'}
    return {}
  found = {}
  if glob.glob(os.path.join(glob.escape(root), '*.rec')):
    found['recordio'] = 'it has a file *.rec'
  for depth in range(4):
    pattern = os.path.join(glob.escape(root), *['*'] * depth)
    if glob.glob(os.path.join(pattern, tfds_sets.INFO)):
      found['tfds'] = 'it has dataset_info.json'
  if os.path.isfile(os.path.join(root, _LIST)):
    found['list'] = f'it has {_LIST}'
  if not found and folders.Tree(root).folders:
    found['folder'] = 'it has folders'
  return found


def _only(root, guesses) -> str:
  if len(guesses) == 1:
    return next(iter(guesses))
  if guesses:
    shown = ', '.join(f'{name} ({why})' for name, why in guesses.items())
    raise errors.UserError(
      f'{printable(root)} can be of several formats: {shown}. Say which.'
    )
  raise errors.UserError(
    f'{printable(root)} is none of: a folder with a folder of images for each '
    'person; a list of lines `path label` (.txt); train.rec; a set of '
    'TensorFlow Datasets. If it is, say which.'
  )


def open_source(
  found: Found,
  *,
  truth: str = '',
  check: str = 'exist',
  on_error: str = 'error',
  split: str = '',
  image_key: str = '',
  label_key: str = '',
  index_dir: str = '',
) -> labelled.Source:
  """Opens a data set, with the names of its classes where they lie beside it.

  Lists have numbers for classes; `tools/pack.py` writes the names that they had
  into `classes.tsv`.

  Args:
    found: what `detect` returned.
    truth: a list of flipped images with their true labels, see
      `places.find_list`, or ''.
    check: as the sources take it.
    on_error: what a damaged record of RecordIO does, 'error' or 'skip'.
    split: of a TFDS set; '' for 'train'.
    image_key, label_key: features of a TFDS set; '' to find them out.
    index_dir: as the sources take it that have an index.

  Raises:
    UserError: as the source does.
  """
  options = dict(found.options)
  if truth:
    root = options['root'] if os.path.isdir(options['root']) else found.folder
    options['truth'] = places.find_list(truth, root, '--truth')
  others = {
    'split': split,
    'image_key': image_key,
    'label_key': label_key,
    'index_dir': index_dir,
  }
  options |= {name: value for name, value in others.items() if value}
  if found.format == 'recordio':
    options['on_error'] = on_error
  source = sources.build(options.pop('source'), check=check, **options)
  path = os.path.join(found.folder, CLASSES)
  if found.format != 'list' or not os.path.isfile(path):
    return source
  given = labelled.read_class_names(path, map(int, source.class_names))
  return selection.Selection(source, class_names=given)
