"""The records of a file, read once, then kept; which of them are images.

`train.idx` has a line `key<TAB>offset` for each record of `train.rec`. Where
there is none, or it is that of another file, the records are found by one scan
of the file. Either way their heads are read once, and all is kept in one file
that opens in a second; it holds good as long as size and time of the records
and of their index are what they were.
"""

import contextlib
import hashlib
import logging
import os
import pathlib

import numpy as np

from bfjax import errors, runtime
from bfjax.formats import kept, recordfiles, recordio, recordscan
from bfjax.text import NAMES_SHOWN, first_lines, printable

_log = logging.getLogger(__name__)

# float32 holds each integer up to here.
_EXACT = 2**24
# Rows are int32.
_MAX_END = 2**31


def read(file: recordfiles.RecordFile, index_dir: str = '') -> recordscan.Heads:
  """All records by key, from the file of them or, if there is none, read now.

  Places where a record should start and none does come first, with the key -1.

  Args:
    file: the records, `train.rec`; `train.idx` is looked for beside it.
    index_dir: where they are kept; '' for the cache folder of `bfjax.runtime`.

  Raises:
    UserError: if a line of `train.idx` is wrong, or the file cannot be read.
  """
  index = recordio.index_path(file.path)
  states = {'records': kept.state(file.path), 'index': kept.state(index)}
  # Lost places are among the records; a file may also count them apart.
  about = {'stamp': {'version': 1, **states}, 'lost': [], 'num_lost': 0}
  folder = pathlib.Path(index_dir or runtime.default_cache_dir() / 'recordio')
  # Several sets may have one folder.
  real = os.fsencode(os.path.realpath(file.path))
  digest = hashlib.sha256(real).hexdigest()[:8]
  arrays = kept.read_once(
    lambda: _read(file, index)._asdict(),
    [folder / f'{os.path.basename(file.path)}.{digest}.npz'],
    'about',
    about,
    _fits,
  )
  return recordscan.Heads(*(arrays[x] for x in recordscan.Heads._fields))


def _fits(arrays) -> bool:
  columns = [arrays[name] for name in recordscan.Heads._fields]
  return len({column.shape for column in columns}) == 1 == columns[0].ndim


def _read(file, index) -> recordscan.Heads:
  if not os.path.isfile(index):
    _log.info('%s is not there: the records are looked for.', printable(index))
    return _by_scan(file)
  listed = _by_index(file, index)
  if not (listed.codes == recordfiles.NO_RECORD).any():
    return listed
  found = _by_scan(file)
  if found.codes.any():
    return listed  # it is the records that are wrong
  _log.warning(
    '%s is not the index of %s: the records are where a scan has found them.',
    printable(index),
    printable(file.path),
  )
  return found


def _by_index(file, index) -> recordscan.Heads:
  keys, offsets = recordscan.parse(index)
  if (offsets[1:] < offsets[:-1]).any():
    order = np.argsort(offsets, kind='stable')
    keys, offsets = keys[order], offsets[order]
  heads = recordscan.read(file, offsets)
  by_key = np.argsort(keys, kind='stable')
  heads = heads._replace(keys=keys).take(by_key)
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


def _by_scan(file) -> recordscan.Heads:
  """Keys are the ids of the records or, if two are equal, their numbers."""
  heads = recordscan.scan(file)
  good = heads.codes == recordfiles.GOOD
  ids = heads.keys[good]
  if (ids < 0).any() or len(np.unique(ids)) < len(ids):
    ids = np.arange(len(ids))
  heads.keys[good] = ids
  heads.keys[~good] = -1
  return heads.take(np.argsort(heads.keys, kind='stable'))


