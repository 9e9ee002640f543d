"""Data sets as they lie on disk: which format one is in, and opening it."""

import os
from typing import NamedTuple

from bfjax import errors, plugins
from bfjax.data import labelled, places, selection, sources
from bfjax.datasets import layouts
from bfjax.storage import partial
from bfjax.text import printable

# Options that mean nothing to the other sources.
_OF_SOME = ('on_error', 'index_dir')


class Found(NamedTuple):
  """A data set that has been recognised."""

  format: str  # one of `layouts.readable()`
  # What `sources.build` needs to know to read it, as `data.NAME` of a config:
  # source, root, list (absolute), dataset.
  options: dict[str, str]


def detect(
  root: str, *, list: str = '', dataset: str = '', format: str = ''
) -> Found:
  """Tells the format of a data set by what is there.

  Args:
    root: a folder, a list file or a `.rec` file.
    list: a list of images, see `places.find_list`; '' if `root` is one, or
      there is none.
    dataset: the set in a data_dir of TFDS.
    format: one of `layouts.readable()`; '' to find it out.

  Raises:
    UserError: if nothing is there, it is no data set, or it could be two
      things.
  """
  if format:
    errors.choose('format', format, dict.fromkeys(layouts.readable()))
  if not os.path.exists(root):
    raise errors.UserError(f'There is nothing at {printable(root)}.')
  if not format and partial.is_incomplete(root):
    raise errors.UserError(
      f'{printable(root)} is not complete: start the command again that was '
      'writing it.'
    )
  if not format and (list or dataset):
    format = 'list' if list else 'tfds'
  format = format or _recognise(root)
  layout = layouts.load(format)
  options = layout.locate(root, list=list, dataset=dataset)
  return Found(format, {'source': layout.SOURCE, **options})


def _recognise(root: str) -> str:
  """The only format that the set can be of."""
  found = {
    name: why
    for name in layouts.readable()
    if name != 'folder' and (why := layouts.load(name).trace(root))
  }
  # There are folders in other sets, too.
  if not found and layouts.load('folder').trace(root):
    return 'folder'
  if len(found) == 1:
    return next(iter(found))
  if found:
    shown = ', '.join(f'{name} ({why})' for name, why in found.items())
    raise errors.UserError(
      f'{printable(root)} can be of several formats: {shown}. Say which.'
    )
  raise errors.UserError(
    f'{printable(root)} is none of: a folder with a folder of images for each '
    'person; a list of lines `path label` (.txt); train.rec; a set of '
    'TensorFlow Datasets. If it is, say which.'
  )


def open_source(
  found: Found, *, truth: str = '', check: str = 'exist', **options: str
) -> labelled.Source:
  """Opens a data set, with the names of its classes where they lie beside it.

  Lists have numbers for classes; `tools/pack.py` writes the names that they had
  into `classes.tsv`.

  Args:
    found: what `detect` returned.
    truth: a list of flipped images with their true labels, see
      `places.find_list`, or ''.
    check: as the sources take it.
    **options: others that a source takes; '' for its own. `on_error` and
      `index_dir` mean nothing to some sources.

  Raises:
    UserError: as the source does, or if it has no such option.
  """
  given = dict(found.options)
  name = given.pop('source')
  if truth:
    root = given['root']
    folder = root if os.path.isdir(root) else os.path.dirname(root) or '.'
    given['truth'] = places.find_list(truth, folder, '--truth')
  known = plugins.options('source', sources.__name__, name)
  for option, value in options.items():
    if value and (option in known or option not in _OF_SOME):
      given[option] = value
  source = sources.build(name, check=check, **given)
  path = os.path.join(os.path.dirname(given.get('list', '')), layouts.CLASSES)
  if 'list' not in given or not os.path.isfile(path):
    return source
  given = labelled.read_class_names(path, map(int, source.class_names))
  return selection.select(source, class_names=given)
