"""Labels and names of the records of a TFDS set, read once and kept in a file.

Labels lie inside the records, between the images: 10 million of them are
70 GB to read. So they are written down beside the set, with sizes and times of
its files, by which a change of the set is noticed.
"""

import array
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tqdm

from bfjax import errors, runtime
from bfjax.data import labelled, selection, tfds_sets
from bfjax.data.names import Names
from bfjax.formats import array_records, kept
from bfjax.text import printable

# What is in the file beside labels, which go by the names of features.
_NAMES, _OFFSETS, _STATE = '#names', '#offsets', '#state'


def values(record: bytes, keys: Sequence[str]) -> list:
  """The values of features of a serialised `tf.train.Example`.

  None in place of those that have none or several, and of all if the record is
  no such example.
  """
  from google.protobuf import message
  from tensorflow.core.example import example_pb2

  try:
    features = example_pb2.Example.FromString(record).features.feature
  except message.DecodeError:
    return [None] * len(keys)
  found = []
  for key in keys:
    kind = features[key].WhichOneof('kind') if key in features else None
    several: Sequence = getattr(features[key], str(kind)).value if kind else ()
    found.append(several[0] if len(several) == 1 else None)
  return found


def read(
  records: array_records.Records,
  split: tfds_sets.Split,
  truth: str = '',
  index_dir: str = '',
) -> tuple[Names | None, np.ndarray, np.ndarray | None, Sequence[str]]:
  """Reads what is known of all rows, from the file of it if there is one.

  Args:
    records: those of the split.
    split: what the set says of them. Where labels are mere integers, they are
      numbered in ascending order.
    truth: a list of true labels, or ''.
    index_dir: where the file goes if the set's folder cannot be written to.

  Returns:
    the features `path`, if there are any; labels, int32 [rows]; true labels,
    likewise, if they are known; and the names of the classes.

  Raises:
    UserError: if a record cannot be read, or has no label or one out of range;
      or as `selection.read_truth` does about `truth`.
  """
  table = _table(records, split, index_dir)
  given, class_names = table[split.label_key], split.class_names
  if class_names is None:
    numbers, given = np.unique(given, return_inverse=True)
    class_names = Names.of_numbers(numbers)
  _check(records, given, len(class_names), split.label_key)
  true = table.get('true_label')
  if true is not None:
    members = np.where(true == labelled.NOBODY, 0, true)
    _check(records, members, len(class_names), 'true_label')
  names = None
  if split.has_path:
    names = Names(table[_NAMES].tobytes(), table[_OFFSETS])
  if truth:
    rows = range(len(given))
    named = names or Names.of(f'{split.title}#{row}' for row in rows)
    true = selection.read_truth(
      truth, '', given, names=named, class_names=class_names
    )
  return names, *labelled.used_classes(given, true, class_names)


def _check(records, labels, num_classes, key) -> None:
  wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if len(wrong):
    file, number = records.place(wrong[0])
    raise errors.UserError(
      f'{printable(file)}, record {number}: {key} is {labels[wrong[0]]}, '
      f'but there are {num_classes} classes; {len(wrong)} of {len(labels)} '
      'labels are out of range. A split without labels cannot be trained on.'
    )


def _table(records, split, index_dir) -> dict[str, np.ndarray]:
  """int64 labels by key; names, uint8, and their offsets if there are any."""
  keys = [split.label_key] + ['true_label'] * split.has_truth
  missing = [x.path for x in split.parts if not os.path.isfile(x.path)]
  if missing:
    raise errors.UserError(
      f'{len(missing)} of {len(split.parts)} files of the set are missing, '
      f'{printable(missing[0])} the first. Restore them.'
    )
  files = [
    [os.path.basename(x.path), *(kept.state(x.path) or ()), x.skip, x.take]
    for x in split.parts
  ]
  about = {'files': files, 'keys': keys, 'path': split.has_path}
  digest = hashlib.sha256(f'{split.folder.resolve()}'.encode()).hexdigest()[:16]
  name = ''.join(x if x.isalnum() else '_' for x in split.name)
  other = pathlib.Path(index_dir or runtime.default_cache_dir() / 'tfds')
  paths = [
    split.folder / f'bfjax-{name}.columns.npz',
    other / f'{digest}-{name}.columns.npz',
  ]
  return kept.read_once(
    lambda: _scan(records, keys, split.has_path),
    paths,
    _STATE,
    about,
    lambda table: _fits(table, len(records)),
  )


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


def _scan(records, keys, has_path) -> dict[str, np.ndarray]:
  """Reads all records; returns what `_table` does."""
  columns = {key: array.array('q') for key in keys}
  names, offsets = bytearray(), array.array('q', [0])
  wanted = [*keys, *['path'] * has_path]
  for row in tqdm.trange(
    len(records), desc='Reading the labels', unit_scale=True, delay=1
  ):
    [record] = records.read([row])
    for key, value in zip(wanted, values(record, wanted), strict=True):
      if not isinstance(value, bytes if key == 'path' else int):
        file, number = records.place(row)
        raise errors.UserError(
          f'{printable(file)}, record {number} has no value of the feature '
          f'{key!r}. Prepare the set again.'
        )
      if isinstance(value, bytes):
        names += value
        offsets.append(len(names))
      else:
        columns[key].append(value)
  table = {key: np.array(column) for key, column in columns.items()}
  if has_path:
    table |= {
      _NAMES: np.frombuffer(names, np.uint8),
      _OFFSETS: np.array(offsets),
    }
  return table
