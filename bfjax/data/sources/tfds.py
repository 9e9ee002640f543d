"""Image-classification sets of TensorFlow Datasets, as ArrayRecord.

Any such set will do, whoever prepared it, if its file format is `array_record`:
only that gives random access.

TensorFlow Datasets takes seconds to import, so that is done when it is needed.
"""

import dataclasses

from bfjax import errors
from bfjax.config import limits
from bfjax.data import images, labelled, names, places, tfds_columns, tfds_sets
from bfjax.formats import array_records
from bfjax.text import printable


@dataclasses.dataclass(frozen=True)
class TfdsImages:
  """The images of a split of a prepared TFDS set.

  Rows are numbered as stored. A row's name is its feature `path`, where the
  set has one (those of `tools/pack.py` have), else `SET/VERSION/SPLIT#ROW`.
  """

  records: array_records.Records
  split: tfds_sets.Split
  names: names.Names | None

  @property
  def num_rows(self) -> int:
    """How many rows there are."""
    return len(self.records)

  def read(self, rows) -> list[bytes]:
    """See `labelled.Images`."""
    key = self.split.image_key
    images = []
    for row, record in zip(rows, self.records.read(rows), strict=True):
      images += tfds_columns.values(record, [key])
      if not isinstance(images[-1], bytes):
        raise errors.UserError(
          f'Cannot read the image {printable(self.path(row))}: the record has '
          f'no feature {key!r}. Prepare the set again.'
        )
    return images

  def name(self, row: int) -> str:
    """See `labelled.Images`."""
    name = self.names[int(row)] if self.names else ''
    return name or f'{self.split.title}#{row}'

  def path(self, row: int) -> str:
    """See `labelled.Images`."""
    file, number = self.records.place(int(row))
    return f'{file}#{number}'


def build(
  *,
  root: str,
  dataset: str = '',
  split: str = 'train',
  image_key: str = '',
  label_key: str = '',
  truth: str = '',
  num_classes: int = 0,
  check: str = 'exist',
  index_dir: str = '',
) -> labelled.Source:
  """A split of a set of TensorFlow Datasets.

  Labels, and the feature `path` where there is one, are read once and kept
  beside the set (or in `index_dir`, where it cannot be written to). Classes
  without an image are left out.

  Args:
    root: the folder of the set's version (with dataset_info.json), or the
      data_dir of TFDS above it.
    dataset: `name`, `name:1.0.0` or `name/config:1.0.0` in the data_dir; ''
      if it holds one set.
    split: a split, or a part of it in TFDS's notation, 'train[:80%]'.
    image_key: the feature of the image; '' if the set has one of that type.
    label_key: the feature of the label; likewise.
    truth: a list of the images whose label was flipped, by their names, with
      their true labels; '' for the feature `true_label` if there is one.
    num_classes: there may be at most so many; 0 for no such limit.
    check: 'decode' decodes every image once; 'exist' and 'none' do not.
    index_dir: where labels are kept if not beside the set; '' for the cache
      folder of `bfjax.runtime`.

  Raises:
    UserError: if there is no such set or split, it is of another file format,
      has no image or label, or a record cannot be read.
  """
  limits.check('data.check', check)
  folder = tfds_sets.find(root, dataset)
  known = tfds_sets.open_split(folder, split, image_key, label_key)
  records = array_records.Records(known.parts)
  truth = places.find_list(truth, root, 'data.truth') if truth else ''
  paths, *columns = tfds_columns.read(records, known, truth, index_dir)
  source = labelled.Source(TfdsImages(records, known, paths), *columns)  # type: ignore[arg-type]
  if num_classes and source.num_classes > num_classes:
    raise errors.UserError(
      f'{printable(str(folder))} has {source.num_classes} classes, but '
      f'data.num_classes is {num_classes}.'
    )
  if check == 'decode':
    images.check_images(source)
  return source
