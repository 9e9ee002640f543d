"""A verification pack such as `lfw.bin`, of the images of pairs."""

import dataclasses

import numpy as np

from bfjax import errors
from bfjax.data import files, labelled
from bfjax.data.sources import imagelist
from bfjax.formats import packs

FILE = 'pairs.bin'
# The classes of a source of pairs: what the two images of one are.
CLASSES = ('two people', 'one person')


class PackWriter:
  """A `layouts.Writer` of packs: rows 2 i and 2 i + 1 are a pair."""

  def order(self, source):
    if source.num_rows % 2 or not set(source.class_names) <= set(CLASSES):
      raise errors.UserError(
        'A verification pack is written from a list of pairs: give --pairs.'
      )
    return np.arange(source.num_rows)

  def open(self, folder, source, order, state):
    return _Sink(folder, source)

  def read(self, folder):
    return _read(folder / FILE)


class _Sink:
  """Packs fit into memory and are written at once: nothing is gone on with."""

  def __init__(self, folder, source):
    self._folder, self._source = folder, source
    self._images = []

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    pass

  def add(self, encoded):
    self._images.append(encoded)

  def save(self):
    return {'rows': 0}

  def finish(self):
    same = CLASSES.index('one person')
    names = np.array([CLASSES.index(x) for x in self._source.class_names])
    flags = names[self._source.labels[::2]] == same
    packs.write(self._folder / FILE, self._images, flags)


@dataclasses.dataclass(frozen=True)
class _PackedPairs:
  """A pack as a source, to be compared with."""

  images: list[bytes]
  labels: np.ndarray
  class_names = CLASSES
  true_labels = None

  @property
  def num_rows(self) -> int:
    return len(self.images)

  def read(self, rows):
    return [self.images[row] for row in rows]

  def name(self, row):
    return f'{FILE}#{row}'

  path = name


def _read(path) -> _PackedPairs:
  pack = packs.read(path)
  return _PackedPairs(pack.images, np.repeat(pack.same, 2).astype(np.int32))


def pairs_source(
  left: list[str], right: list[str], same: np.ndarray, root: str
) -> imagelist.ImageList:
  """The images of pairs as a source: 2 i and 2 i + 1 are those of pair i.

  Args:
    left, right: the paths of the images, relative to `root`.
    same: bool [n], whether a pair is one person.
    root: a folder.

  Raises:
    UserError: if an image is not there; it is named.
  """
  paths = [path for pair in zip(left, right, strict=True) for path in pair]
  found = files.ImageFiles(paths, root)
  found.check_exist()
  labels = np.repeat(same, 2).astype(np.int32)
  return imagelist.ImageList(
    files=found,
    labels=labels,
    true_labels=None,
    class_names=CLASSES,
    fingerprint=labelled.fingerprint(found.names.all_encoded(), labels),
  )


def build() -> PackWriter:
  """A pack as the published code reads it."""
  return PackWriter()
