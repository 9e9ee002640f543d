"""The images of IJB-B and IJB-C, and the templates they make up.

The layout is that of InsightFace's release, for NAME ijbb or ijbc:

    root/loose_crop/...                    the images
    root/meta/NAME_face_tid_mid.txt        lines `image template medium`
    root/meta/NAME_name_5pts_score.txt     `image x1 y1 .. x5 y5 detector score`

Both lists have a line for each image, in the same order.
"""

import os
from typing import Any, NamedTuple

import numpy as np

from bfjax import errors
from bfjax.data import files
from bfjax.data.names import Names
from bfjax.evaluation import benchmarks
from bfjax.evaluation.benchmarks.parts import alignment, ijb_features, ijb_lists
from bfjax.evaluation.protocols import templates
from bfjax.text import printable

NAMES = {'IJBB': 'IJB-B', 'IJBC': 'IJB-C'}
_MEDIA = (('image', 'name'), ('template', 'int'), ('medium', 'int'))
_POINTS = (
  ('image', 'name'),
  *((f'{axis}{i}', 'float') for i in range(1, 6) for axis in 'xy'),
  ('detector score', 'float'),
)


class Images(NamedTuple):
  """Images and the templates they make up.

  Attributes:
    files: what to embed; None where features are saved.
    pictures: the same to be looked at, by the rows of the lists; or None.
    media_list: path of the list of templates and media.
    names: of n images.
    template_ids: int32 [T], the templates' numbers, ascending.
    template: int32 [n], which of them an image belongs to.
    media: int32 [n], the number of its medium.
    detector_scores: float64 [n], or None.
    pooling: the flags of the protocol.
    saved: saved features, or None.
    in_words: where the features come from.
  """

  files: Any
  pictures: Any
  media_list: str
  names: ijb_lists.Names
  template_ids: np.ndarray
  template: np.ndarray
  media: np.ndarray
  detector_scores: np.ndarray | None
  pooling: templates.Pooling
  saved: Any
  in_words: str

  def describe(self) -> str:
    """What there is, what is embedded and all flags, in words."""
    return (
      f'{len(self.template_ids)} templates of {len(self.template)} images; '
      f'{self.in_words}; {self.pooling.describe()}; mean over the images of a '
      'medium, sum over media, normalised, dot product'
    )

  def pool(self, features) -> np.ndarray:
    """float64 [T, d]: the templates; see `templates.pool`.

    Args:
      features: float32 [n, 2, d] of `files`; None for the saved ones.

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    if features is None:
      features = self.saved
    if len(features) != len(self.template):
      raise ValueError(f'{len(features)} features, {len(self.template)} images')
    return templates.pool(
      features,
      self.template,
      self.media,
      self.detector_scores,
      pooling=self.pooling,
      num_templates=len(self.template_ids),
      rank=self.names.rank(),
      name=self.names.__getitem__,
    )

  def find(
    self, path: str, ids: np.ndarray, lines: np.ndarray | None = None
  ) -> np.ndarray:
    """int32 [n]: which template each number in a list is.

    Args:
      path: the list.
      ids: int [n], a column of it.
      lines: the line of each, from 1; None where every line has one.

    Raises:
      UserError: if a template has no image; the message names the line.
    """
    known = self.template_ids
    places = np.searchsorted(known, ids).astype(np.int32)
    np.minimum(places, len(known) - 1, out=places)
    is_known = known[places] == ids
    if not is_known.all():
      row = int(np.argmin(is_known))
      line = ijb_lists.line_of(path, row) if lines is None else lines[row]
      raise errors.UserError(
        f'{printable(path)}:{line}: template {ids[row]} has no image in '
        f'{printable(self.media_list)} ({np.count_nonzero(~is_known)} '
        f'of {len(ids)} mentions are of such templates). Are these lists of '
        'one data set?'
      )
    return places

  def picture_of(self, template: int) -> tuple[int, str]:
    """(row of a template's first image, text that tells both)."""
    row = int(np.argmax(self.template == template))
    text = f'template {self.template_ids[template]}: {self.names[row]}'
    return row, text


def open_images(
  *,
  root: str,
  name: str,
  images: str,
  features: str,
  aligned: bool,
  pooling: templates.Pooling,
  image_size: int,
  media_list: str,
  landmark_list: str,
) -> Images:
  """Reads the lists and looks the images, or their features, up.

  Args:
    root: the folder that all other paths are relative to.
    name: 'IJBB' or 'IJBC', which the lists are called after.
    images: the folder of the images.
    features: saved features instead of images; see `ijb_features`.
    aligned: whether the images are aligned crops already.
    pooling: the flags of the protocol.
    image_size: of the aligned crops.
    media_list: the list of templates and media; '' for the usual one.
    landmark_list: that of landmarks and detector scores; likewise. It is not
      read where neither is needed.

  Raises:
    Absent: if there is no list of templates and media.
    UserError: if a flag has no such value, a list cannot be understood, the
      lists do not fit, or images or features are missing.
  """
  errors.choose('IJB set', name, NAMES)
  pooling.check()
  media_list = in_meta(root, media_list, f'{name.lower()}_face_tid_mid.txt')
  if not os.path.exists(media_list):
    raise benchmarks.Absent(
      f'{NAMES[name]} is not there: no {printable(media_list)}.'
    )
  names, ids, media = ijb_lists.read(media_list, _MEDIA)
  landmarks = detector_scores = None
  to_align = not (features or aligned)
  if to_align or pooling.detector == 'weighted':
    landmark_list = in_meta(
      root, landmark_list, f'{name.lower()}_name_5pts_score.txt'
    )
    landmarks, detector_scores = _read_points(landmark_list, media_list, names)
  template_ids, template = np.unique(ids, return_inverse=True)
  found = files.ImageFiles(
    Names(names.blob, names.offsets), os.path.join(root, images)
  )
  there = os.path.isfile(found.path(0))
  saved = None
  if features:
    saved, in_words = ijb_features.find(
      os.path.join(root, features), images, names, pooling
    )
  else:
    found.check_exist()
    in_words = f'images of {images}'
  if to_align:
    _check_apart(landmark_list, landmarks)
    found = alignment.AlignedFiles(found, landmarks, image_size)
    in_words += f' aligned by five points to {image_size} pixels'
  elif not features:
    in_words += ', aligned already'
  return Images(
    None if features else found,
    found if there else None,
    media_list,
    names,
    template_ids,
    template.astype(np.int32),
    media,
    detector_scores if pooling.detector == 'weighted' else None,
    pooling,
    saved,
    in_words,
  )


def in_meta(root: str, given: str, usual: str) -> str:
  """The path of a list: the one given, or the usual one in `meta`."""
  return os.path.join(root, given or os.path.join('meta', usual))


def _read_points(path, media_list, names) -> tuple[np.ndarray, np.ndarray]:
  """Landmarks float64 [n, 5, 2] and detector scores float64 [n]."""
  others, *numbers = ijb_lists.read(path, _POINTS)
  numbers = np.stack(numbers, axis=1)
  if len(numbers) != len(names):
    raise errors.UserError(
      f'{printable(path)} has {len(numbers)} images, '
      f'{printable(media_list)} {len(names)}: both list all images, in '
      'the same order. Restore the lists.'
    )
  if others.blob != names.blob or (others.offsets != names.offsets).any():
    row = next(i for i in range(len(names)) if names[i] != others[i])
    raise ijb_lists.bad_line(
      path,
      row,
      f'{printable(others[row])!r}, but '
      f'{printable(media_list)}:{ijb_lists.line_of(media_list, row)} has '
      f'{printable(names[row])!r}: both list all images, in the same '
      'order. Restore the lists.',
    )
  finite = np.isfinite(numbers).all(axis=1)
  if not finite.all():
    raise ijb_lists.bad_line(
      path,
      int(np.argmin(finite)),
      'a coordinate or the detector score is not finite. Restore the list.',
    )
  return numbers[:, :-1].reshape(-1, 5, 2), numbers[:, -1]


def _check_apart(path, landmarks) -> None:
  """Raises UserError if a face has one point five times."""
  apart = (landmarks != landmarks[:, :1]).any(axis=(1, 2))
  if not apart.all():
    raise ijb_lists.bad_line(
      path,
      int(np.argmin(apart)),
      'the five points are one and the same, which no face can be aligned by. '
      'Restore the list.',
    )
