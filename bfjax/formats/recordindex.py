"""Where the records of a file are, and their labels: read once, then kept.

`train.idx` has a line `key<TAB>offset` for each record of `train.rec`. Where
there is none, or it is that of another file, the records are found by one scan
of the file. Either way their headers are read once, and all is kept in one file
that opens in a second; it holds good as long as size and time of the records
and of their index are what they were.
"""

import hashlib
import json
import logging
import os
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np

from bfjax import atomic, errors, runtime
from bfjax.formats import recordfiles, recordio, recordscan
from bfjax.text import printable

_log = logging.getLogger(__name__)

_VERSION = 1
_CHUNK_BYTES = 1 << 24
_MAX_LINE_BYTES = 200
_MAX_DIGITS = 18  # those of an int64
_TAB, _NEWLINE, _ZERO, _NINE = b'\t\n09'


class Catalogue(NamedTuple):
  """The records of a file, by ascending key.

  Attributes:
    keys: int64 [n], all different.
    offsets: int64 [n], of the first byte.
    sizes: uint32 [n], bytes of the record, or of its first part.
    labels: float32 [n], the label, or the first of several.
    codes: uint8 [n], what is wrong with the record, an index of
      `recordscan.PROBLEMS`; 0 if nothing is.
    lost: the first places where the file holds no record, as text.
    num_lost: how many there are.
  """

  keys: np.ndarray
  offsets: np.ndarray
  sizes: np.ndarray
  labels: np.ndarray
  codes: np.ndarray
  lost: tuple[str, ...]
  num_lost: int


_COLUMNS = Catalogue._fields[:5]


def open_catalogue(
  file: recordfiles.RecordFile, index_dir: str = '', progress: bool = True
) -> Catalogue:
  """What is kept of the records, made now if it is not or no longer true.

  Args:
    file: the records, `train.rec`; `train.idx` is looked for beside it.
    index_dir: where it is kept; '' for the cache folder of `bfjax.runtime`.
    progress: whether to show a progress bar.

  Raises:
    UserError: if a line of `train.idx` is wrong.
  """
  index = recordio.index_path(file.path)
  stamp = {
    'version': _VERSION,
    'records': _state(file.path),
    'index': _state(index),
  }
  folder = pathlib.Path(index_dir or runtime.default_cache_dir() / 'recordio')
  kept = folder / _kept_name(file.path)
  found = _load(kept, stamp)
  if found is None:
    found = _build(file, index, progress)
    if _state(file.path) == stamp['records']:
      _save(kept, stamp, found)
  return found


def _build(file, index, progress) -> Catalogue:
  if not os.path.isfile(index):
    _log.info('%s is not there: the records are looked for.', printable(index))
    return _by_scan(file, progress)
  listed = _by_index(file, index, progress)
  if not (listed.codes == recordscan.NO_RECORD).any():
    return listed
  found = _by_scan(file, progress)
  if found.num_lost:
    return listed  # it is the records that are wrong
  _log.warning(
    '%s is not the index of %s: the records are where a scan has found them.',
    printable(index),
    printable(file.path),
  )
  return found


def _by_index(file, index, progress) -> Catalogue:
  keys, offsets = parse(index)
  if (np.diff(offsets) < 0).any():
    order = np.argsort(offsets, kind='stable')
    keys, offsets = keys[order], offsets[order]
  headers = recordscan.read(file, offsets, progress)
  keys, columns = _by_key(keys, headers)
  offsets = columns[0]
  twice = np.flatnonzero(keys[1:] == keys[:-1])
  if len(twice):
    first, second = offsets[keys == keys[twice[0]]][:2]
    raise errors.UserError(
      f'{printable(index)} lists the key {keys[twice[0]]} twice, at the '
      f'bytes {first} and {second}. Remove one of the lines, or the file: the '
      'index is then made anew.'
    )
  return Catalogue(keys, *columns, (), 0)


def _by_scan(file, progress) -> Catalogue:
  """Keys are the ids of the records or, if two are equal, their numbers."""
  headers, lost = recordscan.scan(file, progress)
  bad = np.flatnonzero(headers.codes != recordscan.GOOD)
  for row in bad:
    problem = f'this record {recordscan.PROBLEMS[headers.codes[row]]}'
    lost.add(int(headers.offsets[row]), problem)
  if len(bad):
    good = headers.codes == recordscan.GOOD
    headers = recordscan.Headers(*(column[good] for column in headers))
  keys, columns = _by_key(headers.ids, headers)
  if len(keys) and ((keys[1:] == keys[:-1]).any() or keys[-1] >= 2**63):
    keys, columns = _by_key(np.arange(len(keys)), headers)
  return Catalogue(
    keys.astype(np.int64), *columns, tuple(lost.first), lost.count
  )


