"""Images on disk: a list of paths and labels, or a folder per class."""

import functools
import logging
import os

import numpy as np

from bfjax import errors, text
from bfjax.config import limits
from bfjax.data import (
  checks,
  files,
  folders,
  images,
  labelled,
  lists,
  places,
  selection,
)
from bfjax.data.names import Names

_log = logging.getLogger(__name__)

_MAX_LABEL = 2**31 - 1
# A path without one of these has hardly a part that `folders.is_system` knows.
_SYSTEM_TRACES = (b'/.', b'__MACOSX/', b'@eaDir/')


def build(
  *,
  root: str,
  list: str = '',
  truth: str = '',
  outliers: str = '',
  num_classes: int = 0,
  check: str = 'exist',
) -> labelled.Source:
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
    found, labels, class_names = _read_list(list_path, root, num_classes)
    if truth:
      truth_path = places.find_list(truth, root, 'data.truth')
      true_labels = selection.read_truth(
        truth_path, root, labels, names=found.names, class_names=class_names
      )
    if outliers:
      true_labels = labels.copy() if true_labels is None else true_labels
      outliers_path = places.find_list(outliers, root, 'data.outliers')
      listed = lists.read(outliers_path, root).names
      where = functools.partial(text.row_place, outliers_path)
      rows = selection.find_rows(found.names, listed, where)
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
    checks.refuse_links(found.path, identities, list and list_path)
  return labelled.Source(found, labels, true_labels, class_names)


def _read_list(path, root, num_classes):
  """(ImageFiles, labels int32 [n], the label as given of each class)."""
  listed, given = lists.read(path, root)
  if not given.size:
    raise errors.UserError(f'{text.printable(path)}: the list is empty.')
  limit = num_classes - 1 if num_classes else _MAX_LABEL
  if given.max() > limit:
    row = int(np.argmax(given > limit))
    raise errors.UserError(
      f'{text.row_place(path, row)}: label {given[row]}, but the '
      f'largest may be {limit}'
      + (f' (data.num_classes = {num_classes}).' if num_classes else '.')
    )
  labels, values = labelled.dense(given)
  del given  # memory for what follows
  checks.refuse_duplicates(path, listed)
  _log_system_files(path, listed)
  return files.ImageFiles(listed, root), labels, Names.of_numbers(values)


def _log_system_files(path: str, listed: Names) -> None:
  """Warns of hidden and system files; a list is a user's word, so they stay."""
  if not any(trace in listed.blob for trace in _SYSTEM_TRACES):
    return
  found = [name for name in listed if _is_system(name)]
  if found:
    _log.warning(
      '%s lists %d hidden or system files, such as %s. They are used as all '
      'others are: take them off the list if they are not meant.',
      text.printable(path),
      len(found),
      text.printable(found[0]),
    )


def _is_system(name: str) -> bool:
  parts = name.split('/')
  parts = parts[-1:] if name.startswith('/') else parts
  return any(part != '..' and folders.is_system(part) for part in parts)
