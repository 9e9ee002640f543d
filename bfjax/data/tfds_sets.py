"""Prepared sets of TensorFlow Datasets: where one is, and what it says.

TensorFlow Datasets takes seconds to import, so that is done when it is needed.
"""

import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.data import folders
from bfjax.data.names import Names
from bfjax.formats import array_records
from bfjax.storage import partial
from bfjax.text import printable

INFO = 'dataset_info.json'


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
  if (root / INFO).is_file() and not dataset:
    return root
  found = sorted(
    path.parent.relative_to(root)
    for depth in range(1, 4)
    for path in root.glob('*/' * depth + INFO)
    if not partial.is_incomplete(path.parent)
    and not any(map(folders.is_system, path.relative_to(root).parts))
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
    f'are: {printable(shown)}. data.root is the folder with {INFO} of one, or '
    'the data_dir with data.dataset saying which.'
  )


def _version(name: str) -> tuple[int, ...]:
  return tuple(int(number) for number in re.findall('[0-9]+', name))


def read_info(folder: pathlib.Path):
  """The `DatasetInfo` of the set in a folder, with its ArrayRecord files.

  Raises:
    UserError: if it cannot be read, or has no such files.
  """
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


def choose_features(folder, info, image_key, label_key) -> tuple[str, str]:
  """The names of the features of the image and of the label.

  Args:
    folder: for messages.
    info: its `DatasetInfo`.
    image_key: what the user wants, or ''.
    label_key: likewise.

  Raises:
    UserError: if there is no such feature, or several and none is wanted.
  """
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


def class_names(features, label_key) -> Sequence[str] | None:
  """Of a class label; None of a mere integer."""
  import tensorflow_datasets as tfds

  feature = features[label_key]
  if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes:
    return Names.of(feature.names)
  return None


def has_path(features) -> bool:
  """Whether there is a text `path`, as `tools/pack.py` writes it."""
  import tensorflow_datasets as tfds

  return 'path' in features and isinstance(features['path'], tfds.features.Text)


def has_truth(features, label_key) -> bool:
  """Whether there is a `true_label` with the classes of the label."""
  import tensorflow_datasets as tfds

  return (
    'true_label' in features
    and label_key != 'true_label'
    and isinstance(features['true_label'], tfds.features.ClassLabel)
    and class_names(features, 'true_label') == class_names(features, label_key)
  )


def parts_of(folder, info, split) -> list[array_records.Part]:
  """The records of a split, or of a part of it.

  Raises:
    UserError: if there is no such split, or it is empty.
  """
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
