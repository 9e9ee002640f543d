"""Sources as sets of TensorFlow Datasets: their features and examples."""

import os

import numpy as np
import tensorflow_datasets as tfds

from bfjax import errors
from bfjax.data import labelled
from bfjax.text import printable

DESCRIPTION = (
  'Face images with the labels they were given. The encoded images are the '
  'bytes of the original files, and rows lie in the original order.'
)


def features(source: labelled.Source) -> tfds.features.FeaturesDict:
  """What an example of this source has.

  image: the encoded image, as it is; readers of TFDS get it decoded, uint8
  [height, width, 3]. label: the class as given. row: its number in the source,
  int64. path: its name there, bytes. true_label: the true class, where known.

  Raises:
    UserError: if a class name cannot be kept.
  """
  check_class_names(source.class_names)
  label = {'names': list(source.class_names)}
  found = {
    'image': tfds.features.Image(shape=(None, None, 3)),
    'label': tfds.features.ClassLabel(**label),
    'row': tfds.features.Scalar(np.int64),
    'path': tfds.features.Text(),
  }
  if source.true_labels is not None:
    found['true_label'] = tfds.features.ClassLabel(**label)
  return tfds.features.FeaturesDict(found)


def check_class_names(names) -> None:
  """Refuses what TFDS does not keep, which has a line of UTF-8 for each name.

  Raises:
    UserError: if a name is such; it is named.
  """
  for name in names:
    if not name or name != name.strip() or len(name.splitlines()) != 1:
      problem = 'is empty, has line ends, or starts or ends with a blank'
    elif not _is_utf8(name):
      problem = 'is not UTF-8'
    else:
      continue
    raise errors.UserError(
      f'The class name "{printable(name)}" {problem}, and TFDS cannot keep it. '
      'Rename the class, or write another format.'
    )


def _is_utf8(name: str) -> bool:
  try:
    name.encode()
  except UnicodeEncodeError:
    return False
  return True


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
