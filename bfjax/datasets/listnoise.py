"""Label noise put into image lists, as the published experiments have it.

What is drawn for an image is a BLAKE2b hash of its path (of an outlier, below
its pool), keyed with the seed: its order chooses the images, its second half
their labels. So the order of the list and the machine play no part. Lists of
any size are worked on in bounded memory: their lines go through a database on
disk.

The definitions are those of BoundaryFace, https://arxiv.org/abs/2210.04567,
section 4, and of its code.
"""

import contextlib
import hashlib
import os
import pathlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tqdm

from bfjax import atomic, errors
from bfjax.data import lists, noise
from bfjax.text import printable

_CACHE_KIB = 64 * 1024
# `person` is the true label.
_TABLES = """
  create table image (
    line integer primary key, path blob, label integer, person integer,
    is_flipped integer default 0, draw blob
  );
  create table chosen (line integer primary key, rank integer);
  create table pool (path blob, draw blob);
  create table outlier (rank integer primary key, path blob, draw blob);
"""
# The first images of each person in the order {order}, floor(n * rate) of n,
# numbered by path.
_CHOOSE = """
  insert into chosen
  select line, row_number() over (order by path) from (
    select
      line, path, count(*) over (partition by person) as n,
      row_number() over (partition by person order by {order}) as place
    from image
  ) where place <= num_flips(n)
"""


class Noise(NamedTuple):
  """What was done to a list.

  Attributes:
    images: its lines.
    classes: its labels.
    changed: lines that have this noise now.
    flips_lost: flipped images that outliers have taken the place of.
  """

  images: int
  classes: int
  changed: int
  flips_lost: int = 0


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
  with _database(out, rate) as database:
    _read_list(database, source, seed, root)
    classes = _classes(database)
    if rate and len(classes) < 2:
      raise errors.UserError(
        f'{source} has one label: there is no other to flip it to.'
      )
    database.execute(_CHOOSE.format(order='draw'))
    place = {label: i for i, label in enumerate(classes)}
    lines = _select(
      database,
      'select path, label, draw, rank from image left join chosen using (line)'
      ' order by line',
    )
    with _writing(out) as noisy, _writing(truth_out) as truth:
      for path, label, draw, rank in lines:
        given = label
        if rank:
          # 1 .. C - 1 steps around the circle of labels: any but this one.
          steps = 1 + _number(draw) % (len(classes) - 1)
          given = classes[(place[label] + steps) % len(classes)]
          truth.write(lists.line(path, label))
        noisy.write(lists.line(path, given))
    return _summary(database, classes)


def add_outliers(
  source: str,
  *,
  pool: Iterable[tuple[bytes, bytes]],
  rate: float,
  seed: int,
  out: str,
  outliers_out: str,
  truth: str = '',
  truth_out: str = '',
  root: str = '',
  visit: Callable[[bytes], None] = lambda outlier: None,
) -> Noise:
  """Puts images of nobody in the set in the place of others (open-set noise).

  Of the n images of each identity the last floor(n * rate), those of the
  greatest paths, are replaced, each by an image of the pool that is used once,
  with a label drawn evenly from all of the list. Where `truth` is given, the
  identity is that of the TRUE labels, and flipped images count as its first
  ones: with rates that sum to at most 1, no flip is lost, as published.

  Args:
    source: a list of lines `path label`.
    pool: of each foreign image the name that is drawn by, which tells nothing
      of where the pool lies, and its path as it shall stand in the list.
    rate: the share of each identity, 0 .. 1.
    seed: names the draw.
    out: gets the list, in the order of `source`.
    outliers_out: gets the outliers with the labels they were given.
    truth: the flipped images of `source` with their true labels, if any.
    truth_out: gets those of them that are still in the list.
    root: the folder of the images, or ''; see `lists.read`.
    visit: called with the path of each outlier before any list is complete.

  Raises:
    UserError: as `flip_list`, or if the pool has too few images or one that
      is in the list.
  """
  with _database(out, rate) as database:
    _read_list(database, source, seed, root)
    if truth:
      _read_truth(database, truth, source, root)
    _read_pool(database, pool, seed)
    classes = _classes(database)
    database.execute(_CHOOSE.format(order='is_flipped, path desc'))
    _check_pool(database, source)
    lines = _select(
      database,
      'select image.path, label, person, is_flipped, outlier.path, outlier.draw'
      ' from image left join chosen using (line) left join outlier using (rank)'
      ' order by line',
    )
    with contextlib.ExitStack() as stack:
      noisy = stack.enter_context(_writing(out))
      log = stack.enter_context(_writing(outliers_out))
      flips = stack.enter_context(_writing(truth_out)) if truth_out else None
      for path, label, person, is_flipped, outlier, draw in lines:
        if outlier is not None:
          visit(outlier)
          line = lists.line(outlier, classes[_number(draw) % len(classes)])
          log.write(line)
          noisy.write(line)
          continue
        noisy.write(lists.line(path, label))
        if is_flipped and flips:
          flips.write(lists.line(path, person))
    return _summary(database, classes)


