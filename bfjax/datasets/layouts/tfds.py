"""A set of TensorFlow Datasets, in ArrayRecord files.

TensorFlow Datasets takes seconds to import, so that is done when it is needed.
"""

import dataclasses
import glob
import os
import pathlib
import re
from collections.abc import Iterable

import numpy as np

from bfjax import errors
from bfjax.data import labelled, tfds_sets
from bfjax.datasets import layouts
from bfjax.text import printable

SOURCE = 'tfds'
DESCRIPTION = (
  'Face images with the labels they were given. The encoded images are the '
  'bytes of the original files, and rows lie in the original order.'
)
_SPLIT = 'train'
_NAME = re.compile(r'[a-zA-Z]\w*', re.ASCII)
_VERSION = re.compile('(0|[1-9][0-9]*)([.](0|[1-9][0-9]*)){2}')
# Of the folder of a set's version below one that is given.
_MAX_DEPTH = 3


def trace(root: str) -> str:
  """What tells that `root` is of this format; '' if nothing does."""
  for depth in range(_MAX_DEPTH + 1):
    below = os.path.join(glob.escape(root), *['*'] * depth, tfds_sets.INFO)
    if any(glob.iglob(below)):
      return f'it has {tfds_sets.INFO}'
  return ''


def locate(root: str, *, list: str, dataset: str) -> dict[str, str]:
  """The options of the source for what is in `root`."""
  tfds_sets.find(root, dataset)
  return {'root': root, 'dataset': dataset} if dataset else {'root': root}


def features(source: labelled.Source):
  """What an example of this source has: a `tfds.features.FeaturesDict`.

  image: the encoded image, as it is; readers of TFDS get it decoded, uint8
  [height, width, 3]. label: the class as given. row: its number in the source,
  int64. path: its name there, bytes. true_label: the true class, where known.

  Raises:
    UserError: if a class name cannot be kept.
  """
  import tensorflow_datasets as tfds

  check_class_names(source.class_names)
  label = {'names': [*source.class_names]}
  found = {
    'image': tfds.features.Image(shape=(None, None, 3)),
    'label': tfds.features.ClassLabel(**label),
    'row': tfds.features.Scalar(np.int64),
    'path': tfds.features.Text(),
  }
  if source.true_labels is not None:
    found['true_label'] = tfds.features.ClassLabel(**label)
  return tfds.features.FeaturesDict(found)


def example(source: labelled.Source, row: int, encoded: bytes) -> dict:
  """The example of a row, for `features(source)` to encode."""
  found = {
    'image': encoded,
    'label': int(source.labels[row]),
    'row': row,
    'path': os.fsencode(source.name(row)),
  }
  if source.true_labels is not None:
    found['true_label'] = int(source.true_labels[row])
  return found


def check_class_names(names: Iterable[str]) -> None:
  """Refuses what TFDS does not keep, which has a line of UTF-8 for each name.

  Raises:
    UserError: if a name is such; it is named.
  """
  for name in names:
    is_line = name == name.strip() and len(name.splitlines()) == 1
    if not is_line or printable(name) != name:  # which is UTF-8
      raise errors.UserError(
        f'TFDS cannot keep the class name "{printable(name)}": it must be a '
        'line of UTF-8 that neither starts nor ends with a blank. Rename the '
        'class, or write another format.'
      )


@dataclasses.dataclass(frozen=True)
class TfdsWriter(layouts.Writer):
  """A `layouts.Writer` of TFDS sets; `out` is DATA_DIR/NAME/VERSION."""

  rows_per_shard: int

  def order(self, source):
    """See `layouts.Writer`."""
    check_class_names(source.class_names)
    return super().order(source)

  def write(self, folder, source, order, images, state):
    """See `layouts.Writer`."""
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module

    template = tfds.core.ShardedFileTemplate(
      data_dir=folder,
      dataset_name=self.out.parent.name,
      split=_SPLIT,
      filetype_suffix='array_record',
    )
    num_shards = -(-source.num_rows // self.rows_per_shard)
    lengths, num_bytes = [*state.get('shards', ())], state.get('num_bytes', 0)

    def save():
      done = sum(lengths)
      return {'rows': done, 'shards': lengths, 'num_bytes': num_bytes}

    serialize = _serializer(source)
    writer = None
    for row, encoded in enumerate(images, sum(lengths)):
      path = template.sharded_filepath(
        shard_index=len(lengths), num_shards=num_shards
      )
      # What is not complete has the name of a draft, and is written again.
      draft = path.with_name(f'.{path.name}.draft')
      record = serialize(row, encoded)
      try:
        if writer is None:
          shard_bytes = 0
          # Images are compressed already.
          writer = array_record_module.ArrayRecordWriter(
            os.fspath(draft), 'group_size:1,uncompressed'
          )
        writer.write(record)
        shard_bytes += len(record)
        is_last = row + 1 == source.num_rows
        if is_last or (row + 1) % self.rows_per_shard == 0:
          writer.close()
          writer = None
          os.replace(draft, path)
          lengths.append(row + 1 - sum(lengths))
          num_bytes += shard_bytes
      except RuntimeError as error:  # which the library raises for all
        raise OSError(str(error)) from error
      yield save
    _write_metadata(template, source, self.out.name, lengths, num_bytes)


def _write_metadata(template, source, version, lengths, num_bytes):
  import tensorflow_datasets as tfds

  found = tfds.core.SplitInfo(
    name=_SPLIT,
    shard_lengths=lengths,
    num_bytes=num_bytes,
    filename_template=template,
  )
  tfds.folder_dataset.write_metadata(
    data_dir=template.data_dir,
    features=features(source),
    split_infos=[found],
    version=version,
    filename_template=template,
    check_data=False,  # it would read it through tf.data, which cannot
    description=DESCRIPTION,
    supervised_keys=('image', 'label'),
    disable_shuffling=True,
  )


def _serializer(source):
  """(row, encoded image) -> the record of the example."""
  from tensorflow_datasets.core import example_serializer

  kinds = features(source)
  serializer = example_serializer.ExampleSerializer(kinds.get_serialized_info())

  def serialize(row, encoded):
    values = kinds.encode_example(example(source, row, encoded))
    made = serializer.get_tf_example(values)
    # Otherwise features would come in another order in each process.
    return made.SerializeToString(deterministic=True)

  return serialize


def build(*, out: pathlib.Path, rows_per_shard: int = 50_000) -> TfdsWriter:
  """ArrayRecord files with features image, label, row, path and true_label.

  Args:
    out: DATA_DIR/NAME or DATA_DIR/NAME/VERSION.
    rows_per_shard: images in a file; what a killed run has begun of a file is
      written again.

  Raises:
    UserError: if `rows_per_shard` is not positive, or TFDS could not call a
      set so.
  """
  if rows_per_shard < 1:
    raise errors.UserError(
      f'rows_per_shard must be 1 or more, not {rows_per_shard}.'
    )
  if not _VERSION.fullmatch(out.name):
    out = out / '1.0.0'
  name = out.parent.name
  if not _NAME.fullmatch(name):
    raise errors.UserError(
      f'--out {printable(str(out.parent))}: its last part is the name of the '
      f'set, and "{printable(name)}" cannot be one: letters, digits and _ '
      'make a name, and a letter comes first.'
    )
  return TfdsWriter(out, rows_per_shard)
