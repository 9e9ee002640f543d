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
import pyarrow.compute as pc

from bfjax import errors
from bfjax.data import alignment, files, labelled
from bfjax.evaluation import benchmarks
from bfjax.evaluation.benchmarks.parts import ijb_features, ijb_lists
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


class Images:
  """Images and the templates they make up.

  Attributes:
    name: of the data set, 'IJB-C'.
    files, pictures: as of `benchmarks.Benchmark`, by the rows of the lists.
  """

  def __init__(self, options: Options):
    """Reads the lists and looks the images, or their features, up.

    Raises:
      Absent: if there is no list of templates and media.
      UserError: if a flag has no such value, a list cannot be understood, the
        lists do not fit, or images or features are missing.
    """
    self.name = errors.choose('IJB set', options.name, _NAMES)
    flags = options.flip, options.norm, options.detector
    self._pooling = templates.Pooling(*flags)
    self._pooling.check()
    media_list = options.in_meta(options.media_list, 'face_tid_mid.txt')
    self._media_list = printable(media_list)
    if not os.path.exists(media_list):
      raise benchmarks.Absent(
        f'{self.name} is not there: no {self._media_list}.'
      )
    names, ids, self._media = ijb_lists.read(media_list, ijb_lists.MEDIA)
    self._names = names
    # Which of the templates, by ascending number, an image belongs to.
    self._ids, self._template = np.unique(ids, return_inverse=True)
    self._scores: np.ndarray | None = None
    landmarks = None
    to_align = not (options.features or options.aligned)
    if to_align or self._pooling.detector == 'weighted':
      points = options.in_meta(options.landmark_list, 'name_5pts_score.txt')
      landmarks, self._scores = ijb_lists.read_points(
        points, names, media_list, to_align
      )
    pictures = files.ImageFiles(
      names.to_pylist(), os.path.join(options.root, options.images)
    )
    self.pictures: labelled.Images | None = pictures
    self.files: labelled.Images | None = None
    self._saved: Any = None
    if options.features:
      self._saved, self._in_words = ijb_features.find(
        os.path.join(options.root, options.features),
        options.images,
        [os.fsdecode(name) for name in names.to_pylist()],
        self._pooling,
      )
      if not os.path.isfile(pictures.path(0)):
        self.pictures = None
      return
    pictures.check_exist()
    self._in_words = f'images of {options.images}, aligned already'
    if landmarks is not None and to_align:
      size = options.image_size
      self.pictures = alignment.AlignedFiles(pictures, landmarks, size)
      self._in_words = (
        f'images of {options.images} aligned by five points to {size} pixels'
      )
    self.files = self.pictures

  def describe(self) -> str:
    """What there is, what is embedded and all flags, in words."""
    return (
      f'{len(self._ids)} templates of {len(self._names)} images; '
      f'{self._in_words}; {self._pooling.describe()}; mean over the images of '
      'a medium, sum over media, normalised, dot product'
    )

  def pool(self, features: np.ndarray | None) -> np.ndarray:
    """float64 [T, d]: the templates, by ascending number.

    Args:
      features: float32 [n, 2, d] of `files`; None for the saved ones.

    Raises:
      UserError: if features are not finite; the message names the image.
    """
    if features is None:
      features = self._saved
    if len(features) != len(self._names):
      raise ValueError(f'{len(features)} features, {len(self._names)} images')
    return templates.pool(
      features,
      self._template,
      self._media,
      self._scores,
      pooling=self._pooling,
      num_templates=len(self._ids),
      rank=pc.rank(self._names, tiebreaker='first').to_numpy(),
      name=lambda row: ijb_lists.name(self._names, row),
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
    # Where there is no number as high, the last one is looked at.
    places = np.searchsorted(self._ids[:-1], ids).astype(np.int32)
    is_known = self._ids[places] == ids
    ijb_lists.check(
      path,
      is_known,
      lambda row: (
        f'template {ids[row]} has no image in {self._media_list} '
        f'({np.count_nonzero(~is_known)} of {len(ids)} mentions are of such '
        'templates). Are these lists of one data set?'
      ),
      lines,
    )
    return places

  def picture_of(self, template: int) -> tuple[int, str]:
    """(row of a template's first image, text that tells both)."""
    row = int(np.argmax(self._template == template))
    name = ijb_lists.name(self._names, row)
    return row, f'template {self._ids[template]}: {name}'
