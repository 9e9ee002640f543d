"""Label noise put into image lists, as the published experiments have it.

What is drawn for an image is a BLAKE2b hash of its path (of an outlier, below
its pool), keyed with the seed: its order chooses the images, its second half
their labels. So the order of the list and the machine play no part. A list is
held in memory: one of 10 million images with paths of 30 bytes takes 1.3 GB to
flip, and 1.9 GB with a pool of 2 million outliers.

The definitions are those of BoundaryFace, https://arxiv.org/abs/2210.04567,
section 4, and of its code.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tqdm
from pyarrow import compute

from bfjax import atomic, errors, text
from bfjax.data import checks, lists, names, noise, selection
from bfjax.datasets import outliers

_DRAW_BYTES = 16


class Noise(NamedTuple):
  """What was done to a list."""

  images: int  # its lines
  classes: int  # its labels
  changed: int  # lines that have this noise now
  flips_lost: int = 0  # flipped images that outliers have taken the place of


def flip_list(
  source: str,
  *,
  rate: float,
  seed: int,
  out: str,
  truth_out: str,
  root: str = '',
) -> Noise:
  """Gives part of every identity a wrong label (closed-set noise).

  Of the n images of each label floor(n * rate), drawn evenly, get a label drawn
  evenly from the others of the list.

  Args:
    source: a list of lines `path label`.
    rate: the share of each identity, 0 .. 1.
    seed: names the draw.
    out: gets the list with the wrong labels, in the order of `source`.
    truth_out: gets the changed images with their TRUE labels.
    root: the folder of the images, or ''; see `lists.read`.

  Raises:
    UserError: if the list cannot be read, names an image twice or has a single
      label, or the rate is no share.
  """
  paths, labels = _read(source, root, rate)
  classes, numbers = np.unique(labels, return_inverse=True)
  if rate and len(classes) < 2:
    raise errors.UserError(
      f'{source} has one label: there is no other to flip it to.'
    )
  draws = _Draws(seed, paths.all_encoded(), len(paths))
  first = noise.first_of_each(draws.order(numbers), numbers, rate)
  chosen = np.isin(np.arange(len(paths)), first)
  # 1 .. C - 1 steps around the circle of labels: any but this one.
  steps = 1 + draws.number_below(max(len(classes) - 1, 1))[chosen]
  numbers[chosen] = (numbers[chosen] + steps) % len(classes)
  lines = zip(
    paths.all_encoded(),
    *(x.data for x in (labels, classes[numbers], chosen)),
    strict=True,
  )
  with _writing(out) as noisy, _writing(truth_out) as truth:
    for path, label, given, is_chosen in _bar(lines, 'Writing', len(paths)):
      noisy.write(lists.line(path, given))
      if is_chosen:
        truth.write(lists.line(path, label))
  return Noise(len(paths), len(classes), int(chosen.sum()))


def add_outliers(
  source: str,
  *,
  pool: outliers.Pool,
  rate: float,
  seed: int,
  out: str,
  outliers_out: str,
  truth: tuple[str, str] | None = None,
  root: str = '',
) -> Noise:
  """Puts images of nobody in the set in the place of others (open-set noise).

  Of the n images of each identity the last floor(n * rate), those of the
  greatest paths, are replaced, each by an image of the pool that is used once,
  with a label drawn evenly from all of the list. Where `truth` is given, the
  identity is that of the TRUE labels, and flipped images count as its first
  ones: with rates that sum to at most 1, no flip is lost, as published.

  Args:
    source: a list of lines `path label`.
    pool: the foreign images; those that are taken are copied, if it copies.
    rate: the share of each identity, 0 .. 1.
    seed: names the draw.
    out: gets the list, in the order of `source`.
    outliers_out: gets the outliers with the labels they were given.
    truth: the flipped images of `source` with their true labels, and what gets
      those of them that are still in the list; None if there are none.
    root: the folder of the images, or ''; see `lists.read`.

  Raises:
    UserError: as `flip_list`, or if the pool has too few images or one that
      is in the list.
  """
  paths, labels = _read(source, root, rate)
  true, is_flipped = labels, np.zeros(len(paths), bool)
  if truth:
    flipped, values = lists.read(truth[0], root)
    where = functools.partial(text.row_place, truth[0])
    rows = selection.find_rows(paths, flipped, where)
    true, is_flipped[rows] = labels.copy(), True
    true[rows] = values
  people = np.unique(true, return_inverse=True)[1]
  by_path = compute.sort_indices(paths.arrow).to_numpy().astype(np.int64)
  order = by_path[::-1]
  order = order[np.lexsort((is_flipped[order], people[order]))]
  last = noise.first_of_each(order, people, rate)
  chosen = np.isin(np.arange(len(paths)), last)

  pooled = sorted(set(_bar(pool.listed(), 'Reading the pool')))
  _check_pool([path for _, path in pooled], paths, source, int(chosen.sum()))
  draws = _Draws(seed, (name for name, _ in pooled), len(pooled))
  classes = np.unique(labels)
  drawn = classes[draws.number_below(len(classes))]
  # The first outlier takes the place of the first path, and so on.
  replaced = by_path[chosen[by_path]]
  place = np.zeros(len(paths), np.int64)
  place[replaced] = draws.order()[: len(replaced)]
  arrays = (labels, true, is_flipped, chosen, place)
  lines = zip(paths.all_encoded(), *(x.data for x in arrays), strict=True)
  with contextlib.ExitStack() as stack:
    noisy = stack.enter_context(_writing(out))
    log = stack.enter_context(_writing(outliers_out))
    flips = stack.enter_context(_writing(truth[1])) if truth else None
    for path, label, person, flipped, is_chosen, i in _bar(
      lines, 'Writing', len(paths)
    ):
      if is_chosen:
        outlier = pooled[i][1]
        pool.copy(outlier)
        line = lists.line(outlier, drawn[i])
        log.write(line)
        noisy.write(line)
        continue
      noisy.write(lists.line(path, label))
      if flipped and flips:
        flips.write(lists.line(path, person))
  lost = int((chosen & is_flipped).sum())
  return Noise(len(paths), len(classes), len(replaced), lost)


def _read(source, root, rate) -> tuple[names.Names, np.ndarray]:
  """The paths of a list, each there once, and their labels, int64 [n]."""
  if not 0 <= rate <= 1:
    raise errors.UserError(f'The rate of noise is a share, 0 .. 1, not {rate}.')
  paths, labels = lists.read(source, root)
  if not len(labels):
    raise errors.UserError(f'{source}: the list is empty.')
  checks.refuse_duplicates(source, paths)
  return paths, labels


def _check_pool(pooled, paths, source, wanted) -> None:
  if len(pooled) < wanted:
    raise errors.UserError(
      f'The pool has {len(pooled)} images, but {wanted} are needed. Give a'
      ' larger pool or a smaller rate.'
    )
  common = np.flatnonzero(paths.places(names.Names.of(pooled)) >= 0)
  if len(common):
    name = text.printable(os.fsdecode(pooled[common[0]]))
    raise errors.UserError(
      f'{name} is in the pool and in {source}: outliers must be of nobody in'
      ' the set.'
    )


class _Draws:
  """16 random bytes of (seed, name) for each name."""

  def __init__(self, seed: int, encoded: Iterable[bytes], num: int):
    key = b'%d' % seed
    found = (
      hashlib.blake2b(name, digest_size=_DRAW_BYTES, key=key).digest()
      for name in _bar(encoded, 'Drawing', num)
    )
    self._bytes = np.fromiter(found, f'V{_DRAW_BYTES}', num)

  def order(self, *before: np.ndarray) -> np.ndarray:
    """int64 [n], by `before` and then as the bytes are ordered."""
    first, second = self._bytes.view('>u8').reshape(-1, 2).T.astype(np.uint64)
    return np.lexsort((second, first, *before))

  def number_below(self, stop: int) -> np.ndarray:
    """int64 [n], of the half that hardly tells how the draws are ordered."""
    return (self._bytes.view('<u8')[1::2] % np.uint64(stop)).astype(np.int64)


def _bar(items, what, total=None):
  return tqdm.tqdm(items, desc=what, total=total, unit_scale=True, disable=None)


@contextlib.contextmanager
def _writing(path):
  try:
    with atomic.writing(pathlib.Path(path)) as draft, draft.open('wb') as file:
      yield file
  except OSError as error:
    raise errors.UserError(f'Cannot write {path}: {error}.') from error
