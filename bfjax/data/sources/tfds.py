"""Image-classification sets of TensorFlow Datasets, as ArrayRecord.

Any such set will do, whoever prepared it, if its file format is `array_record`:
only that gives random access.

TensorFlow Datasets takes seconds to import, so that is done when it is needed.
"""

import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.data import array_records, images, partial, tfds_columns
from bfjax.data.files import printable
from bfjax.data.names import Names

_INFO = 'dataset_info.json'
_CHECKS = ('exist', 'decode', 'none')


class TfdsImages:
  """A `sources.Source` of a split of a prepared TFDS set.

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
    found = tfds_columns.values(record, self._image_key)
    if found is None or len(found) != 1:
      raise errors.UserError(
        f'Cannot read the image {printable(self.path(row))}: the record has '
        f'no feature {self._image_key!r}. Prepare the set again.'
      )
    return found[0]

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
  errors.choose('check', check, dict.fromkeys(_CHECKS))
  folder = find(root, dataset)
  info = _read_info(folder)
  image_key, label_key = _features(folder, info, image_key, label_key)
  parts = _parts(folder, info, split)
  if check != 'none':
    _check_files(parts)
  records = array_records.Records(parts)
  version = f'{info.name}/{info.version}'
  columns = tfds_columns.read(
    records,
    parts,
    folder=folder,
    split=split,
    title=f'{version}/{split}',
    label_key=label_key,
    class_names=_class_names(info.features, label_key),
    has_path='path' in info.features,
    has_truth='true_label' in info.features,
    truth=os.path.join(root, truth) if truth else '',
    index_dir=index_dir,
  )
  source = TfdsImages(records, columns, image_key, f'{version}/{split}')
  if num_classes and source.num_classes > num_classes:
    raise errors.UserError(
      f'{printable(str(folder))} has {source.num_classes} classes, but '
      f'data.num_classes is {num_classes}.'
    )
  if check == 'decode':
    images.check_images(source)
  return source


def find(root: str | os.PathLike, dataset: str = '') -> pathlib.Path:
  """The folder of a set's version: the one with `dataset_info.json`.

  Args:
    root: that folder, or a data_dir above it.
    dataset: as `build` takes it; '' for the only set there is, in its newest
      version.

  Raises:
    UserError: if there is none, or several; the message lists them.
  """
  root = pathlib.Path(root)
  if (root / _INFO).is_file() and not dataset:
    return root
  found = sorted(
    path.parent.relative_to(root)
    for depth in range(1, 4)
    for path in root.glob('*/' * depth + _INFO)
    if not path.with_name(partial.JOURNAL).exists()
  )
  name, _, version = dataset.partition(':')
  chosen = [
    folder
    for folder in found
    if name in ('', str(folder.parent)) and version in ('', folder.name)
  ]
  names = sorted({str(folder.parent) for folder in chosen})
  if len(names) == 1:
    return root / max(chosen, key=lambda folder: _version(folder.name))
  shown = ', '.join(f'{x.parent}:{x.name}' for x in found) or 'none'
  raise errors.UserError(
    f'{printable(str(root))} has {len(names) or "no"} sets '
    f'{f"called {dataset!r}" if dataset else "of TensorFlow Datasets"}. There '
    f'are: {printable(shown)}. data.root is the folder with {_INFO} of one, or '
    'the data_dir with data.dataset saying which.'
  )


def _version(name: str) -> tuple[int, ...]:
  return tuple(int(number) for number in re.findall('[0-9]+', name))


def _read_info(folder: pathlib.Path):
  """The set's `DatasetInfo`, of its ArrayRecord files."""
  import tensorflow_datasets as tfds
  from google.protobuf import json_format

  try:
    builder = tfds.builder_from_directory(folder)
    if builder.info.file_format.value != 'array_record':
      others = {x.value for x in builder.info.alternative_file_formats}
      if 'array_record' not in others:
        raise errors.UserError(
          f'{printable(str(folder))} is in the file format '
          f'{builder.info.file_format.value!r}, which has no random access. '
          'Prepare it again as array_record: `tfds.builder(NAME, '
          'file_format="array_record").download_and_prepare()`, or on the '
          'command line `tfds build NAME --file_format=array_record`.'
        )
      builder = tfds.builder_from_directory(folder, file_format='array_record')
  except (OSError, ValueError, KeyError, json_format.Error) as error:
    raise errors.UserError(
      f'Cannot read the description of the set {printable(str(folder))}: '
      f'{error}. Prepare the set again.'
    ) from error
  return builder.info


def _features(folder, info, image_key, label_key) -> tuple[str, str]:
  """The names of the features of the image and of the label."""
  import tensorflow_datasets as tfds

  found = dict(info.features.items())
  # Feature types that show images otherwise are derived from Image.
  image_keys = [
    name
    for name, feature in found.items()
    if type(feature) is tfds.features.Image and feature.np_dtype == np.uint8
  ]
  label_keys = [
    name
    for name, feature in found.items()
    if isinstance(feature, tfds.features.ClassLabel)
  ]
  # A mere integer is a label if it is called so.
  name = label_key or 'label'
  feature = found.get(name)
  is_scalar = feature is not None and feature.shape == ()
  if is_scalar and np.issubdtype(feature.np_dtype, np.integer):
    label_keys = list(dict.fromkeys([*label_keys, name]))
  return (
    _choose(folder, 'image', image_key, image_keys, found),
    _choose(folder, 'label', label_key, label_keys, found),
  )


def _choose(folder, kind, asked, fitting, features) -> str:
  """The one asked for, the one called `kind`, or the only one."""
  name = asked or (kind if kind in fitting else '')
  if not name and len(fitting) == 1:
    name = fitting[0]
  if name in fitting:
    return name
  raise errors.UserError(
    f'{printable(str(folder))}: data.{kind}_key={asked!r}, and the features '
    f'that can be the {kind} are: {", ".join(fitting) or "none"}. The set has: '
    f'{", ".join(features)}.'
  )


def _class_names(features, label_key) -> Sequence[str] | None:
  """Of a class label; None of a mere integer."""
  import tensorflow_datasets as tfds

  feature = features[label_key]
  if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes:
    return Names.of(feature.names)
  return None


def _parts(folder, info, split) -> list[array_records.Part]:
  try:
    found = info.splits[split]
  except (KeyError, ValueError) as error:
    raise errors.UserError(
      f'{printable(str(folder))} has no split {split!r}. There are: '
      f'{", ".join(info.splits) or "none"}.'
    ) from error
  parts = [
    array_records.Part(os.fspath(x.filename), x.skip, x.take)
    for x in found.file_instructions
  ]
  if not sum(part.take for part in parts):
    raise errors.UserError(
      f'{printable(str(folder))}: the split {split!r} has no images.'
    )
  return parts


def _check_files(parts) -> None:
  missing = [part.path for part in parts if not os.path.isfile(part.path)]
  if missing:
    raise errors.UserError(
      f'{len(missing)} of {len(parts)} files of the set are missing, '
      f'{printable(missing[0])} the first. Restore them.'
    )
