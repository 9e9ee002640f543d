"""`train.rec`, `train.idx` and `property`, as InsightFace's sets have them."""

import dataclasses
import glob
import itertools
import os
import pathlib

import numpy as np

from bfjax import atomic, errors
from bfjax.data import images, labelled, selection
from bfjax.datasets import layouts
from bfjax.formats import recordio

SOURCE = 'recordio'
_RECORDS, _LIST = 'train.rec', 'train.lst'


def trace(root: str) -> str:
  """What tells that `root` is of this format; '' if nothing does."""
  if os.path.isfile(root):
    return 'it ends in .rec' if root.endswith('.rec') else ''
  is_there = any(glob.iglob('*.rec', root_dir=root))
  return 'it has a file *.rec' if is_there else ''


def locate(root: str, *, list: str, dataset: str) -> dict[str, str]:
  """The options of the source for what is in `root`."""
  return {'root': root}


@dataclasses.dataclass(frozen=True)
class RecordWriter(layouts.Writer):
  """A `layouts.Writer` of RecordIO."""

  plain: bool

  def order(self, source):
    """See `layouts.Writer`."""
    most = recordio.MAX_LABEL + 1
    if source.num_classes > most:
      raise errors.UserError(
        f'{source.num_classes} classes: RecordIO keeps labels as float32, which'
        f' tells {most} apart. Write another format.'
      )
    selection.check_true_classes(source)
    if self.plain:
      return super().order(source)
    if source.num_rows + 1 + source.num_classes > most:
      raise errors.UserError(
        f'{source.num_rows} images and {source.num_classes} classes: the '
        'identity records keep their keys as float32, which tells '
        f'{most} apart. --plain writes none.'
      )
    # The keys of a class are a range.
    return np.argsort(source.labels, kind='stable')

  def write(self, folder, source, order, images, state):
    """See `layouts.Writer`."""
    place, size = state.get('rows', 0), state.get('size')
    first_key = 0 if self.plain else 1
    position = recordio.Position(*state['position']) if state else None
    labels = source.labels[order]
    with recordio.Writer(folder / _RECORDS, position) as writer:

      def save():
        writer.flush()
        position = [*writer.position]
        return {'rows': place, 'position': position, 'size': size}

      for encoded in images:
        size = size or _size(encoded)
        writer.write(place + first_key, float(labels[place]), encoded)
        place += 1
        yield save
      if not self.plain:
        classes = np.arange(source.num_classes + 1)
        keys = (np.searchsorted(labels, classes) + first_key).tolist()
        writer.write_identities(source.num_rows, [*itertools.pairwise(keys)])
    height, width = size
    property_ = f'{source.num_classes},{height},{width}'
    atomic.write_text(folder / 'property', property_)
    labelled.save_class_names(folder / layouts.CLASSES, source.class_names)
    _write_lists(folder, source, order, first_key)


def _write_lists(folder, source, order, first_key) -> None:
  """The names of the images by key, and those of wrong labels."""
  true = source.true_labels
  with (
    atomic.writing(folder / _LIST) as draft,
    draft.open('wb') as file,
  ):
    for key, row in enumerate(order.tolist(), first_key):
      name = os.fsencode(source.name(row))
      file.write(b'%d\t%d\t%s\n' % (key, source.labels[row], name))
  if true is None:
    return
  flipped = (true != source.labels) & (true != labelled.NOBODY)
  lines = (
    f'{_RECORDS}#{place + first_key}\t{true[order[place]]}\n'
    for place in np.flatnonzero(flipped[order]).tolist()
  )
  atomic.write_text(folder / layouts.FLIPS, ''.join(lines))


def _size(encoded: bytes) -> tuple[int, int]:
  """(height, width) of an image; (112, 112) where it cannot be decoded."""
  try:
    return images.decode_whole(encoded).shape[:2]
  except errors.UserError:
    return 112, 112


def build(*, out: pathlib.Path, plain: bool = False) -> RecordWriter:
  """RecordIO as MXNet and the trainers with InsightFace's layout read it.

  Key 0 says how many images and identities there are, keys 1 .. N are the
  images, sorted by class (and as before within a class), and behind them each
  identity has the range of its keys. Labels are the numbers of the classes;
  `classes.tsv` has their names, `train.lst` the name of each image by key, and
  `flips.txt`, where true labels are known, the keys of wrong ones.

  Args:
    out: the new folder.
    plain: images only and in the order of the rows, from key 0 on, without the
      identity records that InsightFace's sets have.
  """
  return RecordWriter(out, plain)
