"""`train.rec`, `train.idx` and `property`, as InsightFace's sets have them."""

import itertools
import os
import pathlib

import cv2
import numpy as np

from bfjax import atomic, errors
from bfjax.data import labelled, selection
from bfjax.datasets import ondisk
from bfjax.formats import recordio
from bfjax.storage import partial

RECORDS, LIST, FLIPS = 'train.rec', 'train.lst', 'flips.txt'


class RecordWriter:
  """A `layouts.Writer` of RecordIO."""

  def __init__(self, plain: bool):
    self._plain = plain

  def order(self, source):
    if source.num_classes > recordio.MAX_LABEL + 1:
      raise errors.UserError(
        f'{source.num_classes} classes: RecordIO keeps labels as float32, which'
        f' tells {recordio.MAX_LABEL + 1} apart. Write another format.'
      )
    selection.check_true_classes(source)
    if self._plain:
      return np.arange(source.num_rows)
    last_key = source.num_rows + 1 + source.num_classes
    if last_key > recordio.MAX_LABEL + 1:
      raise errors.UserError(
        f'{source.num_rows} images and {source.num_classes} classes: the '
        'identity records keep their keys as float32, which tells '
        f'{recordio.MAX_LABEL + 1} apart. --plain writes none.'
      )
    # The keys of a class are a range.
    return np.argsort(source.labels, kind='stable')

  def open(self, folder, source, order, state):
    return _Sink(folder, source, order, state, plain=self._plain)

  def read(self, folder):
    truth = folder / FLIPS
    found = ondisk.detect(str(folder), format='recordio')
    return ondisk.open_source(
      found,
      truth=str(truth) if truth.exists() else '',
      # That of the cache folder would be of a path which is soon no more.
      index_dir=str(folder / partial.SCRATCH),
    )


class _Sink:
  def __init__(self, folder, source, order, state, *, plain):
    self._folder, self._source = pathlib.Path(folder), source
    self._order, self._plain = order, plain
    self._done = state.get('rows', 0)
    self._size = state.get('size')
    position = recordio.Position(*state['position']) if state else None
    self._writer = recordio.Writer(self._folder / RECORDS, position)

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._writer.close()

  def _key(self, place: int) -> int:
    return place if self._plain else place + 1

  def add(self, encoded):
    if self._size is None:
      self._size = _size(encoded)
    row = self._order[self._done]
    label = float(self._source.labels[row])
    self._writer.write(self._key(self._done), label, encoded)
    self._done += 1

  def save(self):
    self._writer.flush()
    return {
      'rows': self._done,
      'position': list(self._writer.position),
      'size': self._size,
    }

  def finish(self):
    source = self._source
    if not self._plain:
      stops = np.searchsorted(
        source.labels[self._order], np.arange(source.num_classes + 1)
      )
      keys = (stops + 1).tolist()
      self._writer.write_identities(
        source.num_rows, list(itertools.pairwise(keys))
      )
    self._writer.close()
    height, width = self._size
    atomic.write_text(
      self._folder / 'property', f'{source.num_classes},{height},{width}'
    )
    labelled.save_class_names(self._folder / ondisk.CLASSES, source.class_names)
    self._write_lists()

  def _write_lists(self) -> None:
    """The names of the images by key, and those of wrong labels."""
    source = self._source
    true = source.true_labels
    with (
      atomic.writing(self._folder / LIST) as draft,
      draft.open('wb') as file,
    ):
      for place, row in enumerate(self._order.tolist()):
        name = os.fsencode(source.name(row))
        file.write(
          b'%d\t%d\t%s\n' % (self._key(place), source.labels[row], name)
        )
    if true is None:
      return
    flipped = (true != source.labels) & (true != labelled.NOBODY)
    wrong = np.flatnonzero(flipped[self._order])
    lines = (
      f'{RECORDS}#{self._key(place)}\t{true[self._order[place]]}\n'
      for place in wrong.tolist()
    )
    atomic.write_text(self._folder / FLIPS, ''.join(lines))


def _size(encoded: bytes) -> tuple[int, int]:
  """(height, width) of an image; (112, 112) where it cannot be decoded."""
  pixels = None
  if encoded:
    try:
      pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), 0)
    except cv2.error:
      pixels = None
  return (112, 112) if pixels is None else pixels.shape[:2]


def build(*, plain: bool = False) -> RecordWriter:
  """RecordIO as MXNet and the trainers with InsightFace's layout read it.

  Key 0 says how many images and identities there are, keys 1 .. N are the
  images, sorted by class (and as before within a class), and behind them each
  identity has the range of its keys. Labels are the numbers of the classes;
  `classes.tsv` has their names, `train.lst` the name of each image by key, and
  `flips.txt`, where true labels are known, the keys of wrong ones.

  Args:
    plain: every key from 0 on is an image, in the order of the rows; there is
      no record of anything else.
  """
  return RecordWriter(plain)
