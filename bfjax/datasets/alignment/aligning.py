"""A folder of photos to a folder of aligned crops, and lists of what was found.

OUT holds

    crops/          the crops, at the paths of the photos
    faces.tsv       path, score, box, landmarks and faces in the photo, of those
                    that have a crop
    not_found.tsv   path and reason, of those that have none
    train.txt       lines `path  label`, if the photos are in class folders

A line is written once the crop is there, so a killed command goes on.
"""

import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bfjax import atomic, errors
from bfjax.data import alignment, checks, folders, images
from bfjax.datasets.alignment import detectors
from bfjax.text import printable

CROPS, FACES, NOT_FOUND, LIST = (
  *('crops', 'faces.tsv', 'not_found.tsv', 'train.txt'),
)
_COLUMNS = (
  *('path', 'faces', 'score', 'left', 'top', 'width', 'height'),
  *(f'{axis}{i}' for i in range(1, 6) for axis in 'xy'),
)


class Aligned(NamedTuple):
  """What came out of it."""

  num_found: int  # photos with a crop
  num_not_found: int
  num_several: int  # photos with more faces than the one that was taken
  num_classes: int  # class folders with a crop; 0 of photos in no such folders


def align(
  root: str,
  out: pathlib.Path,
  detect: detectors.Detector,
  image_size: int = 112,
) -> Aligned:
  """Writes the aligned crop of the main face of every photo below `root`.

  Args:
    root: a folder of photos, at any depth.
    out: a new folder, or that of a run of this command that was stopped.
    detect: from `detectors.build`.
    image_size: of the crops.

  Raises:
    UserError: if there are no photos, or a folder cannot be read or written.
  """
  if not os.path.isdir(root):
    raise errors.UserError(f'There is no folder {printable(root)} of photos.')
  names = [os.fsdecode(name) for name in folders.images_below(root)]
  if not names:
    raise errors.UserError(
      f'{printable(root)} holds no images ({", ".join(folders.SUFFIXES)}).'
    )
  for name in names:
    if set(name) & set('\t\n\r'):
      raise errors.UserError(
        f'{printable(os.path.join(root, name))}: a name with a tab or a new '
        'line cannot be listed. Rename the photo.'
      )
  try:
    (out / CROPS).mkdir(parents=True, exist_ok=True)
    found = _Lines(out / FACES, '\t'.join(_COLUMNS))
    missing = _Lines(out / NOT_FOUND, 'path\treason')
    with found, missing, checks.bar('Aligning', len(names)) as bar:
      for name in names:
        if name not in found.done and name not in missing.done:
          face = _align_one(root, name, out, detect, image_size)
          (missing if isinstance(face, str) else found).add(name, face)
        bar.update()
    return _summary(out, names, found.done)
  except OSError as error:
    raise errors.UserError(
      f'Cannot write to {printable(os.fspath(out))}: {error.strerror}. The same'
      ' command goes on.'
    ) from error


class _Lines:
  """A list that grows line by line, and is gone on with after a kill."""

  def __init__(self, path: pathlib.Path, header: str):
    self.done: dict[str, str] = {}  # path -> the rest of its line
    lines = [header]
    if path.exists():
      text = path.read_text('utf-8', 'surrogateescape')
      lines = text.split('\n')[:-1] or lines  # less a line cut short
      if lines[0] != header:
        raise errors.UserError(
          f'{path} is not of this command. Give another folder.'
        )
      self.done = dict(line.split('\t', 1) for line in lines[1:])
    with atomic.writing(path) as draft:
      draft.write_text('\n'.join(lines) + '\n', 'utf-8', 'surrogateescape')
    self._path = path

  def __enter__(self):
    self._file = self._path.open(
      'a', encoding='utf-8', errors='surrogateescape'
    )
    return self

  def __exit__(self, *exception):
    self._file.close()

  def add(self, name, rest) -> None:
    rest = rest if isinstance(rest, str) else '\t'.join(f'{x:g}' for x in rest)
    self._file.write(f'{name}\t{rest}\n')
    self._file.flush()
    self.done[name] = rest


def _align_one(root, name, out, detect, image_size) -> np.ndarray | str:
  """Writes a crop; the numbers of its line, or why there is none."""
  try:
    with open(os.path.join(root, name), 'rb') as file:
      image = images.decode_whole(file.read())
  except OSError as error:
    return error.strerror or str(error)
  except errors.UserError as error:
    return str(error)
  faces = detect(image)
  if not len(faces):
    return 'no face found'
  face = faces[detectors.main_face(faces, image.shape[:2])]
  transform = alignment.transforms(face[5:].reshape(1, 5, 2), image_size)[0]
  if not np.isfinite(transform).all():
    return 'no face found: all landmarks are one point'
  path = out / CROPS / name
  path.parent.mkdir(parents=True, exist_ok=True)
  suffix = path.suffix.lower()
  with atomic.writing(path) as draft:
    draft.write_bytes(alignment.crop(image, transform, image_size, suffix))
  return np.array([len(faces), *face])


def _summary(out, names, found) -> Aligned:
  """Writes the list of the crops, where they have classes, and counts."""
  of_class = {name: name.split('/')[0] for name in names if name in found}
  has_classes = all('/' in name for name in names)
  classes = sorted(set(of_class.values())) if has_classes else []
  if classes:
    number = {name: i for i, name in enumerate(classes)}
    lines = (f'{CROPS}/{x} {number[of_class[x]]}\n' for x in of_class)
    with atomic.writing(out / LIST) as draft:
      draft.write_text(''.join(lines), 'utf-8', 'surrogateescape')
  several = sum(int(line.split('\t')[0]) > 1 for line in found.values())
  return Aligned(
    len(of_class), len(names) - len(of_class), several, len(classes)
  )


def reasons(out: pathlib.Path) -> Iterator[str]:
  """Yields the lines `path: reason` of the photos without a crop."""
  text = (out / NOT_FOUND).read_text('utf-8', 'surrogateescape')
  for line in text.split('\n')[1:-1]:
    name, reason = line.split('\t', 1)
    yield f'{printable(name)}: {reason}'
