"""Features of images on disk: written piece by piece, read memory-mapped.

A store is a folder with

    features.npy   [n, d], or [n, 2, d] for flip 'both'; float32 or float16
    rows.tsv       which image each row is of, see `rowtable`
    meta.json      how the features were made

A tree, the layout of the MegaFace scripts, has one .npy an image instead, of
shape [d] or [2, d]: `a/1.npy` for the image `a/1.jpg`, or `a/1.jpg.npy`.

`flip` says what a row is made of the embeddings f(x) of an image and f(x') of
its mirror image: 'none' f(x), 'sum' f(x) + f(x'), 'joined' f(x) then f(x'),
'both' each by itself. `normalised`: divided by its Euclidean length.
"""

import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bfjax import errors, text
from bfjax.data import checks, files
from bfjax.evaluation.features import rowtable
from bfjax.evaluation.protocols import fusion
from bfjax.text import printable

FEATURES, META, UNFINISHED = 'features.npy', 'meta.json', 'unfinished.json'
# Threads that read the files of a tree, each so many in turn.
_THREADS, _CHUNK = 16, 256
# More features than so many bytes are kept in a file.
_IN_MEMORY = 2**30


class Store(NamedTuple):
  """Features [n, d] or [n, 2, d], float32 or float16, and what they are of.

  Those of a store are not in memory: take rows by a slice or by an array of row
  numbers. Names and labels are looked up when asked for.
  """

  features: np.ndarray
  names: Sequence[str]  # paths of the n images
  labels: Sequence[str]  # '' where there is none
  # What `meta.json` says, 'flip', 'normalised' and 'dim' among it; empty of a
  # tree without such a file.
  meta: dict[str, Any]


class Form(NamedTuple):
  """What features are to look like."""

  flip: str = 'sum'  # 'none', 'sum', 'joined' or 'both', see above
  normalised: bool = False  # whether each is divided by its Euclidean length
  dtype: str = 'float32'  # or 'float16'
  layout: str = 'rows'  # a store, or 'tree': one .npy an image

  def of(self, found: np.ndarray, name: Callable[[int], str]) -> np.ndarray:
    """Features as asked for.

    Args:
      found: float32 [n, 2, d], f(x) and f(mirror x).
      name: i < n -> the image, for messages.

    Raises:
      UserError: if features are not finite; the image is named.
    """
    fusion.check_finite(found, name)
    is_both = self.flip == 'both'
    features = fusion.fuse(
      found.reshape(-1, found.shape[-1]) if is_both else found,
      flip='none' if is_both else self.flip,
      normalise=self.normalised,
    )
    if is_both:
      features = features.reshape(found.shape)
    with np.errstate(over='ignore'):
      features = features.astype(self.dtype)
    fusion.check_finite(features, name, f'Too large for {self.dtype}.')
    return features


def open_store(path: str | os.PathLike) -> Store:
  """Opens a store.

  Raises:
    UserError: if it is not there or unfinished, or if its parts do not fit.
  """
  path = pathlib.Path(path)
  _check_finished(path)
  meta = read_meta(path / META)
  features = _load(path / FEATURES, mmap_mode='r')
  names, labels = rowtable.read(path / meta.get('rows', rowtable.NAME))
  if len(names) != len(features):
    raise errors.UserError(
      f'{path / FEATURES} has {len(features)} rows, but its table of rows '
      f'{len(names)}. Compute the features anew.'
    )
  return Store(features, names, labels, meta)


def open_tree(root: str | os.PathLike, names: Sequence[str]) -> Store:
  """Reads features in the layout of the MegaFace scripts, all of them.

  Args:
    root: the folder.
    names: paths of images. The features of `a/1.jpg` are in `root/a/1.npy` or
      in `root/a/1.jpg.npy`; the first image tells which, for all.

  Raises:
    UserError: if files are missing (the message names the first and tells how
      many), if a file is no array of the shape of the first (the message names
      it), or if the folder is unfinished.
  """
  root = pathlib.Path(root)
  _check_finished(root)
  meta = read_meta(root / META) if (root / META).exists() else {}
  if not names:
    raise errors.UserError(f'No features are asked for of {root}.')
  stems = [os.path.splitext(name)[0] for name in names]
  if not (root / f'{stems[0]}.npy').exists():
    stems = names
  paths = files.ImageFiles((f'{stem}.npy' for stem in stems), root)
  paths.check_exist()
  return Store(_gathered(paths), names, [''] * len(names), meta)


def _gathered(paths: files.ImageFiles) -> np.ndarray:
  """The features of all files in one array."""
  first = _load(paths.path(0))
  out = scratch((len(paths), *first.shape), first.dtype)

  def fill(rows):
    for row in rows:
      found = _load(paths.path(row))
      if found.dtype.kind != 'f' or found.shape != first.shape:
        raise errors.UserError(
          f'{printable(paths.path(row))} holds {found.dtype} of shape '
          f'{found.shape}; expected are floating-point numbers of shape '
          f'{first.shape}, as of the first image: all of one model.'
        )
      out[row] = found
    return []  # nothing to tell

  filled = checks.ahead(
    range(len(paths)),
    fill,
    chunk=_CHUNK,
    threads=_THREADS,
    title=f'Features of {paths.root}',
  )
  for _ in filled:
    pass
  return out


def _load(path, mmap_mode=None) -> np.ndarray:
  try:
    return np.load(path, mmap_mode)
  except (OSError, ValueError, EOFError) as error:
    raise errors.UserError(
      f'Cannot read the features {printable(os.fspath(path))}: {error}.'
    ) from error


def scratch(shape: tuple[int, ...], dtype) -> np.ndarray:
  """An array for features; in a file that goes with it if it is large.

  Raises:
    UserError: if there is no room for the file.
  """
  size = math.prod(shape) * np.dtype(dtype).itemsize
  if size <= _IN_MEMORY:
    return np.empty(shape, dtype)
  with tempfile.TemporaryFile() as file:
    try:
      # Or else a disk that is full later kills the process.
      os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
      raise errors.UserError(
        f'No room for {size / 1e9:.1f} GB of features in '
        f'{tempfile.gettempdir()}: {error.strerror}. TMPDIR names another '
        'folder.'
      ) from error
    return np.memmap(file, dtype, 'r+', shape=shape)


def read_meta(path: pathlib.Path) -> dict[str, Any]:
  """What a META or UNFINISHED says; nothing if it is of another program.

  Raises:
    UserError: if it cannot be read.
  """
  found = text.read_json(path, 'tools/embed.py makes a store of features.')
  return found if isinstance(found, dict) else {}


def _check_finished(path: pathlib.Path) -> None:
  if (path / UNFINISHED).exists():
    raise errors.UserError(
      f'The features in {path} are unfinished: run the command that computes '
      'them again, and it goes on.'
    )
