"""Verification on a list of image pairs: LFW, CFP-FP, AgeDB-30, RFW, ...

`bfjax.evaluation.pairlist` has the formats of the lists.
"""

import concurrent.futures
import os
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.data import files
from bfjax.evaluation import pairlist, verification

_STAT_THREADS = 16


class Pairs:
  """Verification of pairs of images.

  Attributes:
    files: the images of all pairs, each once.
    left: int32 [n], the row in `files` of the left image of each pair.
    right: int32 [n], that of the right one.
    same: bool [n], whether the two are one person.
    folds: the number of folds.
    protocols: names from `verification.PROTOCOLS`.
  """

  def __init__(
    self,
    files,
    left: np.ndarray,
    right: np.ndarray,
    same: np.ndarray,
    folds: int = 10,
    protocols: Sequence[str] = ('boundaryface', 'insightface'),
  ):
    """Takes the attributes.

    Raises:
      UserError: if there is no such protocol, or if the pairs cannot be split
        into the folds as the protocols need.
    """
    self.files, self.folds, self.protocols = files, folds, tuple(protocols)
    self.left = np.asarray(left, np.int32)
    self.right = np.asarray(right, np.int32)
    self.same = np.asarray(same, bool)
    for name in self.protocols:
      errors.choose('protocol', name, verification.PROTOCOLS)
      equal = name == 'boundaryface'
      verification.check_folds(len(self.same), folds, equal)

  def evaluate(self, features: np.ndarray) -> dict[str, float]:
    """Runs the protocols.

    Args:
      features: float32 [files.num_rows, 2, d]: f(x) and f(mirror x).

    Returns:
      '<protocol>/accuracy', '<protocol>/std' and '<protocol>/threshold' (the
      mean over the folds); for insightface also 'insightface/val',
      'insightface/val_std' and 'insightface/far'. Rates are fractions of 1,
      not per cent; a threshold is of the cosine (boundaryface) or of the
      squared distance (insightface).

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    features = np.asarray(features)
    if len(features) != self.files.num_rows:
      raise ValueError(
        f'{len(features)} features, {self.files.num_rows} images'
      )
    row = verification.first_not_finite(features)
    if row is not None:
      raise errors.UserError(
        f'The features of the image {files.printable(self.files.name(row))} '
        'are not finite: NaN or infinity. The network has diverged or '
        'overflowed.'
      )
    numbers = {}
    for name in self.protocols:
      result = verification.PROTOCOLS[name](
        features, self.left, self.right, self.same, self.folds
      )
      numbers[f'{name}/accuracy'] = result.accuracy
      numbers[f'{name}/std'] = result.std
      numbers[f'{name}/threshold'] = float(result.thresholds.mean())
      if result.val is not None:
        numbers[f'{name}/val'] = result.val.rate
        numbers[f'{name}/val_std'] = result.val.std
        numbers[f'{name}/far'] = result.val.far
    return numbers


def build(
  *,
  root: str,
  pairs: str,
  format: str = 'auto',
  folds: int = 10,
  protocols: Sequence[str] = ('boundaryface', 'insightface'),
  suffix: str = '.jpg',
) -> Pairs:
  """Reads a pair list and looks its images up.

  Args:
    root: the folder that the paths in the list are relative to.
    pairs: the list, a path relative to `root` or an absolute one.
    format: 'lfw', 'rfw', 'flags', or 'auto': see `pairlist`.
    folds: the number of folds: 10 in all published lists.
    protocols: names from `verification.PROTOCOLS`.
    suffix: the ending of the files that lfw and rfw lists name by number.

  Raises:
    UserError: if the list cannot be read, a line of it cannot be understood,
      there are not as many pairs as its header says or the folds need, or an
      image is missing; the message names the list and the line.
  """
  path = os.path.join(root, pairs)
  found = pairlist.read(path, format, suffix)
  rows = {}
  for pair in found:
    for name in (pair.left, pair.right):
      rows.setdefault(name, len(rows))
  images = files.ImageFiles(rows, root)
  try:
    benchmark = Pairs(
      images,
      np.array([rows[pair.left] for pair in found]),
      np.array([rows[pair.right] for pair in found]),
      np.array([pair.same for pair in found]),
      folds,
      (protocols,) if isinstance(protocols, str) else protocols,
    )
  except errors.UserError as error:
    raise errors.UserError(f'{files.printable(path)}: {error}') from error
  _check_exist(images, found, path)
  return benchmark


def _check_exist(
  images: files.ImageFiles, found: list[pairlist.Pair], path: str
) -> None:
  """Raises UserError, naming the first line, if images are missing."""
  with concurrent.futures.ThreadPoolExecutor(_STAT_THREADS) as pool:
    paths = map(images.path, range(images.num_rows))
    there = list(pool.map(os.path.isfile, paths))
  if all(there):
    return
  missing = images.name(there.index(False))
  number = next(p.line for p in found if missing in (p.left, p.right))
  full = images.path(there.index(False))
  base = os.path.splitext(full)[0]
  others = [s for s in ('.jpg', '.png', '.jpeg') if os.path.isfile(base + s)]
  remedy = (
    f'There is a {os.path.basename(base)}{others[0]}: for such images correct '
    f'the list, or give suffix={others[0]!r} if it names images by number.'
    if others
    else 'Is the root folder right, and is the data set complete?'
  )
  raise errors.UserError(
    f'{files.printable(path)}:{number}: no such image: {files.printable(full)} '
    f'({there.count(False)} of {len(there)} are missing). {remedy}'
  )
