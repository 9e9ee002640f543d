"""Where the records of a file are, and their labels: read once, then kept.

`train.idx` has a line `key<TAB>offset` for each record of `train.rec`. Where
there is none, or it is that of another file, the records are found by one scan
of the file. Either way their heads are read once, and all is kept in one file
that opens in a second; it holds good as long as size and time of the records
and of their index are what they were.
"""

import array
import hashlib
import logging
import os
import pathlib

import numpy as np

from bfjax import errors, runtime, text
from bfjax.formats import kept, recordfiles, recordio, recordscan
from bfjax.text import printable

_log = logging.getLogger(__name__)

_VERSION = 1
_CHUNK_BYTES = 1 << 24
_MAX_DIGITS = 18  # those of an int64
_REMEDY = 'Remove the file: the index is then made anew.'


def read(
  file: recordfiles.RecordFile, index_dir: str = '', progress: bool = True
) -> recordscan.Heads:
  """All records by key, from the file of them or, if there is none, read now.

  Places where a record should start and none does come first, with the key -1.

  Args:
    file: the records, `train.rec`; `train.idx` is looked for beside it.
    index_dir: where they are kept; '' for the cache folder of `bfjax.runtime`.
    progress: whether to show a progress bar.

  Raises:
    UserError: if a line of `train.idx` is wrong, or the file cannot be read.
  """
  index = recordio.index_path(file.path)
  state = kept.state(file.path)
  stamp = {'version': _VERSION, 'records': state, 'index': kept.state(index)}
  # Lost places are among the records; a file may also count them apart.
  about = {'stamp': stamp, 'lost': [], 'num_lost': 0}
  folder = pathlib.Path(index_dir or runtime.default_cache_dir() / 'recordio')
  # Several sets may have one folder.
  real = os.fsencode(os.path.realpath(file.path))
  digest = hashlib.sha256(real).hexdigest()[:8]
  paths = [folder / f'{os.path.basename(file.path)}.{digest}.npz']
  if arrays := kept.load(paths, 'about', about, _fits):
    return recordscan.Heads(*(arrays[x] for x in recordscan.Heads._fields))
  heads = _build(file, index, progress)
  if kept.state(file.path) == state:
    kept.save(paths, 'about', about, heads._asdict())
  return heads


def _fits(arrays) -> bool:
  columns = [arrays[name] for name in recordscan.Heads._fields]
  return len({column.shape for column in columns}) == 1 == columns[0].ndim


def _build(file, index, progress) -> recordscan.Heads:
  if not os.path.isfile(index):
    _log.info('%s is not there: the records are looked for.', printable(index))
    return _by_scan(file, progress)
  listed = _by_index(file, index, progress)
  if not (listed.codes == recordfiles.NO_RECORD).any():
    return listed
  found = _by_scan(file, progress)
  if found.codes.any():
    return listed  # it is the records that are wrong
  _log.warning(
    '%s is not the index of %s: the records are where a scan has found them.',
    printable(index),
    printable(file.path),
  )
  return found


def _by_index(file, index, progress) -> recordscan.Heads:
  keys, offsets = parse(index)
  if (offsets[1:] < offsets[:-1]).any():
    order = np.argsort(offsets, kind='stable')
    keys, offsets = keys[order], offsets[order]
  heads = recordscan.read(file, offsets, progress)
  heads = heads._replace(keys=keys).by_key()
  keys = heads.keys
  twice = np.flatnonzero(keys[1:] == keys[:-1])
  if len(twice):
    first, second = heads.offsets[twice[0] : twice[0] + 2]
    raise errors.UserError(
      f'{printable(index)} lists the key {keys[twice[0]]} twice, at the '
      f'bytes {first} and {second}. Remove one of the lines, or the file: the '
      'index is then made anew.'
    )
  return heads


def _by_scan(file, progress) -> recordscan.Heads:
  """Keys are the ids of the records or, if two are equal, their numbers."""
  heads = recordscan.scan(file, progress)
  good = heads.codes == recordfiles.GOOD
  ids = heads.keys[good]
  if (ids < 0).any() or len(np.unique(ids)) < len(ids):
    ids = np.arange(len(ids))
  heads.keys[good] = ids
  heads.keys[~good] = -1
  return heads.by_key()


def parse(path: str) -> tuple[np.ndarray, np.ndarray]:
  """Reads a file of lines `key<TAB>offset`.

  Blanks, empty lines, CRLF and a missing last line end do no harm.

  Returns:
    (keys, offsets), int64 [n] each, in the order of the lines.

  Raises:
    UserError: if it cannot be read or a line is wrong; the message names it.
  """
  pairs = _parse_plain(path)
  if pairs is None:
    found = array.array('q')
    for number, line in text.byte_lines(path, 'the index', _REMEDY):
      words = line.split()
      if len(words) != 2 or not all(map(_is_number, words)):
        raise text.bad_line(
          path, number, line, '`key, tab, offset`, two integers from 0'
        )
      found.extend(map(int, words))
    pairs = np.array(found, np.int64).reshape([-1, 2])
  return tuple(np.ascontiguousarray(pairs.T))


def _parse_plain(path) -> np.ndarray | None:
  """int64 [n, 2], quickly; None unless all lines are as MXNet writes them."""
  parts = [np.zeros([0, 2], np.int64)]
  with text.reading(path, 'the index', _REMEDY) as file:
    while lines := file.read(_CHUNK_BYTES):
      lines += file.readline(text.MAX_LINE_BYTES)
      lines = lines.removesuffix(b'\n') + b'\n'
      num_lines = lines.count(b'\n')
      if lines.translate(None, b'0123456789') != b'\t\n' * num_lines:
        return None
      values = np.fromstring(lines, np.int64, sep=' ')
      if len(values) != 2 * num_lines or values.max() >= 10**_MAX_DIGITS:
        return None
      parts.append(values.reshape([-1, 2]))
  return np.concatenate(parts)


def _is_number(word: bytes) -> bool:
  return word.isdigit() and len(word) <= _MAX_DIGITS
