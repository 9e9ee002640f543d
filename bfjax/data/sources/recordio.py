"""The sets of InsightFace and MXNet: `train.rec`, `train.idx`, `property`."""

import glob
import hashlib
import logging
import os

import numpy as np

from bfjax import errors
from bfjax.config import limits
from bfjax.data import images, labelled, names, places, selection
from bfjax.formats import recordfiles, recordindex, recordscan
from bfjax.text import printable

_log = logging.getLogger(__name__)

_CLASSES = 'classes.tsv'
_MAX_DIGITS = 18  # those of an int64


class Records:
  """The images of a file of records; rows are in the order of keys.

  Row r is the record of key `keys[r]`, and is called `train.rec#KEY`.
  """

  def __init__(self, file: recordfiles.RecordFile, heads: recordscan.Heads):
    """Takes the file, and the heads of its images by ascending key."""
    self._file = file
    self._offsets, self._sizes = heads.offsets, heads.sizes
    self.keys, self.num_rows = heads.keys, len(heads.keys)
    self._name = os.path.basename(file.path)

  def read(self, rows) -> list[bytes]:
    """See `labelled.Images`."""
    rows = np.asarray(rows)
    places = [x[rows].tolist() for x in (self._offsets, self._sizes)]
    for place, size in zip(*places, strict=True):
      self._file.fetch(place, size)
    return [
      self._image(*one) for one in zip(rows.tolist(), *places, strict=True)
    ]

  def _image(self, row, place, size):
    try:
      return self._file.read(place, size).image
    except ValueError as error:
      raise errors.UserError(
        f'Cannot read the image {printable(self.path(row))}: {error}.'
      ) from error

  def name(self, row: int) -> str:
    """See `labelled.Images`."""
    return f'{self._name}#{self.keys[row]}'

  def path(self, row: int) -> str:
    """See `labelled.Images`."""
    return f'{self._file.path}#{self.keys[row]}'

  def digest(self, labels: np.ndarray) -> str:
    """What tells these images with these labels from others: hexadecimal."""
    digest = hashlib.sha256(os.fsencode(self._name) + b'\0')
    digest.update(np.ascontiguousarray(self.keys, '<i8').data)
    digest.update(np.ascontiguousarray(labels, '<i4').data)
    return digest.hexdigest()

  def rows_of(self, keys: np.ndarray) -> np.ndarray:
    """The row of each key, int [n]; -1 where it is no image's."""
    rows = np.searchsorted(self.keys, keys)
    rows[rows == self.num_rows] = 0
    return np.where(self.keys[rows] == keys, rows, -1)


def build(
  *,
  root: str,
  truth: str = '',
  num_classes: int = 0,
  check: str = 'exist',
  on_error: str = 'error',
  index_dir: str = '',
) -> labelled.Source:
  """Images in records as MXNet writes them.

  Where record 0 has labels [N + 1, E] and no image, as in InsightFace's sets,
  the images are the records 1 .. N, and those after hold data about the
  identities; else every record is an image. Its label is the number in its
  header, or the first of several. Labels that are unused make no class: the
  others are renumbered 0 .. num_classes - 1 in ascending order, and
  `class_names` tells those given, or their names where the folder has a
  `classes.tsv` of lines `label<TAB>name`.

  The first time, every header is read once, and every record looked for if
  there is no index; what is found is kept in `index_dir`.

  Args:
    root: the folder of `train.rec`, or a file of that kind.
    truth: a list of the images whose label was flipped, `train.rec#KEY
      label`, with their true labels; '' where not known.
    num_classes: labels must be smaller than this; 0 for no such limit.
    check: 'decode' decodes every image once; 'exist' and 'none' do not.
    on_error: what a record does that is damaged or has no usable label:
      'error' refuses the set, 'skip' leaves it out, with a warning that
      counts.
    index_dir: see above; '' for the cache folder of `bfjax.runtime`.

  Raises:
    UserError: if there is no such file, or it has no image, or a record or a
      line of the index is wrong; the message names file and place.
  """
  limits.check('data.check', check)
  limits.check('data.on_error', on_error)
  file = recordfiles.RecordFile(find(root))
  heads, num_left_out = recordindex.images(
    file,
    recordindex.read(file, index_dir),
    num_classes=num_classes,
    on_error=on_error,
  )
  if not len(heads.keys):
    raise errors.UserError(f'{printable(file.path)} holds no images.')
  folder = os.path.dirname(file.path)
  labels, values = labelled.dense(heads.labels.astype(np.int32))
  _check_property(folder, values)
  class_names = names.Names.of_numbers(values)
  path = os.path.join(folder, _CLASSES)
  if os.path.isfile(path):
    class_names = labelled.read_class_names(path, values.tolist())
  records, true_labels = Records(file, heads), None
  if truth:
    path = places.find_list(truth, folder, 'data.truth')
    true_labels = _true_labels(path, records, labels, values)
  source = labelled.Source(
    *(records, labels, true_labels, class_names),
    digest=records.digest(labels),
    num_left_out=num_left_out,
  )
  _log.info('%d images, %d classes', source.num_rows, source.num_classes)
  if check == 'decode':
    images.check_images(source)
  return source


def find(root: str) -> str:
  """The file of records that a folder, or the name of the file, stands for.

  Raises:
    UserError: if there is none, or several and none is `train.rec`.
  """
  if os.path.isfile(root):
    return root
  if not os.path.isdir(root):
    raise errors.UserError(
      f'There is no {printable(root)!r}: data.root must be the folder of '
      'train.rec, or that file.'
    )
  found = sorted(glob.glob('*.rec', root_dir=root))
  if 'train.rec' in found:
    found = ['train.rec']
  if len(found) != 1:
    shown = printable(', '.join(found[:9])) or 'none'
    raise errors.UserError(
      f'{printable(root)!r} has no train.rec (*.rec: {shown}). Give '
      'data.root the file itself.'
    )
  return os.path.join(root, found[0])


def _check_property(folder, values) -> None:
  """Warns if the file `property` speaks of another number of classes."""
  path = os.path.join(folder, 'property')
  if not os.path.isfile(path):
    return
  with open(path, 'rb') as file:
    first = file.readline(200).split(b',')[0].strip()
  if not first.isdigit() or int(first) != len(values):
    _log.warning(
      '%s gives the number of classes as %r; the records have %d.',
      printable(path),
      first.decode('utf-8', 'backslashreplace'),
      len(values),
    )


def _true_labels(path, records, labels, values) -> np.ndarray:
  """The labels with those of the images in the list `path` replaced."""
  prefix = os.fsencode(records.name(0)).rpartition(b'#')[0] + b'#'

  def key(name):
    word = os.path.basename(name).removeprefix(prefix)
    return int(word) if word.isdigit() and len(word) <= _MAX_DIGITS else -1

  return selection.read_truth(
    path,
    '',
    labels,
    names=lambda listed: records.rows_of(
      np.fromiter(map(key, listed.all_encoded()), np.int64, len(listed))
    ),
    class_names=names.Names.of_numbers(values),
  )
