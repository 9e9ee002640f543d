"""Labels and names of the records of a TFDS set, read once and kept in a file.

Labels lie inside the records, between the images: 10 million of them are
70 GB to read. So they are written down beside the set, with sizes and times of
its files, by which a change of the set is noticed.
"""

import hashlib
import json
import logging
import os
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tqdm

from bfjax import atomic, errors, runtime
from bfjax.data import labelled, selection
from bfjax.data.names import Names
from bfjax.text import printable

_log = logging.getLogger(__name__)

_BLOCK = 1024
# What is in the file beside labels, which go by the names of features.
_NAMES, _OFFSETS, _STATE = '#names', '#offsets', '#state'


class Columns(NamedTuple):
  """What is known of all rows without reading the images.

  Attributes:
    labels: int32 [rows].
    true_labels: int32 [rows], or None.
    class_names: of each class.
    names: the features `path`, or None.
    fingerprint: see `labelled.Source`.
  """

  labels: np.ndarray
  true_labels: np.ndarray | None
  class_names: Sequence[str]
  names: Names | None
  fingerprint: str

  def name(self, row: int) -> str:
    """The feature `path` of a row; '' if there is none."""
    return self.names[row] if self.names else ''


def one_value(features, key: str):
  """The only value of a feature, or None if it has another number of them.

  Args:
    features: what `parse` returns.
    key: of the feature.
  """
  if features is None or key not in features:
    return None
  feature = features[key]
  kind = feature.WhichOneof('kind')
  found = getattr(feature, kind).value if kind else ()
  return found[0] if len(found) == 1 else None


def parse(record: bytes):
  """The features of a serialised `tf.train.Example`; None if it is not one."""
  from google.protobuf import message
  from tensorflow.core.example import example_pb2

  try:
    return example_pb2.Example.FromString(record).features.feature
  except message.DecodeError:
    return None


def read(
  records,
  parts,
  *,
  folder: pathlib.Path,
  split: str,
  title: str,
  label_key: str,
  class_names: Sequence[str] | None,
  has_path: bool,
  has_truth: bool,
  truth: str,
  index_dir: str,
) -> Columns:
  """Reads the columns, from the file of them if there is one.

  Args:
    records: an `array_records.Records`.
    parts: what they are made of.
    folder: of the set.
    split: of the set.
    title: what rows without a path are named by.
    label_key: the feature of the label.
    class_names: of the labels; None where labels are mere integers, which are
      then numbered in ascending order.
    has_path: whether there is a feature `path`.
    has_truth: whether there is a feature `true_label`.
    truth: a list of true labels, or ''.
    index_dir: where the file goes if the folder cannot be written to.

  Raises:
    UserError: if a record cannot be read, or has no label or one out of range;
      or as `selection.relabel` does about `truth`.
  """
  keys = [label_key] + ['true_label'] * has_truth
  wanted = _state(parts, keys, has_path)
  table = _kept(folder, split, index_dir, wanted, len(records))
  if table is None:
    table = _scan(records, keys, has_path)
    _keep(table, folder, split, index_dir, wanted)
  given = table.pop(label_key)
  if class_names is None:
    numbers, given = np.unique(given, return_inverse=True)
    class_names = Names.of_numbers(numbers)
  _check(records, given, len(class_names), label_key)
  true = table.pop('true_label', None)
  if true is not None:
    members = true != labelled.NOBODY
    _check(records, np.where(members, true, 0), len(class_names), 'true_label')
  names = None
  if has_path:
    names = Names(table.pop(_NAMES).tobytes(), table[_OFFSETS])
  named = names or Names.of(f'{title}#{row}' for row in range(len(given)))
  if truth:
    true = selection.read_truth(
      truth, '', given, names=named, class_names=class_names
    )
  labels, true, class_names = labelled.used_classes(given, true, class_names)
  fingerprint = labelled.fingerprint(named.all_encoded(), labels)
  return Columns(labels, true, class_names, names, fingerprint)


def _check(records, labels, num_classes, key) -> None:
  wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if len(wrong):
    file, number = records.place(wrong[0])
    raise errors.UserError(
      f'{printable(file)}, record {number}: {key} is {labels[wrong[0]]}, '
      f'but there are {num_classes} classes; {len(wrong)} of {len(labels)} '
      'labels are out of range. A split without labels cannot be trained on.'
    )


