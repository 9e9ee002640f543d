"""Images on disk: a list of paths and labels, or a folder per class."""

import dataclasses
import logging
import os
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.config import limits
from bfjax.data import (
  files,
  folders,
  images,
  labelled,
  listchecks,
  lists,
  names,
  places,
)
from bfjax.text import printable

_log = logging.getLogger(__name__)

_MAX_LABEL = 2**31 - 1
_CHUNK = 1 << 16


@dataclasses.dataclass(frozen=True)
class ImageList:
  """A `labelled.Source` of image files."""

  files: files.ImageFiles
  labels: np.ndarray
  true_labels: np.ndarray | None
  class_names: Sequence[str]
  fingerprint: str

  @property
  def num_rows(self) -> int:
    return self.files.num_rows

  @property
  def num_classes(self) -> int:
    return len(self.class_names)

  def read(self, rows) -> list[bytes]:
    return self.files.read(rows)

  def name(self, row: int) -> str:
    return self.files.name(row)

  def path(self, row: int) -> str:
    return self.files.path(row)


def build(
  *,
  root: str,
  list: str = '',
  truth: str = '',
  outliers: str = '',
  num_classes: int = 0,
  check: str = 'exist',
) -> ImageList:
  """Images under `root`, labelled by a list file or by their folders.

  A list has a line `path label` for each image. The last run of blanks or tabs
  of a line separates the two, so a path may hold blanks. A byte-order mark,
  CRLF and empty lines do no harm; for lists of other forms see `listforms`.
  Labels are integers; where some are unused, the others are renumbered 0 ..
  num_classes - 1 in ascending order, and `class_names` tells the labels as
  given. Rows are numbered in list order.

  Without a list every folder of `root` is a class, in the order of their
  names, and holds its images at any depth; see `folders.read`.

  Args:
    root: the folder that paths are relative to.
    list: the list file, absolute or relative to `root` or to where the user
      is; '' for a folder per class.
    truth: a list of the images whose label was flipped, with their true
      labels; '' where not known.
    outliers: a list of the images of nobody in the set, with any labels, as
      tools/add_outliers.py writes it; likewise.
    num_classes: labels must be smaller than this; 0 for no such limit.
    check: 'exist' looks every image up on disk, some 10 microseconds each
      where the disk is local, and refuses two names of one file; 'decode' also
      decodes it; 'none' does neither.

  Raises:
    UserError: if a file is missing or a line is wrong; the message names file
      and line.
  """
  limits.check('data.check', check)
  if not os.path.isdir(root):
    raise errors.UserError(
      f'There is no folder {root!r}: data.root must be the folder that the '
      'images lie in.'
    )
  if (truth or outliers) and not list:
    raise errors.UserError(
      'data.truth and data.outliers are of images of a list, so they need'
      ' data.list.'
    )
  true_labels = None
  if list:
    list_path = places.find_list(list, root, 'data.list')
    found, labels, values = _read_list(list_path, root, num_classes)
    class_names = names.Numbers(values)
    if truth:
      truth_path = places.find_list(truth, root, 'data.truth')
      true_labels = _true_labels(truth_path, found, labels, values)
    if outliers:
      true_labels = labels.copy() if true_labels is None else true_labels
      outliers_path = places.find_list(outliers, root, 'data.outliers')
      listed = lists.read(outliers_path, root)
      rows = _rows_of(outliers_path, found, listed)
      true_labels[rows] = labelled.NOBODY
  else:
    found, labels, class_names = folders.read(root, num_classes)
  _log.info('%d images, %d classes', found.num_rows, len(class_names))
  if why := found.why_absent():
    if check != 'none':
      raise errors.UserError(why)
    _log.warning('%s', why)
  if check == 'decode':
    images.check_images(found)
  if check != 'none':
    identities = np.zeros(found.num_rows, np.int64)
    found.check_exist(identities=identities)
    listchecks.refuse_links(found, identities, list and list_path)
  return ImageList(
    files=found,
    labels=labels,
    true_labels=true_labels,
    class_names=class_names,
    fingerprint=labelled.fingerprint(found.names_bytes(), labels),
  )


def _read_list(path, root, num_classes):
  """(ImageFiles, labels int32 [n], the label as given int64 of each class)."""
  found = lists.read(path, root)
  shown = printable(path)
  given = found.labels
  if not given.size:
    raise errors.UserError(f'{shown}: the list is empty.')
  limit = num_classes - 1 if num_classes else _MAX_LABEL
  if given.max() > limit:
    row = int(np.argmax(given > limit))
    raise errors.UserError(
      f'{shown}:{lists.line_number(path, row)}: label {given[row]}, but the '
      f'largest may be {limit}'
      + (f' (data.num_classes = {num_classes}).' if num_classes else '.')
    )
  labels, values = _numbered(given)
  listed = files.ImageFiles.from_blob(found.blob, found.offsets, root)
  del found, given  # memory for what follows
  listchecks.refuse_duplicates(path, listed.names)
  listchecks.log_system_files(path, listed.names)
  return listed, labels, values


def _numbered(given):
  """Labels without gaps, int32, and of each the label as given, ascending."""
  largest = int(given.max())
  if largest > 8 * len(given):
    values, labels = np.unique(given, return_inverse=True)
    return labels.astype(np.int32), values
  # Much quicker, and smaller, than sorting.
  is_used = np.zeros(largest + 1, bool)
  is_used[given] = True
  number = np.cumsum(is_used, dtype=np.int32) - 1
  return number[given], np.flatnonzero(is_used)


def _true_labels(path, found, labels, values) -> np.ndarray:
  """`labels` with those of the images in the list `path` replaced."""
  truth = lists.read(path, found.root)
  number = np.searchsorted(values, truth.labels)
  known = values[np.minimum(number, len(values) - 1)] == truth.labels
  if not known.all():
    row = int(np.argmin(known))
    raise errors.UserError(
      f'{listchecks.place(path, row)}: no image of the training list has the '
      f'label {truth.labels[row]}.'
    )
  true_labels = labels.copy()
  true_labels[_rows_of(path, found, truth)] = number
  return true_labels


def _rows_of(path, found, some) -> np.ndarray:
  """The row of each image of the list `some`, which was read from `path`."""
  listed = names.Names(some.blob, some.offsets)
  listchecks.refuse_duplicates(path, listed)
  rows = np.full(len(listed), -1, np.int64)
  for row, place in _matches(found.names, listed):
    rows[place] = row
  if rows.size and rows.min() < 0:
    row = int(np.argmin(rows))
    raise errors.UserError(
      f'{listchecks.place(path, row)}: {printable(listed[row])} is not '
      'in the training list.'
    )
  return rows


def _matches(all_names, some):
  """Yields (i, k) where all_names[i] == some[k]; names of `some` differ."""
  if not len(some):
    return
  hashes = some.hashes()
  order = np.argsort(hashes)
  ascending = hashes[order]
  for i, value in _in_chunks(all_names.hashes()):
    at = np.searchsorted(ascending, value)
    is_equal = ascending[np.minimum(at, len(some) - 1)] == value
    for row, place in zip(i[is_equal].tolist(), at[is_equal], strict=True):
      k = int(order[place])
      if all_names.encoded(row) == some.encoded(k):
        yield row, k


def _in_chunks(values):
  """Yields (indices, values) of some at a time."""
  for start in range(0, len(values), _CHUNK):
    part = values[start : start + _CHUNK]
    yield np.arange(start, start + len(part)), part
