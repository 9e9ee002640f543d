"""Which records of a file are images of a training set, and their labels."""

import logging

import numpy as np

from bfjax import errors
from bfjax.formats import recordfiles, recordindex, recordscan
from bfjax.text import first_lines, printable

_log = logging.getLogger(__name__)

# float32 holds each integer up to here.
_EXACT = 2**24
# Rows are int32.
_MAX_END = 2**31
_SHOWN = 5


def images(
  file: recordfiles.RecordFile,
  catalogue: recordindex.Catalogue,
  *,
  num_classes: int,
  on_error: str,
) -> tuple[slice | np.ndarray, int]:
  """Chooses the records that are images with a usable label.

  Where record 0 has labels [N + 1, E] and no image, images have the keys
  1 .. N; else every record is one.

  Args:
    file: the records.
    catalogue: of them.
    num_classes: labels must be smaller than this; 0 for no such limit.
    on_error: 'error' or 'skip': what is done about damaged records.

  Returns:
    their places in the catalogue, a slice if none is left out, and how many
    are left out.

  Raises:
    UserError: if there are damaged ones and on_error='error', or the damage
      is such that images cannot be told from other records.
  """
  file.check_size()
  problems = _Problems(file.path)
  problems.add(catalogue.num_lost, catalogue.lost)
  chosen = _image_records(file, catalogue, problems)
  good = _check_labels(catalogue, chosen, num_classes, problems)
  problems.settle(on_error)
  return good, problems.count


class _Problems:
  """Records that cannot be used: how many, and the first of them."""

  def __init__(self, path):
    self.count = 0
    self._path, self._first = path, []

  def add(self, count, texts) -> None:
    """Takes texts, as many as are shown, of `count` records."""
    self.count += count
    self._first += texts

  def add_rows(self, catalogue, rows, what) -> None:
    """Takes records by their place in the catalogue; `what` row -> text."""
    texts = [
      f'key {catalogue.keys[row]} at byte {catalogue.offsets[row]}: {what(row)}'
      for row in rows[:_SHOWN].tolist()
    ]
    self.add(len(rows), texts)

  def settle(self, on_error) -> None:
    if not self.count:
      return
    lines = first_lines(self._first, self.count)
    text = (
      f'{printable(self._path)}: {self.count} records cannot be used:\n{lines}'
    )
    if on_error == 'error':
      raise errors.UserError(
        f'{text}\nGet the file again, or train without these records by '
        "data.on_error='skip'."
      )
    _log.warning('%s\nThey are left out.', text)


def _image_records(file, catalogue, problems):
  """The places in the catalogue of the records that are images."""
  keys = catalogue.keys
  everything = slice(0, len(keys))
  if not len(keys) or keys[0] != 0:
    return everything
  where = f'{printable(file.path)}: key 0 at byte {catalogue.offsets[0]}'
  try:
    record = file.read(int(catalogue.offsets[0]))
  except ValueError as error:
    raise errors.UserError(
      f'{where}: {error}. It may tell which records are images: without it the '
      'set cannot be read. Get the file again.'
    ) from error
  if record.is_scalar or record.image:
    return everything
  end = _whole(float(record.labels[0]))
  if end is None or not 1 <= end <= _MAX_END:
    raise errors.UserError(
      f'{where}: it says that the images end before the key '
      f'{record.labels[0]}. Expected: an integer from 1 to {_MAX_END}. Get the '
      'file again.'
    )
  end = _exact_end(file, catalogue, end)
  chosen = slice(*np.searchsorted(keys, [1, end]).tolist())
  missing = end - 1 - (chosen.stop - chosen.start)
  if missing:
    there = keys[chosen]
    gap = np.flatnonzero(there != np.arange(1, 1 + len(there)))
    first = int(gap[0]) + 1 if len(gap) else len(there) + 1
    text = (
      f'key {first}: it is not in the index, and there are {end - 1} images'
    )
    problems.add(missing, [text])
  return chosen


def _whole(value: float) -> int | None:
  return int(value) if value == np.floor(value) and np.isfinite(value) else None


def _exact_end(file, catalogue, end):
  """The key after the last image; float32 has told it nearly.

  Records of identities hold no image: the first of those is where images end.
  """
  if end <= _EXACT:
    return end
  error = int(np.spacing(np.float32(end)))
  nearby = np.searchsorted(catalogue.keys, [end - error, end + error + 1])
  for row in range(*nearby.tolist()):
    if not file.read_image(int(catalogue.offsets[row])):
      return int(catalogue.keys[row])
  return end


def _check_labels(catalogue, chosen, num_classes, problems):
  """int [n], the places of the images with a good record and label."""
  limit = min(num_classes or _EXACT, _EXACT)
  first = chosen.start
  codes, labels = catalogue.codes[chosen], catalogue.labels[chosen]
  damaged = first + np.flatnonzero(codes)
  problems.add_rows(
    catalogue,
    damaged,
    lambda row: f'it {recordscan.PROBLEMS[catalogue.codes[row]]}',
  )
  with np.errstate(invalid='ignore'):  # false for NaN, as it should be
    fits = (labels >= 0) & (labels < limit) & (labels == np.floor(labels))
  unusable = first + np.flatnonzero(~fits & (codes == recordscan.GOOD))
  problems.add_rows(
    catalogue,
    unusable,
    lambda row: (
      f'its label is {catalogue.labels[row]:.9g}; expected: an integer from 0 '
      f'to {limit - 1}' + (' (data.num_classes)' if limit < _EXACT else '')
    ),
  )
  if not len(damaged) and not len(unusable):
    return chosen
  return first + np.flatnonzero(fits & (codes == recordscan.GOOD))
