"""A verification pack such as `lfw.bin`, of the images of pairs."""

import dataclasses
import pathlib

import numpy as np

from bfjax import errors
from bfjax.data import files, labelled, selection
from bfjax.datasets import layouts
from bfjax.formats import packs

# The classes of a source of pairs: what the two images of one are.
CLASSES = ('two people', 'one person')


@dataclasses.dataclass(frozen=True)
class PackWriter(layouts.Writer):
  """A `layouts.Writer` of packs: rows 2 i and 2 i + 1 are a pair."""

  file = 'pairs.bin'

  def order(self, source):
    """See `layouts.Writer`."""
    if source.num_rows % 2 or not set(source.class_names) <= set(CLASSES):
      raise errors.UserError(
        'A verification pack is written from a list of pairs: give --pairs.'
      )
    return super().order(source)

  def write(self, folder, source, order, images, state):
    """See `layouts.Writer`."""
    # They fit into memory and are written at once: nothing is gone on with.
    found = []
    for encoded in images:
      found.append(encoded)
      yield lambda: {'rows': 0}
    names = np.array([CLASSES.index(x) for x in source.class_names])
    packs.write(folder / self.file, found, names[source.labels[::2]] == 1)

  def read(self, folder):
    """See `layouts.Writer`."""
    path = folder / self.file
    pack = packs.read(path)
    files = packs.PackFiles(path, pack.images)
    images = selection.Rows(files, files.rows)
    labels = np.repeat(pack.same, 2).astype(np.int32)
    return labelled.Source(images, labels, None, CLASSES)


def pairs_source(
  left: list[str], right: list[str], same: np.ndarray, root: str
) -> labelled.Source:
  """The images of pairs as a source: 2 i and 2 i + 1 are those of pair i.

  Args:
    left: the paths of the first images, relative to `root`.
    right: those of the second ones.
    same: bool [n], whether a pair is one person.
    root: a folder.

  Raises:
    UserError: if an image is not there; it is named.
  """
  paths = [path for pair in zip(left, right, strict=True) for path in pair]
  found = files.ImageFiles(paths, root)
  found.check_exist()
  labels = np.repeat(same, 2).astype(np.int32)
  return labelled.Source(found, labels, None, CLASSES)


def build(*, out: pathlib.Path) -> PackWriter:
  """A pack as the published code reads it.

  Args:
    out: the new file.
  """
  return PackWriter(out)
