"""Checks of all images of a data set: looked up, decoded, listed once."""

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tqdm

from bfjax import errors
from bfjax.data import names
from bfjax.text import (
  NAMES_SHOWN,
  first_lines,
  line_number,
  printable,
  row_place,
)


def first_twice(
  hashes: np.ndarray, key: Callable[[int], object]
) -> tuple[int, int] | None:
  """The first two places, i < k, of one thing; None if there are none.

  Args:
    hashes: int64 [n], equal where the keys are, and seldom elsewhere.
    key: place -> what tells things apart; asked for only where hashes are
      equal, as a set of all keys would take a gigabyte where there are 6
      million.
  """
  ascending = np.sort(hashes)
  twice = ascending[1:][ascending[1:] == ascending[:-1]]
  seen = {}
  for place in np.flatnonzero(np.isin(hashes, twice)).tolist():
    first = seen.setdefault(key(place), place)
    if first != place:
      return first, place
  return None


def refuse_duplicates(path: str, listed: names.Names) -> None:
  """Raises UserError if the list `path` names an image twice."""
  hashes = np.fromiter(map(hash, listed.all_encoded()), np.int64, len(listed))
  if twice := first_twice(hashes, listed.encoded):
    first, second = twice
    raise errors.UserError(
      f'{row_place(path, second)}: {printable(listed[second])} is listed '
      f'already in line {line_number(path, first)}. Remove one of the two.'
    )


def refuse_links(
  path_of: Callable[[int], str], identities: np.ndarray, path: str = ''
) -> None:
  """Raises UserError if two names are one file by a link or a spelling.

  Hard links are files of their own, like copies.

  Args:
    path_of: row -> the path of its file.
    identities: int64 [num_rows], as `files.ImageFiles.problems` gives them.
    path: the list that names them; '' if none does.
  """
  known = np.flatnonzero(identities)  # not of all files
  twice = first_twice(
    identities[known], lambda i: os.path.realpath(path_of(int(known[i])))
  )
  if twice:
    first, second = map(int, known[list(twice)])
    where = f'{row_place(path, second)}: ' if path else ''
    line = f' in line {line_number(path, first)}' if path else ''
    raise errors.UserError(
      f'{where}{printable(path_of(second))} is the same file as '
      f'{printable(path_of(first))}{line}, by a link or another spelling. '
      'Remove one of the two.'
    )


def bar(what: str, total: int, done: int = 0) -> tqdm.tqdm:
  """A progress bar of images, with the time left; none if it takes no time."""
  return tqdm.tqdm(
    total=total,
    initial=done,
    desc=what,
    unit='image',
    unit_scale=True,
    delay=1,
    disable=not what,
  )


def ahead(
  rows: Sequence[int] | np.ndarray,
  work: Callable[..., list],
  *,
  chunk: int,
  threads: int,
  title: str = '',
) -> Iterator:
  """Yields what `work` makes of all rows, in order, by threads ahead.

  Args:
    rows: which.
    work: some rows -> a list.
    chunk: rows of one call of it.
    threads: that call it.
    title: of a progress bar; '' for none.
  """
  chunks = (rows[i : i + chunk] for i in range(0, len(rows), chunk))
  waiting = collections.deque()
  with (
    concurrent.futures.ThreadPoolExecutor(threads) as pool,
    bar(title, len(rows)) as shown,
  ):
    while True:
      # Some tasks for each thread at a time: what is found does not pile up.
      some = itertools.islice(chunks, 2 * threads - len(waiting))
      waiting.extend(pool.submit(work, chunk_rows) for chunk_rows in some)
      if not waiting:
        break
      yield from waiting.popleft().result()
      shown.update(min(chunk, len(rows) - shown.n))


def refuse_any(problems: Iterable[str], num_rows: int, remedy: str) -> None:
  """Raises UserError if there are problems: how many, the first, the remedy."""
  problems = iter(problems)
  first = list(itertools.islice(problems, NAMES_SHOWN))
  count = len(first) + sum(1 for _ in problems)
  if first:
    raise errors.UserError(
      f'{count} of {num_rows} images cannot be used:\n'
      f'{first_lines(first, count)}\n{remedy}'
    )
