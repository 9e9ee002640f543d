"""Opening data sets of millions of rows: how long it takes, how much memory.

Each set is opened in a process of its own, which opens nothing else.
"""

import concurrent.futures
import importlib
import multiprocessing
import os
import pathlib
import tempfile
import time
from typing import NamedTuple

import numpy as np

from benchmarks import timing
from bfjax.data import sources
from bfjax.formats import recordio

_CHUNK = 100_000
_IMAGES_PER_CLASS = 10
_FOLDER_SHARE = 100  # files are dear: so many times fewer of them


class Opened(NamedTuple):
  """What it took.

  Attributes:
    secs: of opening alone.
    peak_bytes: of the process, everything it has imported included.
    before_bytes: what it held before opening.
  """

  secs: float
  peak_bytes: int
  before_bytes: int


def rows(num_rows: int) -> list[timing.Row]:
  """A list and RecordIO of `num_rows` rows, a folder of fewer."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    options = {'root': name, 'list': _write_list(folder, num_rows)}
    found = _rows('list', num_rows, 'imagelist', {**options, 'check': 'none'})
  with tempfile.TemporaryDirectory() as name:
    _write_records(pathlib.Path(name), num_rows)
    options = {'root': name, 'index_dir': name}
    for what in ('recordio, the first time', 'recordio, indexed'):
      found += _rows(what, num_rows, 'recordio', options)
  with tempfile.TemporaryDirectory() as name:
    few = max(num_rows // _FOLDER_SHARE, 1)
    _write_folders(pathlib.Path(name), few)
    for check in ('none', 'exist'):
      options = {'root': name, 'check': check}
      what = f'folder per class, data.check={check}'
      found += _rows(what, few, 'imagelist', options)
  return found


def _rows(what, num_rows, source, options):
  opened = open_apart(source, num_rows, options)
  classes = -(-num_rows // _IMAGES_PER_CLASS)
  title = f'opening {num_rows:,} rows, {classes:,} classes: {what}'
  before = f'{opened.before_bytes / 1e6:.0f} MB of it before opening'
  return [
    timing.Row(title, 'sources', '', [opened.secs], [], 'seconds'),
    timing.Row(
      f'{title}: peak memory',
      'sources',
      '',
      [opened.peak_bytes],
      [],
      'below 1.5 GiB',
      before,
      'B',
    ),
  ]


def open_apart(name: str, num_rows: int, options: dict) -> Opened:
  """`open_source` in a fresh process."""
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
    return pool.submit(open_source, name, num_rows, options).result()


def open_source(name: str, num_rows: int, options: dict) -> Opened:
  """Opens a source in this process, which has loaded what training needs."""
  importlib.import_module('bfjax.training')
  before = _peak_bytes()
  start = time.perf_counter()
  source = sources.build(name, **options)
  secs = time.perf_counter() - start
  if source.num_rows != num_rows:
    raise AssertionError(f'{source.num_rows} rows of {num_rows}')
  return Opened(secs, _peak_bytes(), before)


def _peak_bytes() -> int:
  """Of this program; `getrusage` counts its parent's memory as well."""
  status = pathlib.Path('/proc/self/status').read_text()
  [line] = (x for x in status.splitlines() if x.startswith('VmHWM:'))
  return int(line.split()[1]) * 1024


def _name(row: int) -> str:
  return f'{row // _IMAGES_PER_CLASS:07d}/{row:08d}.jpg'


def _write_list(folder, num_rows) -> str:
  path = folder / 'list.txt'
  with path.open('w') as file:
    for start in range(0, num_rows, _CHUNK):
      chunk = range(start, min(start + _CHUNK, num_rows))
      file.writelines(f'{_name(i)}  {i // _IMAGES_PER_CLASS}\n' for i in chunk)
  return os.fspath(path)


def _write_records(folder, num_rows) -> None:
  """As `recordio.Writer` does with the shortest image there can be."""
  image = b'\xff\xd8\xff\xd9'
  record = np.dtype(
    [
      *(('magic', '<u4'), ('length', '<u4'), ('flag', '<u4')),
      *(('label', '<f4'), ('id', '<u8'), ('id2', '<u8'), ('image', 'S4')),
    ]
  )
  payload = record.itemsize - recordio.PART.size
  with (
    (folder / 'train.rec').open('wb') as records,
    (folder / 'train.idx').open('w') as index,
  ):
    for start in range(0, num_rows, _CHUNK):
      row = np.arange(start, min(start + _CHUNK, num_rows))
      chunk = np.zeros(len(row), record)
      chunk['magic'], chunk['length'] = recordio.MAGIC, payload
      chunk['label'], chunk['id'] = row // _IMAGES_PER_CLASS, row
      chunk['image'] = image
      chunk.tofile(records)
      index.writelines(f'{i}\t{i * record.itemsize}\n' for i in row.tolist())


def _write_folders(folder, num_rows) -> None:
  for row in range(num_rows):
    path = folder / _name(row)
    if row % _IMAGES_PER_CLASS == 0:
      path.parent.mkdir()
    path.write_bytes(b'\xff')
