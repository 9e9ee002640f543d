"""A set of TensorFlow Datasets, in ArrayRecord files."""

import os
import pathlib
import re

import numpy as np

from bfjax import errors
from bfjax.datasets import ondisk
from bfjax.text import printable

ROWS_PER_SHARD = 50_000
_SPLIT = 'train'
_NAME = re.compile(r'[a-zA-Z]\w*', re.ASCII)
_VERSION = re.compile('(0|[1-9][0-9]*)([.](0|[1-9][0-9]*)){2}')


class TfdsWriter:
  """A `layouts.Writer` of TFDS sets."""

  def __init__(self, name: str, version: str, rows_per_shard: int):
    self._name, self._version = name, version
    self._rows_per_shard = rows_per_shard

  def order(self, source):
    from bfjax.datasets import tfds_builders

    tfds_builders.check_class_names(source.class_names)
    return np.arange(source.num_rows)

  def open(self, folder, source, order, state):
    return _Sink(
      folder,
      source,
      state,
      name=self._name,
      version=self._version,
      rows_per_shard=self._rows_per_shard,
    )

  def read(self, folder):
    found = ondisk.detect(str(folder), format='tfds')
    return ondisk.open_source(found)


class _Sink:
  def __init__(self, folder, source, state, *, name, version, rows_per_shard):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import example_serializer

    from bfjax.datasets import tfds_builders

    self._folder, self._source = pathlib.Path(folder), source
    self._name, self._version = name, version
    self._features = tfds_builders.features(source)
    self._example = tfds_builders.example
    self._serializer = example_serializer.ExampleSerializer(
      self._features.get_serialized_info()
    )
    self._template = tfds.core.ShardedFileTemplate(
      data_dir=self._folder,
      dataset_name=name,
      split=_SPLIT,
      filetype_suffix='array_record',
    )
    self._rows_per_shard = rows_per_shard
    self._lengths = list(state.get('shards', ()))
    self._num_bytes = state.get('num_bytes', 0)
    self._row = sum(self._lengths)
    self._writer = None

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    # What is not complete has the name of a draft, and is written again.
    self._writer = None

  def _path(self, number: int) -> str:
    num_shards = -(-self._source.num_rows // self._rows_per_shard)
    path = self._template.sharded_filepath(
      shard_index=number, num_shards=num_shards
    )
    return os.fspath(path)

  def add(self, encoded):
    from array_record.python import array_record_module

    row = self._row
    path = self._path(len(self._lengths))
    example = self._serializer.get_tf_example(
      self._features.encode_example(self._example(self._source, row, encoded))
    )
    # Otherwise features would come in another order in each process.
    record = example.SerializeToString(deterministic=True)
    try:
      if self._writer is None:
        self._shard_bytes = 0
        # Images are compressed already.
        self._writer = array_record_module.ArrayRecordWriter(
          _draft(path), 'group_size:1,uncompressed'
        )
      self._writer.write(record)
      self._row += 1
      self._shard_bytes += len(record)
      is_last = self._row == self._source.num_rows
      if is_last or self._row % self._rows_per_shard == 0:
        self._writer.close()
        self._writer = None
    except RuntimeError as error:  # which the library raises for all
      raise errors.UserError(
        f'Cannot write {printable(path)}: {error}. If the disk is full, make '
        'room and start the same command again: it goes on.'
      ) from error
    if self._writer is None:
      os.replace(_draft(path), path)
      self._lengths.append(self._row - sum(self._lengths))
      self._num_bytes += self._shard_bytes

  def save(self):
    return {
      'rows': sum(self._lengths),
      'shards': self._lengths,
      'num_bytes': self._num_bytes,
    }

  def finish(self):
    import tensorflow_datasets as tfds

    from bfjax.datasets import tfds_builders

    tfds.folder_dataset.write_metadata(
      data_dir=self._folder,
      features=self._features,
      split_infos=[
        tfds.core.SplitInfo(
          name=_SPLIT,
          shard_lengths=self._lengths,
          num_bytes=self._num_bytes,
          filename_template=self._template,
        )
      ],
      version=self._version,
      filename_template=self._template,
      check_data=False,  # it would read it through tf.data, which cannot
      description=tfds_builders.DESCRIPTION,
      supervised_keys=('image', 'label'),
      disable_shuffling=True,
    )


def _draft(path: str) -> str:
  folder, name = os.path.split(path)
  return os.path.join(folder, f'.{name}.draft')


def split_path(out: pathlib.Path) -> tuple[pathlib.Path, str, str]:
  """DATA_DIR/NAME or DATA_DIR/NAME/VERSION -> (folder, name, version).

  Raises:
    UserError: if TFDS could not call a set so.
  """
  if not _VERSION.fullmatch(out.name):
    out = out / '1.0.0'
  name = out.parent.name
  if not _NAME.fullmatch(name):
    raise errors.UserError(
      f'--out {printable(str(out.parent))}: its last part is the name of the '
      f'set, and "{printable(name)}" cannot be one: letters, digits and _ '
      'make a name, and a letter comes first.'
    )
  return out, name, out.name


def build(
  *, dataset: str, version: str, rows_per_shard: int = ROWS_PER_SHARD
) -> TfdsWriter:
  """ArrayRecord files with features image, label, row, path and true_label.

  Args:
    dataset: the name of the set.
    version: of the set, '1.0.0'.
    rows_per_shard: images in a file. What a killed run has begun of a file is
      written again.

  Raises:
    UserError: if `rows_per_shard` is not positive.
  """
  if rows_per_shard < 1:
    raise errors.UserError(
      f'rows_per_shard must be 1 or more, not {rows_per_shard}.'
    )
  return TfdsWriter(dataset, version, rows_per_shard)
