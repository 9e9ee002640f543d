"""Prepared sets of TensorFlow Datasets: where one is, and what it says.

TensorFlow Datasets takes seconds to import, so that is done when it is needed.
"""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bfjax import errors
from bfjax.data import folders
from bfjax.data.names import Names
from bfjax.formats import array_records
from bfjax.storage import partial
from bfjax.text import printable

INFO = 'dataset_info.json'
_NUMBER = re.compile('[0-9]+')


class Split(NamedTuple):
  """A split of a set, or a part of one, and what the set says of it."""

  folder: pathlib.Path  # of the set's version
  name: str  # in TFDS's notation
  title: str  # SET/VERSION/SPLIT, what rows without a path are named by
  parts: Sequence[array_records.Part]  # its records
  image_key: str  # the feature of the image
  label_key: str  # the feature of the label
  class_names: Sequence[str] | None  # None where labels are mere integers
  has_path: bool  # a text `path`, as `tools/pack.py` writes it
  has_truth: bool  # a `true_label` with the classes of the label


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
    newest = max(chosen, key=lambda x: [*map(int, _NUMBER.findall(x.name))])
    return root / newest
  shown = ', '.join(f'{x.parent}:{x.name}' for x in found) or 'none'
  raise errors.UserError(
    f'{printable(str(root))} has {len(names) or "no"} sets '
    f'{f"called {dataset!r}" if dataset else "of TensorFlow Datasets"}. There '
    f'are: {printable(shown)}. data.root is the folder with {INFO} of one, or '
    'the data_dir with data.dataset saying which.'
  )


def open_split(
  folder: pathlib.Path, name: str, image_key: str = '', label_key: str = ''
) -> Split:
  """What the set in a folder says of one of its splits.

  Args:
    folder: as `find` returns it.
    name: of the split, or a part of it in TFDS's notation.
    image_key: the feature of the image; '' if the set has one of that type.
    label_key: the feature of the label; likewise.

  Raises:
    UserError: if the set cannot be read, is in files without random access, or
      has no such split or features; the message lists those there are.
  """
  import tensorflow_datasets as tfds

  info = _read_info(folder)
  features = dict(info.features.items())
  # Feature types that show images otherwise are derived from Image.
  images = [
    key
    for key, feature in features.items()
    if type(feature) is tfds.features.Image and feature.np_dtype == np.uint8
  ]
  labels = [
    key
    for key, feature in features.items()
    if isinstance(feature, tfds.features.ClassLabel)
  ]
  # A mere integer is a label if it is called so.
  named = label_key or 'label'
  if named in features and named not in labels:
    one = features[named]
    if one.shape == () and np.issubdtype(one.np_dtype, np.integer):
      labels.append(named)
  label_key = _choose(folder, 'label', label_key, labels, features)
  class_names = _class_names(features[label_key])
  true_names = _class_names(features.get('true_label'))
  return Split(
    folder=folder,
    name=name,
    title=f'{info.name}/{info.version}/{name}',
    parts=_parts(folder, info, name),
    image_key=_choose(folder, 'image', image_key, images, features),
    label_key=label_key,
    class_names=class_names,
    has_path=isinstance(features.get('path'), tfds.features.Text),
    has_truth=(
      label_key != 'true_label'
      and true_names is not None
      and true_names == class_names
    ),
  )


def _read_info(folder):
  """The `DatasetInfo` of the set, with its ArrayRecord files."""
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
          'Prepare it again: `tfds build NAME --file_format=array_record`.'
        )
      builder = tfds.builder_from_directory(folder, file_format='array_record')
  except (OSError, ValueError, KeyError, json_format.Error) as error:
    raise errors.UserError(
      f'Cannot read the description of the set {printable(str(folder))}: '
      f'{error}. Prepare the set again.'
    ) from error
  return builder.info


def _class_names(feature) -> Sequence[str] | None:
  """Of a class label; None of anything else."""
  import tensorflow_datasets as tfds

  if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes:
    return Names.of(feature.names)
  return None


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
