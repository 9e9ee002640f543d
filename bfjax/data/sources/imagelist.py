"""Images on disk: a list of paths and labels, or a folder per class."""

import array
import dataclasses
import itertools
import logging
import os
from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.data import files, images, lists, sources

_log = logging.getLogger(__name__)

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
_CHECKS = ('exist', 'decode', 'none')
_MAX_LABEL = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class ImageList:
  """A `sources.Source` of image files."""

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
  num_classes: int = 0,
  check: str = 'exist',
) -> ImageList:
  """Images under `root`, labelled by a list file or by their folders.

  A list has a line `path label` for each image. The last run of blanks or tabs
  of a line separates the two, so a path may hold blanks. A byte-order mark,
  CRLF and empty lines do no harm. Labels are integers; where some are unused,
  the others are renumbered 0 .. num_classes - 1 in ascending order, and
  `class_names` tells the labels as given. Rows are numbered in list order.

  Without a list every folder of `root` is a class, in the order of their
  names, and holds its images at any depth.

  Args:
    root: the folder that paths are relative to.
    list: the list file, absolute or relative to `root`; '' for a folder per
      class.
    truth: a list of the images whose label was flipped, with their true
      labels; '' where not known.
    num_classes: labels must be smaller than this; 0 for no such limit.
    check: 'exist' looks every image up on disk, 'decode' also decodes it,
      'none' does neither.

  Raises:
    UserError: if a file is missing or a line is wrong; the message names file
      and line.
  """
  errors.choose('check', check, dict.fromkeys(_CHECKS))
  if not os.path.isdir(root):
    raise errors.UserError(
      f'There is no folder {root!r}: data.root must be the folder that the '
      'images lie in.'
    )
  if truth and not list:
    raise errors.UserError(
      'data.truth holds labels of a list, so it needs data.list.'
    )
  if list:
    list_path = os.path.join(root, list)
    found, given = _read_list(list_path, root, num_classes)
    values, labels = np.unique(given, return_inverse=True)
    class_names = [str(value) for value in values.tolist()]
  else:
    found, labels, class_names = _read_folders(root, num_classes)
  labels = labels.astype(np.int32)
  true_labels = None
  if truth:
    truth_path = os.path.join(root, truth)
    true_labels = _true_labels(truth_path, found, labels, class_names)
  _log.info('%d images, %d classes', found.num_rows, len(class_names))
  if check == 'exist':
    found.check_exist()
  elif check == 'decode':
    images.check_images(found)
  return ImageList(
    files=found,
    labels=labels,
    true_labels=true_labels,
    class_names=class_names,
    fingerprint=sources.fingerprint(found.names_bytes(), labels),
  )


def _read_list(path, root, num_classes):
  """(ImageFiles, labels int64 [n] as given)."""
  limit = num_classes - 1 if num_classes else _MAX_LABEL
  blob = bytearray()
  offsets = array.array('q', [0])
  labels = array.array('q')
  hashes = array.array('q')
  for number, image, label in lists.parse_lines(path):
    if label > limit:
      raise errors.UserError(
        f'{path}:{number}: label {label}, but the largest may be {limit}'
        + (f' (data.num_classes = {num_classes}).' if num_classes else '.')
      )
    blob += image
    offsets.append(len(blob))
    labels.append(label)
    hashes.append(hash(image))
  if not labels:
    raise errors.UserError(f'{path}: the list is empty.')
  found = files.ImageFiles.from_blob(
    bytes(blob), np.frombuffer(offsets, np.int64), root
  )
  _refuse_duplicates(path, found, np.frombuffer(hashes, np.int64))
  return found, np.frombuffer(labels, np.int64)


def _refuse_duplicates(path, found, hashes):
  """Raises if a path is listed twice.

  Hashes are sorted first, and only paths of equal hashes compared: a set of
  all paths would take a gigabyte where there are 6 million.
  """
  order = np.argsort(hashes, kind='stable')
  equal = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
  for i in equal:
    first, second = sorted((int(order[i]), int(order[i + 1])))
    if found.name(first) == found.name(second):
      lines = (number for number, _, _ in lists.parse_lines(path))
      numbers = [*itertools.islice(lines, second + 1)]
      raise errors.UserError(
        f'{path}:{numbers[second]}: {files.printable(found.name(second))} is '
        f'listed already in line {numbers[first]}. Remove one of the two.'
      )


def _read_folders(root, num_classes):
  """(ImageFiles, labels int64 [n], class names) of a folder per class."""
  classes = sorted(
    entry.name
    for entry in os.scandir(root)
    if entry.is_dir() and not entry.name.startswith('.')
  )
  if not classes:
    raise errors.UserError(
      f'{root!r} has no folders. Without data.list, every folder in it is a '
      'class.'
    )
  if num_classes and len(classes) > num_classes:
    raise errors.UserError(
      f'{root!r} has {len(classes)} class folders, but data.num_classes is '
      f'{num_classes}.'
    )
  paths = []
  counts = []
  num_others = 0
  for name in classes:
    found, others = _images_of(root, name)
    if not found:
      raise errors.UserError(
        f'The class folder {files.printable(os.path.join(root, name))} has no '
        f'images ({", ".join(_SUFFIXES)}). Remove it or fill it.'
      )
    paths += found
    counts.append(len(found))
    num_others += others
  if num_others:
    _log.warning(
      '%d files under %s are not images (%s) and are not used.',
      num_others,
      root,
      ', '.join(_SUFFIXES),
    )
  labels = np.repeat(np.arange(len(classes)), counts)
  return files.ImageFiles(paths, root), labels, classes


def _images_of(root, name) -> tuple[list[str], int]:
  """The images of one class, sorted, and the number of other files."""
  found = []
  num_files = 0
  for folder, _, inside in os.walk(os.path.join(root, name)):
    num_files += len(inside)
    below = os.path.relpath(folder, root)
    found += [
      os.path.join(below, x) for x in inside if x.lower().endswith(_SUFFIXES)
    ]
  return sorted(found), num_files - len(found)


def _true_labels(path, found, labels, class_names) -> np.ndarray:
  """`labels` with those of the images in the list `path` replaced."""
  class_of = {name: i for i, name in enumerate(class_names)}
  truth = {}
  for number, image, label in lists.parse_lines(path):
    if str(label) not in class_of:
      raise errors.UserError(
        f'{path}:{number}: no image of the training list has the label {label}.'
      )
    if image in truth:
      raise errors.UserError(
        f'{path}:{number}: {files.printable(os.fsdecode(image))} is listed '
        f'already in line {truth[image][0]}.'
      )
    truth[image] = number, class_of[str(label)]
  true_labels = labels.copy()
  for row, image in enumerate(found.names_bytes()):
    if image in truth:
      true_labels[row] = truth.pop(image)[1]
  for image, (number, _) in truth.items():
    raise errors.UserError(
      f'{path}:{number}: {files.printable(os.fsdecode(image))} is not in the '
      'training list.'
    )
  return true_labels