def _scan(records, keys, has_path) -> dict[str, np.ndarray]:
  """Reads all records: int64 labels by key; names, uint8, and offsets."""
  table = {key: np.empty(len(records), np.int64) for key in keys}
  names = bytearray()
  offsets = np.zeros(len(records) + 1, np.int64)
  with tqdm.tqdm(
    total=len(records),
    desc='Reading the labels, once',
    unit='image',
    unit_scale=True,
  ) as bar:
    for row, found in _features(records, [*keys, *['path'] * has_path]):
      for key, column in table.items():
        column[row] = found[key]
      if has_path:
        names += found['path']
        offsets[row + 1] = len(names)
      bar.update()
  if has_path:
    table |= {_NAMES: np.frombuffer(names, np.uint8), _OFFSETS: offsets}
  return table


def _features(records, keys) -> Iterator[tuple[int, dict]]:
  for start, block in records.blocks(_BLOCK):
    for row, record in enumerate(block, start):
      features = parse(record)
      found = {key: one_value(features, key) for key in keys}
      for key, value in found.items():
        if not isinstance(value, bytes if key == 'path' else int):
          file, number = records.place(row)
          raise errors.UserError(
            f'{printable(file)}, record {number} has no value of the feature '
            f'{key!r}. Prepare the set again.'
          )
      yield row, found


def _state(parts, keys, has_path) -> str:
  """What the columns are of, in JSON: another set gives another text."""
  found = []
  for part in parts:
    name = os.path.basename(part.path)
    try:
      status = os.stat(part.path)
    except OSError as error:
      raise errors.UserError(
        f'Cannot read {printable(part.path)}: {error.strerror}.'
      ) from error
    if part.take > status.st_size:
      raise errors.UserError(
        f'{printable(part.path)} has {status.st_size} bytes, and the set says '
        f'that it has {part.take} records. Prepare the set again.'
      )
    found.append(
      [name, status.st_size, status.st_mtime_ns, part.skip, part.take]
    )
  return json.dumps({'files': found, 'keys': keys, 'path': has_path})


def _places(folder, split, index_dir) -> list[pathlib.Path]:
  """Where the file may lie, best first."""
  digest = hashlib.sha256(f'{folder.resolve()}'.encode()).hexdigest()[:16]
  name = ''.join(x if x.isalnum() else '_' for x in split)
  other = pathlib.Path(index_dir or runtime.default_cache_dir() / 'tfds')
  return [
    folder / f'bfjax-{name}.columns.npz',
    other / f'{digest}-{name}.columns.npz',
  ]


def _kept(
  folder, split, index_dir, wanted, num_rows
) -> dict[str, np.ndarray] | None:
  """The table in the file, if it is there and of this very set."""
  # What `np.load` says of files that are none of `np.savez`; it runs no code.
  damaged = (
    *(OSError, ValueError, KeyError, EOFError, TypeError),
    zipfile.BadZipFile,
  )
  for path in _places(folder, split, index_dir):
    try:
      with path.open('rb') as opened, np.load(opened) as file:
        if bytes(file[_STATE]).decode() != wanted:
          continue
        table = {name: file[name] for name in file.files if name != _STATE}
      if _fits(table, num_rows):
        return table
      raise ValueError('its columns are of other lengths')
    except FileNotFoundError:
      continue
    except damaged as error:
      _log.warning('%s is damaged (%s) and is made anew.', path, error)
  return None


def _fits(table, num_rows) -> bool:
  names = table.get(_NAMES, np.zeros(0))
  ends = table.get(_OFFSETS, np.zeros(num_rows + 1))
  return (
    all(x.ndim == 1 and x.dtype.kind in 'iu' for x in table.values())
    and all(len(x) == num_rows for k, x in table.items() if k[0] != '#')
    and len(ends) == num_rows + 1
    and ends[0] == 0
    and ends[-1] == len(names)
    and bool((ends[1:] >= ends[:-1]).all())
  )


def _keep(table, folder, split, index_dir, wanted) -> None:
  """Writes the file at the first place that can be written to."""
  state = np.frombuffer(wanted.encode(), np.uint8)
  problems = []
  for path in _places(folder, split, index_dir):
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      with atomic.writing(path) as draft, draft.open('wb') as file:
        np.savez(file, **{_STATE: state, **table})
      return
    except OSError as error:
      problems.append(f'{path}: {error.strerror}')
  _log.warning(
    'The labels cannot be kept and will be read again next time (%s).',
    '; '.join(problems),
  )
