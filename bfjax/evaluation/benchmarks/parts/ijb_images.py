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
import pyarrow as pa
import pyarrow.compute as pc

from bfjax import errors
from bfjax.data import files
from bfjax.evaluation import benchmarks
from bfjax.evaluation.benchmarks.parts import (
  alignment,
  columns,
  ijb_features,
  ijb_lists,
)
from bfjax.evaluation.protocols import templates
from bfjax.text import printable

_NAMES = {'IJBB': 'IJB-B', 'IJBC': 'IJB-C'}


class Options(NamedTuple):
  """What both benchmarks of IJB let choose.

  Attributes:
    root: the folder that all other paths are relative to.
    name: 'IJBB' or 'IJBC', which the lists are called after.
    images: the folder of the images.
    features: saved features instead of images: a .npy or a folder, see
      `ijb_features`.
    aligned: whether the images are aligned crops already.
    flip: 'sum', f(x) + f(mirror x), or 'none', f(x).
    norm: 'kept' or 'removed': whether the features of images are normalised.
    detector: 'weighted' or 'ignored': whether they are multiplied by the
      detector score.
    image_size: pixels of a side of the aligned crops.
    media_list: the list of templates and media; '' for the usual one.
    landmark_list: that of landmarks and detector scores; likewise. It is not
      read where neither is needed.
  """

  root: str
  name: str = 'IJBC'
  images: str = 'loose_crop'
  features: str = ''
  aligned: bool = False
  flip: str = 'sum'
  norm: str = 'kept'
  detector: str = 'weighted'
  image_size: int = 112
  media_list: str = ''
  landmark_list: str = ''

  def in_meta(self, given: str, usual: str) -> str:
    """The path of a list: the one given, or meta/NAME_<usual>."""
    usual = os.path.join('meta', f'{self.name.lower()}_{usual}')
    return os.path.join(self.root, given or usual)


class Images(NamedTuple):
  """Images and the templates they make up.

  Attributes:
    name: of the data set, 'IJB-C'.
    files: what to embed; None where features are saved.
    pictures: the same to be looked at, by the rows of the lists; or None.
    media_list: path of the list of templates and media.
    names: binary Arrow array, of n images.
    template_ids: int32 [T], the templates' numbers, ascending.
    template: int32 [n], which of them an image belongs to.
    media: int32 [n], the number of its medium.
    detector_scores: float64 [n], or None where they are not needed.
    pooling: the flags of the protocol.
    saved: saved features, or None.
    in_words: where the features come from.
  """

  name: str
  files: Any
  pictures: Any
  media_list: str
  names: pa.BinaryArray
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
      rank=pc.rank(self.names, tiebreaker='first').to_numpy(),
      name=lambda row: columns.name(self.names, row),
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
    columns.check(
      path,
      is_known,
      lambda row: (
        f'template {ids[row]} has no image in {printable(self.media_list)} '
        f'({np.count_nonzero(~is_known)} of {len(ids)} mentions are of such '
        'templates). Are these lists of one data set?'
      ),
      lines,
    )
    return places

  def picture_of(self, template: int) -> tuple[int, str]:
    """(row of a template's first image, text that tells both)."""
    row = int(np.argmax(self.template == template))
    name = columns.name(self.names, row)
    return row, f'template {self.template_ids[template]}: {name}'


def open_images(options: Options) -> Images:
  """Reads the lists and looks the images, or their features, up.

  Raises:
    Absent: if there is no list of templates and media.
    UserError: if a flag has no such value, a list cannot be understood, the
      lists do not fit, or images or features are missing.
  """
  name = errors.choose('IJB set', options.name, _NAMES)
  pooling = templates.Pooling(options.flip, options.norm, options.detector)
  pooling.check()
  media_list = options.in_meta(options.media_list, 'face_tid_mid.txt')
  if not os.path.exists(media_list):
    raise benchmarks.Absent(f'{name} is not there: no {printable(media_list)}.')
  names, ids, media = columns.read(media_list, ijb_lists.MEDIA)
  template_ids, template = np.unique(ids, return_inverse=True)
  landmarks = detector_scores = None
  to_align = not (options.features or options.aligned)
  if to_align or pooling.detector == 'weighted':
    points = options.in_meta(options.landmark_list, 'name_5pts_score.txt')
    landmarks, detector_scores = ijb_lists.read_points(
      points, names, media_list, to_align
    )
  pictures = files.ImageFiles(
    names.to_pylist(), os.path.join(options.root, options.images)
  )
  saved = to_embed = None
  if options.features:
    saved, in_words = ijb_features.find(
      os.path.join(options.root, options.features),
      options.images,
      [os.fsdecode(name) for name in names.to_pylist()],
      pooling,
    )
    if not os.path.isfile(pictures.path(0)):
      pictures = None
  else:
    pictures.check_exist()
    in_words = f'images of {options.images}, aligned already'
    if to_align:
      size = options.image_size
      pictures = alignment.AlignedFiles(pictures, landmarks, size)
      in_words = (
        f'images of {options.images} aligned by five points to {size} pixels'
      )
    to_embed = pictures
  return Images(
    name,
    to_embed,
    pictures,
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
