"""Foreign images for open-set noise, as they lie or as resized copies."""

import os
from collections.abc import Iterator

import cv2
import numpy as np

from bfjax import atomic, errors
from bfjax.data import folders, images

_JPEG_QUALITY = 95


class Pool:
  """The images of a folder, at any depth, as a list shall name them.

  Paths below `root` are listed relative to it, others are absolute. With
  `copies`, the images are listed as if they lay in that folder, and `copy`
  puts them there, resized.
  """

  def __init__(
    self, folder: str, *, root: str = '', copies: str = '', size: int = 112
  ):
    """Takes the options.

    Args:
      folder: where the images are.
      root: the folder that the list is relative to; '' for none.
      copies: where resized copies go; '' for no copies.
      size: pixels of a side of a copy.

    Raises:
      UserError: if there is no such folder.
    """
    if not os.path.isdir(folder):
      raise errors.UserError(
        f'There is no folder {folder!r}: the pool is a folder of images.'
      )
    self._folder = os.fsencode(os.path.abspath(folder))
    self._root = os.fsencode(os.path.abspath(root)) if root else b''
    self._copies = os.fsencode(os.path.abspath(copies)) if copies else b''
    self._size = size

  def listed(self) -> Iterator[tuple[bytes, bytes]]:
    """Yields the path of each image below the pool, and as it is listed."""
    for name in folders.images_below(self._folder):
      path = os.path.join(self._copies or self._folder, name)
      if self._root and path.startswith(self._root + b'/'):
        path = os.path.relpath(path, self._root)
      yield name, path

  def copy(self, listed: bytes) -> None:
    """Writes the copy that is listed so; does nothing without `copies`.

    Raises:
      UserError: if the image cannot be read; it is named.
    """
    if not self._copies:
      return
    copy = os.path.join(self._root, listed)
    original = os.path.join(self._folder, os.path.relpath(copy, self._copies))
    try:
      with open(original, 'rb') as file:
        pixels = images.decode(file.read(), self._size)
    except (OSError, errors.UserError) as error:
      raise errors.UserError(
        f'Cannot use the outlier {os.fsdecode(original)!r}: {error}. Remove it'
        ' from the pool.'
      ) from error
    suffix = os.fsdecode(os.path.splitext(copy)[1])
    _, encoded = cv2.imencode(
      suffix,
      cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
      [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
    )
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with atomic.writing(os.fsdecode(copy)) as draft:
      draft.write_bytes(np.asarray(encoded).tobytes())