def images(
  file: recordfiles.RecordFile,
  heads: recordscan.Heads,
  *,
  num_classes: int,
  on_error: str,
) -> tuple[recordscan.Heads, int]:
  """Chooses the records that are images with a usable label.

  Where record 0 has labels [N + 1, E] and no image, images have the keys
  1 .. N; else every record is one.

  Args:
    file: the records.
    heads: of all of them, as `read` returns them.
    num_classes: labels must be smaller than this; 0 for no such limit.
    on_error: 'error' or 'skip': what is done about damaged records.

  Returns:
    those that are usable images, and how many others are left out.

  Raises:
    UserError: if there are damaged ones and on_error='error', or the damage
      is such that images cannot be told from other records.
  """
  num_lost = int(np.searchsorted(heads.keys, 0))
  lost = heads.take(slice(num_lost))
  heads, num_missing, problems = _image_records(
    file, heads.take(slice(num_lost, None))
  )
  limit = min(num_classes or _EXACT, _EXACT)
  expected = f'an integer from 0 to {limit - 1}'
  if limit < _EXACT:
    expected += ' (data.num_classes)'
  labels = heads.labels
  with np.errstate(invalid='ignore'):  # false for NaN, as it should be
    fits = (labels >= 0) & (labels < limit) & (labels == np.floor(labels))
  is_whole = heads.codes == recordfiles.GOOD
  good = is_whole & fits
  num_left_out = num_lost + num_missing + int((~good).sum())
  if not num_left_out:
    return heads, 0
  for bad in (lost, heads.take(~is_whole), heads.take(is_whole & ~fits)):
    for key, at, _, label, code in zip(
      *bad.take(slice(NAMES_SHOWN)), strict=True
    ):
      what = recordfiles.PROBLEMS[code]
      if code == recordfiles.GOOD:
        what = f'has the label {label:.9g}; expected: {expected}'
      name = f'key {key} ' if key >= 0 else ''
      problems.append(f'{name}at byte {at}: it {what}')
  lines = first_lines(problems[:NAMES_SHOWN], num_left_out)
  text = (
    f'{printable(file.path)}: {num_left_out} records cannot be used:\n{lines}'
  )
  if on_error == 'error':
    raise errors.UserError(
      f'{text}\nGet the file again, or train without these records by '
      "data.on_error='skip'."
    )
  _log.warning('%s\nThey are left out.', text)
  return heads.take(good), num_left_out


def _image_records(file, heads) -> tuple[recordscan.Heads, int, list[str]]:
  """(the images among the records, how many are missing, what is wrong)."""
  if not len(heads.keys) or heads.keys[0] != 0:
    return heads, 0, []
  where = f'{printable(file.path)}: key 0 at byte {heads.offsets[0]}'
  try:
    record = file.read(int(heads.offsets[0]))
  except ValueError as error:
    raise errors.UserError(
      f'{where}: {error}. It may tell which records are images: without it the '
      'set cannot be read. Get the file again.'
    ) from error
  if record.is_scalar or record.image:
    return heads, 0, []
  told = float(record.labels[0])
  if not 1 <= told <= _MAX_END or not told.is_integer():
    raise errors.UserError(
      f'{where}: it says that the images end before the key {told}. Expected: '
      f'an integer from 1 to {_MAX_END}. Get the file again.'
    )
  end = _exact_end(file, heads, int(told))
  heads = heads.take(slice(*np.searchsorted(heads.keys, [1, end])))
  num_missing = end - 1 - len(heads.keys)
  if not num_missing:
    return heads, 0, []
  is_gap = heads.keys != np.arange(1, 1 + len(heads.keys))
  first = 1 + int(np.argmax(np.append(is_gap, True)))
  what = f'it is not in the index, and there are {end - 1} images'
  return heads, num_missing, [f'key {first}: {what}']


def _exact_end(file, heads, end: int) -> int:
  """The key after the last image; float32 has told it nearly.

  Records of identities hold no image: the first of those is where images end.
  """
  if end <= _EXACT:
    return end
  error = int(np.spacing(np.float32(end)))
  nearby = np.searchsorted(heads.keys, [end - error, end + error + 1])
  for row in range(*nearby):
    # One that is damaged is told of with the others.
    with contextlib.suppress(ValueError):
      if not file.read(int(heads.offsets[row])).image:
        return int(heads.keys[row])
  return end
