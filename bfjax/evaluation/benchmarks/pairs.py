"""Verification on pairs of images: LFW, CFP-FP, AgeDB-30, RFW, ...

`bfjax.evaluation.pairlist` has the formats of the lists, and
`bfjax.formats.packs` that of packs (`lfw.bin`).
"""

import logging
import os
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.data import files
from bfjax.evaluation import benchmarks, imagepairs, pairlist
from bfjax.evaluation.protocols import folding
from bfjax.formats import packs
from bfjax.text import printable

_log = logging.getLogger(__name__)


def build(
  *,
  root: str,
  pairs: str,
  format: str = 'auto',
  folds: int = 10,
  protocols: Sequence[str] = ('boundaryface', 'insightface'),
  suffix: str = '.jpg',
) -> imagepairs.Pairs:
  """Reads a pair list and looks its images up, or reads a pack.

  Args:
    root: the folder that the paths in the list are relative to.
    pairs: the list or the pack, a path relative to `root` or an absolute one.
    format: 'lfw', 'rfw', 'flags', or 'auto': see `pairlist`. Packs have one.
    folds: the number of folds: 10 in all published lists.
    protocols: names from `verification.PROTOCOLS`.
    suffix: the ending of the files that lfw and rfw lists name by number.

  Raises:
    Absent: if there is no such list.
    UserError: if the list cannot be read, a line of it cannot be understood,
      there are not as many pairs as its header says or the folds need, or an
      image is missing; the message names the list and the line. For a pack,
      see `packs.read`.
  """
  path = os.path.join(root, pairs)
  if not os.path.exists(path):
    raise benchmarks.Absent(
      f'Cannot read the pair list {printable(path)}: No such file. '
      'A relative path is taken from the root folder of the images.'
    )
  if packs.is_pack(path):
    pack = packs.read(path)
    images = packs.PackFiles(path, pack.images)
    left, right = images.rows[::2], images.rows[1::2]
    same = pack.same
  else:
    found = pairlist.read(path, format, suffix)
    names = dict.fromkeys(x for pair in found for x in (pair.left, pair.right))
    rows = {name: row for row, name in enumerate(names)}
    images = files.ImageFiles(rows, root)
    _check_exist(images, found, path)
    left = np.array([rows[pair.left] for pair in found], np.int32)
    right = np.array([rows[pair.right] for pair in found], np.int32)
    same = np.array([pair.same for pair in found], bool)
  protocols = (protocols,) if isinstance(protocols, str) else protocols
  shown = printable(path)
  try:
    benchmark = imagepairs.Pairs(images, left, right, same, folds, protocols)
  except errors.UserError as error:
    raise errors.UserError(f'{shown}: {error}') from error
  if one_kind := folding.of_one_kind(benchmark.same, folds):
    _log.warning(
      '%s: %d of the %d folds hold pairs of one kind alone, number %d the'
      ' first. Accuracies then tell of the order of the list more than of the'
      ' model: mix the two kinds of pairs (`shuf` does, if the list has no'
      ' header), or give another number of folds.',
      shown,
      len(one_kind),
      folds,
      one_kind[0] + 1,
    )
  return benchmark


def _check_exist(
  images: files.ImageFiles, found: list[pairlist.Pair], path: str
) -> None:
  """Raises UserError, naming the first line, if images are missing."""
  bad = list(images.problems())
  if not bad:
    return
  row, problem = bad[0]
  name, full = images.name(row), images.path(row)
  number = next(p.line for p in found if name in (p.left, p.right))
  base = os.path.splitext(full)[0]
  others = [s for s in ('.jpg', '.png', '.jpeg') if os.path.isfile(base + s)]
  remedy = (
    f'There is a {os.path.basename(base)}{others[0]}: for such images correct '
    f'the list, or give suffix={others[0]!r} if it names images by number.'
    if others
    else images.why_absent()
    or 'Is the root folder right, and is the data set complete?'
  )
  raise errors.UserError(
    f'{printable(path)}:{number}: no such image: {printable(full)}:'
    f' {problem} ({len(bad)} of {images.num_rows} cannot be used). {remedy}'
  )