def _by_key(keys, headers):
  """Both, by ascending key; of the headers without the ids."""
  columns = [headers.offsets, headers.sizes, headers.labels, headers.codes]
  if (keys[1:] < keys[:-1]).any():
    order = np.argsort(keys, kind='stable')
    keys, columns = keys[order], [column[order] for column in columns]
  return keys, columns


def parse(path: str) -> tuple[np.ndarray, np.ndarray]:
  """Reads a file of lines `key<TAB>offset`.

  Blanks, empty lines, CRLF and a missing last line end do no harm.

  Returns:
    (keys, offsets), int64 [n] each, in the order of the lines.

  Raises:
    UserError: if it cannot be read or a line is wrong; the message names it.
  """
  parsed = [np.zeros([0, 2], np.int64)]
  number = 1
  try:
    with open(path, 'rb') as file:
      rest = b''
      while chunk := file.read(_CHUNK_BYTES):
        rest += chunk
        end = rest.rfind(b'\n') + 1
        lines, rest = rest[:end], rest[end:]
        if len(rest) > _MAX_LINE_BYTES:
          number += lines.count(b'\n')
          raise errors.UserError(_line_problem(path, number, rest))
        found, number = _parse_lines(path, lines, number)
        parsed.append(found)
      found, _ = _parse_lines(path, rest + b'\n', number)
      parsed.append(found)
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the index {printable(path)}: {error.strerror}.'
    ) from error
  keys = np.concatenate([pairs[:, 0] for pairs in parsed])
  return keys, np.concatenate([pairs[:, 1] for pairs in parsed])


def _parse_lines(path, lines, number):
  """(int64 [n, 2], the number of the line after them)."""
  after = number + lines.count(b'\n')
  found = _parse_plain(lines)
  if found is not None:
    return found, after
  pairs = []
  for place, line in enumerate(lines.split(b'\n')):
    words = line.split()
    if len(words) == 2 and all(map(_is_number, words)):
      pairs.append((int(words[0]), int(words[1])))
    elif words:
      raise errors.UserError(_line_problem(path, number + place, line))
  return np.array(pairs, np.int64).reshape([-1, 2]), after


def _parse_plain(lines: bytes) -> np.ndarray | None:
  """The same without a loop over lines; None unless all are as MXNet's."""
  text = np.frombuffer(lines, np.uint8)
  ends = np.flatnonzero((text == _TAB) | (text == _NEWLINE))
  marks = text[ends]
  if len(ends) % 2 or (marks[::2] != _TAB).any() or (marks[1::2] == _TAB).any():
    return None
  digits = np.diff(ends, prepend=-1) - 1
  is_digit = (text >= _ZERO) & (text <= _NINE)
  if not len(ends) or is_digit.sum() != len(text) - len(ends):
    return None
  if digits.min() < 1 or digits.max() > _MAX_DIGITS:
    return None
  values = np.zeros(len(ends), np.int64)
  fewest = digits.min()
  for place in range(int(digits.max())):
    there = np.flatnonzero(digits > place) if place >= fewest else slice(None)
    digit = text[ends[there] - 1 - place] - _ZERO
    values[there] += digit * np.int64(10**place)
  return values.reshape([-1, 2])


def _is_number(word: bytes) -> bool:
  return word.isdigit() and len(word) <= _MAX_DIGITS


def _line_problem(path, number, line) -> str:
  shown = line.strip()[:80].decode('utf-8', 'backslashreplace')
  return (
    f'{printable(path)}:{number}: the line {shown!r} is not `key, tab, '
    'offset`, two integers from 0. Remove the file: the index is then made '
    'anew.'
  )


def _state(path) -> list[int] | None:
  """Size and time of a file, None if there is none."""
  try:
    status = os.stat(path)
  except OSError:
    return None
  return [status.st_size, status.st_mtime_ns]


def _kept_name(path) -> str:
  """Of the file for these records: several sets may have one folder."""
  digest = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
  return f'{os.path.basename(path)}.{digest[:8]}.npz'


def _save(path, stamp, catalogue) -> None:
  about = {
    'stamp': stamp,
    'lost': catalogue.lost,
    'num_lost': catalogue.num_lost,
  }
  arrays = {name: getattr(catalogue, name) for name in _COLUMNS}
  encoded = np.frombuffer(json.dumps(about).encode(), np.uint8)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.writing(path) as draft, draft.open('wb') as file:
      np.savez(file, about=encoded, **arrays)
  except OSError as error:
    _log.warning(
      'Cannot keep the index in %s: %s. It is made anew the next time.',
      printable(str(path)),
      error.strerror,
    )


def _load(path, stamp) -> Catalogue | None:
  """What was kept, if it is whole and true."""
  try:
    with open(path, 'rb') as file, np.load(file) as kept:
      about = json.loads(kept['about'].tobytes())
      if about['stamp'] != stamp:
        return None
      columns = [kept[name] for name in _COLUMNS]
  except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
    return None
  return Catalogue(*columns, tuple(about['lost']), about['num_lost'])
