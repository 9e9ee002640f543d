"""Verification packs: `lfw.bin`, the images of pairs and who is one person.

A pack is a pickle of (images, flags): a list of 2 n encoded images, where
(2 i, 2 i + 1) is pair i, and a list of n bools. The format is InsightFace's,
https://github.com/deepinsight/insightface.
"""

import os
import pickle
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bfjax import atomic, errors
from bfjax.formats import pickles
from bfjax.text import printable

SUFFIX = '.bin'
# The largest packs of the field take 200 MB.
_MAX_BYTES = 1 << 32


class Pack(NamedTuple):
  """The pairs of a pack."""

  images: list[bytes]  # 2 n encoded images; pair i is (2 i, 2 i + 1)
  same: np.ndarray  # bool [n], whether a pair is one person


class PackFiles:
  """The images of a pack, each once, by row number; as `files.ImageFiles`.

  The packs of the field repeat the images that several pairs have in common.

  Attributes:
    num_rows: the number of different images.
    root: the folder that the pack lies in.
    rows: int32 [2 n], the row of each image of the pack.
  """

  def __init__(self, path: str | os.PathLike, images: Sequence[bytes]):
    """Takes the pack's name, for messages, and its images."""
    path = os.path.abspath(path)
    self.root, self._name = os.path.split(path)
    rows = {}
    for image in images:
      rows.setdefault(image, len(rows))
    self.rows = np.fromiter((rows[x] for x in images), np.int32, len(images))
    _, self._first = np.unique(self.rows, return_index=True)
    self._images = list(rows)
    self.num_rows = len(rows)

  def name(self, row: int) -> str:
    """`lfw.bin#7`, where 7 is the image's first place in the pack, from 0."""
    return f'{self._name}#{self._first[row]}'

  def path(self, row: int) -> str:
    """The same with the absolute path of the pack."""
    return os.path.join(self.root, self.name(row))

  def read(self, rows) -> list[bytes]:
    """The encoded images of `rows`, int [n]."""
    return [self._images[row] for row in rows]


def is_pack(path: str | os.PathLike) -> bool:
  """Whether the file is a pack rather than a list, by its name or start."""
  if os.fspath(path).endswith(SUFFIX):
    return True
  try:
    with open(path, 'rb') as file:
      start = file.read(2)
  except OSError:
    return False  # who reads it says so
  # How pickles of protocol 2 and later start, and no text does.
  return start[:1] == b'\x80' and start[1:] <= b'\x0f'


def read(path: str | os.PathLike) -> Pack:
  """Reads a pack without running anything in it; see `pickles`.

  Raises:
    UserError: if it cannot be read, is cut off, holds anything but images and
      flags, or not two images for each flag; the message tells where.
  """
  shown = printable(os.fspath(path))
  if not os.path.isfile(path):
    raise errors.UserError(f'There is no pack {shown}.')
  try:
    if os.path.getsize(path) > _MAX_BYTES:
      raise ValueError(f'no pack is larger than {_MAX_BYTES} bytes')
    with open(path, 'rb') as file:
      return loads(file.read())
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the pack {shown}: {error.strerror}.'
    ) from error
  except ValueError as error:
    raise errors.UserError(
      f'{shown} is no verification pack, or a broken one: {error}. Expected: a '
      'pickle of a list of encoded images, two a pair, and a list of bools.'
    ) from error


def loads(content: bytes) -> Pack:
  """The pack whose file has this content.

  Raises:
    ValueError: if it is none; see `read`.
  """
  found = pickles.loads(content)
  if not isinstance(found, (list, tuple)) or len(found) != 2:
    raise ValueError(f'it holds {_what(found)} instead of (images, flags)')
  images, flags = found
  if not isinstance(images, (list, tuple)):
    raise ValueError(f'it holds {_what(images)} instead of a list of images')
  encoded = [_image(image, i) for i, image in enumerate(images)]
  match flags:
    case pickles.Array(dtype='bool', shape=(_,)):
      flags = [x != 0 for x in flags.data]
    case list() | tuple():
      pass
    case _:
      raise ValueError(f'it holds {_what(flags)} instead of a list of bools')
  for i, flag in enumerate(flags):
    if not isinstance(flag, bool):
      raise ValueError(f'flag {i} is {_what(flag)} instead of a bool')
  _check_counts(encoded, flags)
  return Pack(encoded, np.array(flags, bool))


def write(
  path: str | os.PathLike, images: Iterable[bytes], same: Iterable[bool]
) -> None:
  """Writes a pack that the published code reads.

  Args:
    path: of the pack, ending in `.bin`.
    images: 2 n encoded images; pair i is (2 i, 2 i + 1).
    same: n bools.

  Raises:
    UserError: if there are not two images a flag.
    OSError: if it cannot be written.
  """
  images, same = [bytes(x) for x in images], [bool(x) for x in same]
  try:
    _check_counts(images, same)
  except ValueError as error:
    shown = printable(os.fspath(path))
    raise errors.UserError(f'Cannot write {shown}: {error}.') from error
  with atomic.writing(path) as draft, draft.open('wb') as file:
    # The latest that every Python 3 reads; 2 cannot hold bytes as such.
    pickle.dump((images, same), file, protocol=4)


def _check_counts(images, same):
  if not len(images):
    raise ValueError('it holds no images')
  if len(images) % 2:
    raise ValueError(f'it holds {len(images)} images, an odd number')
  if len(images) != 2 * len(same):
    raise ValueError(
      f'it holds {len(images)} images and {len(same)} flags; there must be two '
      'images a flag'
    )


def _image(image, i) -> bytes:
  is_bytes = isinstance(image, pickles.Array) and image.dtype == 'uint8'
  # One axis, or others of length 1: no decoded image, which has three.
  if is_bytes and sum(n != 1 for n in image.shape) <= 1:
    return image.data
  if not isinstance(image, bytes):
    raise ValueError(f'image {i} is {_what(image)} instead of encoded bytes')
  return image


def _what(value) -> str:
  if isinstance(value, pickles.Array):
    return f'an array of {value.dtype or "nothing"} of shape {value.shape}'
  if isinstance(value, (list, tuple)):
    return f'a {type(value).__name__} of {len(value)}'
  return f'a {type(value).__name__}'