@contextlib.contextmanager
def _database(out: str, rate: float) -> Iterator[sqlite3.Connection]:
  """An empty database beside the output; gone afterwards."""
  if not 0 <= rate <= 1:
    raise errors.UserError(f'The rate of noise is a share, 0 .. 1, not {rate}.')
  beside = os.path.dirname(os.path.abspath(out))
  try:
    with (
      tempfile.TemporaryDirectory(dir=beside, prefix='.noise.') as folder,
      contextlib.closing(
        sqlite3.connect(os.path.join(folder, 'list.db'))
      ) as database,
    ):
      database.execute('pragma journal_mode = off')
      database.execute(f'pragma cache_size = -{_CACHE_KIB}')
      database.create_function(
        'num_flips',
        1,
        lambda count: int(noise.num_flips(np.int64(count), rate)),
        deterministic=True,
      )
      database.executescript(_TABLES)
      yield database
  except (OSError, sqlite3.OperationalError) as error:
    raise errors.UserError(f'Cannot write to {beside}: {error}.') from error


def _read_list(database, source, seed, root):
  lines = tqdm.tqdm(
    lists.parse_lines(source, root),
    desc='Reading the list',
    unit='line',
    unit_scale=True,
    disable=None,
  )
  database.executemany(
    'insert into image (line, path, label, person, draw)'
    ' values (?, ?, ?, ?, ?)',
    (
      (number, path, label, label, _draw(seed, path))
      for number, path, label in lines
    ),
  )
  if not _count(database, 'image'):
    raise errors.UserError(f'{source}: the list is empty.')
  database.execute('create index by_path on image (path)')
  twice = database.execute(
    'select path, min(line), max(line) from image group by path'
    ' having count(*) > 1 order by max(line) limit 1'
  ).fetchone()
  if twice:
    path, first, second = twice
    raise errors.UserError(
      f'{source}:{second}: {printable(os.fsdecode(path))} is listed already in'
      f' line {first}. Remove one of the two.'
    )


def _read_truth(database, truth, source, root):
  for number, path, label in lists.parse_lines(truth, root):
    found = database.execute(
      'update image set person = ?, is_flipped = 1 where path = ?',
      (label, path),
    )
    if not found.rowcount:
      raise errors.UserError(
        f'{truth}:{number}: {printable(os.fsdecode(path))} is not in {source}.'
        ' Give the truth that belongs to this list.'
      )


def _read_pool(database, pool, seed):
  paths = tqdm.tqdm(
    pool, desc='Reading the pool', unit='image', unit_scale=True, disable=None
  )
  database.executemany(
    'insert into pool values (?, ?)',
    ((path, _draw(seed, name)) for name, path in paths),
  )
  database.execute(
    'insert into outlier select row_number() over (order by draw), path, draw'
    ' from (select distinct path, draw from pool)'
  )


def _check_pool(database, source):
  wanted, found = _count(database, 'chosen'), _count(database, 'outlier')
  if found < wanted:
    raise errors.UserError(
      f'The pool has {found} images, but {wanted} are needed. Give a larger'
      ' pool or a smaller rate.'
    )
  common = database.execute(
    'select path from outlier join image using (path) limit 1'
  ).fetchone()
  if common:
    raise errors.UserError(
      f'{printable(os.fsdecode(common[0]))} is in the pool and in {source}:'
      ' outliers must be of nobody in the set.'
    )


def _select(database, query):
  return tqdm.tqdm(
    database.execute(query),
    total=_count(database, 'image'),
    desc='Writing',
    unit='line',
    unit_scale=True,
    disable=None,
  )


def _summary(database, classes):
  [[lost]] = database.execute(
    'select count(*) from image join chosen using (line) where is_flipped'
  )
  changed = _count(database, 'chosen')
  return Noise(_count(database, 'image'), len(classes), changed, lost)


def _count(database, table):
  return database.execute(f'select count(*) from {table}').fetchone()[0]


def _classes(database):
  query = 'select distinct label from image order by label'
  return [label for (label,) in database.execute(query)]


def _draw(seed: int, path: bytes) -> bytes:
  """16 random bytes of (seed, path)."""
  return hashlib.blake2b(path, digest_size=16, key=b'%d' % seed).digest()


def _number(draw: bytes) -> int:
  # Of the half that hardly tells in what order the draws are sorted.
  return int.from_bytes(draw[8:], 'little')


@contextlib.contextmanager
def _writing(path):
  with atomic.writing(pathlib.Path(path)) as draft, draft.open('wb') as file:
    yield file
