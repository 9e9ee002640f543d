"""Image-classification sets of TensorFlow Datasets, as ArrayRecord.

Any such set will do, whoever prepared it, if its file format is `array_record`:
only that gives random access.

TensorFlow Datasets takes seconds to import, so that is done when it is needed.
"""

import os
from collections.abc import Sequence

from bfjax import errors
from bfjax.config import limits
from bfjax.data import images, places, tfds_columns, tfds_sets
from bfjax.formats import array_records
from bfjax.text import printable


class TfdsImages:
  """A `labelled.Source` of a split of a prepared TFDS set.

  Rows are numbered as stored. A row's name is its feature `path`, where the
  set has one (those of `tools/pack.py` have), else `SET/VERSION/SPLIT#ROW`.
  """

  def __init__(self, records, columns, image_key: str, title: str):
    """Takes the parts; see `build`.

    Args:
      records: an `array_records.Records`.
      columns: a `tfds_columns.Columns` of them.
      image_key: the feature that holds the images.
      title: what rows without a path are named by.
    """
    self._records, self._columns = records, columns
    self._image_key, self._title = image_key, title
    self.num_rows = len(records)
    self.labels, self.true_labels = columns.labels, columns.true_labels
    self.class_names: Sequence[str] = columns.class_names
    self.fingerprint = columns.fingerprint

  @property
  def num_classes(self) -> int:
    return len(self.class_names)

  def read(self, rows) -> list[bytes]:
    return [
      self._image(row, record)
      for row, record in zip(rows, self._records.read(rows), strict=True)
    ]

  def _image(self, row: int, record: bytes) -> bytes:
    image = tfds_columns.one_value(tfds_columns.parse(record), self._image_key)
    if not isinstance(image, bytes):
      raise errors.UserError(
        f'Cannot read the image {printable(self.path(row))}: the record has '
        f'no feature {self._image_key!r}. Prepare the set again.'
      )
    return image

  def name(self, row: int) -> str:
    return self._columns.name(int(row)) or f'{self._title}#{row}'

  def path(self, row: int) -> str:
    file, number = self._records.place(int(row))
    return f'{file}#{number}'


def build(
  *,
  root: str,
  dataset: str = '',
  split: str = 'train',
  image_key: str = '',
  label_key: str = '',
  truth: str = '',
  num_classes: int = 0,
  check: str = 'exist',
  index_dir: str = '',
) -> TfdsImages:
  """A split of a set of TensorFlow Datasets.

  Labels, and the feature `path` where there is one, are read once and kept
  beside the set (or in `index_dir`, where it cannot be written to). Classes
  without an image are left out.

  Args:
    root: the folder of the set's version (with dataset_info.json), or the
      data_dir of TFDS above it.
    dataset: `name`, `name:1.0.0` or `name/config:1.0.0` in the data_dir; ''
      if it holds one set.
    split: a split, or a part of it in TFDS's notation, 'train[:80%]'.
    image_key: the feature of the image; '' if the set has one of that type.
    label_key: the feature of the label; likewise.
    truth: a list of the images whose label was flipped, by their names, with
      their true labels; '' for the feature `true_label` if there is one.
    num_classes: there may be at most so many; 0 for no such limit.
    check: 'exist' looks the files up, 'decode' also decodes every image,
      'none' does neither.
    index_dir: where labels are kept if not beside the set; '' for the cache
      folder of `bfjax.runtime`.

  Raises:
    UserError: if there is no such set or split, it is of another file format,
      has no image or label, or a record cannot be read.
  """
  limits.check('data.check', check)
  folder = tfds_sets.find(root, dataset)
  info = tfds_sets.read_info(folder)
  image_key, label_key = tfds_sets.choose_features(
    folder, info, image_key, label_key
  )
  parts = tfds_sets.parts_of(folder, info, split)
  if check != 'none':
    _check_files(parts)
  records = array_records.Records(parts)
  title = f'{info.name}/{info.version}/{split}'
  about = {
    'class_names': tfds_sets.class_names(info.features, label_key),
    'has_path': tfds_sets.has_path(info.features),
    'has_truth': tfds_sets.has_truth(info.features, label_key),
  }
  # It has strings and dicts of a million classes.
  del info
  columns = tfds_columns.read(
    records,
    parts,
    folder=folder,
    split=split,
    title=title,
    label_key=label_key,
    truth=places.find_list(truth, root, 'data.truth') if truth else '',
    index_dir=index_dir,
    **about,
  )
  source = TfdsImages(records, columns, image_key, title)
  if num_classes and source.num_classes > num_classes:
    raise errors.UserError(
      f'{printable(str(folder))} has {source.num_classes} classes, but '
      f'data.num_classes is {num_classes}.'
    )
  if check == 'decode':
    images.check_images(source)
  return source


def _check_files(parts) -> None:
  missing = [part.path for part in parts if not os.path.isfile(part.path)]
  if missing:
    raise errors.UserError(
      f'{len(missing)} of {len(parts)} files of the set are missing, '
      f'{printable(missing[0])} the first. Restore them.'
    )
