"""Correction logs, and how well they fit the truth, as the reference has it."""

import hashlib
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from matplotlib import figure, ticker

from bfjax import atomic, errors
from bfjax.data import listforms, lists

_DIGEST = np.dtype('V16')
_HEADER = b'row\tpath\tgiven_label\tnew_label'


class Score(NamedTuple):
  """How a log fits the truth; a pair is an image with a label.

  Attributes:
    logged: pairs in the log.
    right: of these, those that are in the truth.
    flipped: pairs in the truth.
  """

  logged: int
  right: int
  flipped: int

  @property
  def precision(self) -> float:
    """|logged pairs in the truth| / |logged|, NaN of an empty log."""
    return self.right / self.logged if self.logged else float('nan')

  @property
  def recall(self) -> float:
    """|logged pairs in the truth| / |truth|."""
    return self.right / self.flipped


def log_pairs(path: str | pathlib.Path) -> Iterator[tuple[bytes, str]]:
  """Yields the pairs (image path, new label) of a correction log.

  It is a log of a run (`corrections/epoch_007.tsv`: row, path, given and new
  label) or one of the reference's code (lines `path<TAB>new label`).

  Raises:
    UserError: if it cannot be read or a line is neither; the line is named.
  """
  try:
    with open(path, 'rb') as file:
      if file.readline().rstrip(b'\r\n') == _HEADER:
        yield from _rows(path, file)
        return
  except OSError as error:
    raise errors.UserError(
      f'Cannot read the log {str(path)!r}: {error.strerror}.'
    ) from error
  for _, image, label in lists.parse_lines(str(path)):
    yield image, str(label)


def read_log(path: str | pathlib.Path) -> dict[bytes, str]:
  """The same as image path -> new label, the last one of each image."""
  return dict(log_pairs(path))


def _rows(path, file):
  for number, line in enumerate(file, 2):
    fields = line.rstrip(b'\r\n').split(b'\t')
    # A path may hold tabs: it is all between the row and the two labels.
    if len(fields) < 4:
      raise errors.UserError(
        f'{path}:{number}: expected row, path, given and new label between'
        f' tabs, found {line[:200]!r}.'
      )
    image = listforms.tidied(b'\t'.join(fields[1:-2]))
    yield image, fields[-1].decode('utf-8', 'replace')


def read_truth(path: str, root: str = '') -> dict[bytes, str]:
  """Reads the flipped images with their TRUE labels.

  Args:
    path: the list.
    root: the folder of the images, or ''; see `lists.read`.

  Raises:
    UserError: if it cannot be read or is empty.
  """
  lines = lists.parse_lines(path, root)
  truth = {image: str(label) for _, image, label in lines}
  if not truth:
    raise errors.UserError(f'{path} is empty: there is no truth to compare to.')
  return truth


def score(
  log: Iterable[tuple[bytes, str]], truth: Mapping[bytes, str]
) -> Score:
  """Compares the sets of pairs (image, label) of a log and of the truth.

  A pair that is logged twice counts once, and an image with two labels as two
  pairs. A logged pair takes 16 bytes of memory, its digest.
  """
  digests = bytearray()
  right = set()
  for image, label in log:
    pair = image + b'\t' + label.encode()
    digests += hashlib.blake2b(pair, digest_size=_DIGEST.itemsize).digest()
    if truth.get(image) == label:
      right.add(image)
  logged = len(np.unique(np.frombuffer(digests, _DIGEST)))
  return Score(logged, len(right), len(truth))


def plot(
  path: pathlib.Path,
  epochs: Iterable[int],
  scores: Iterable[Score],
  epoch_start: int = 0,
) -> None:
  """Draws precision and recall over the epochs.

  Args:
    path: of the picture; its ending says the format, .png or .svg.
    epochs: of each score, ascending.
    scores: of each epoch.
    epoch_start: labels are corrected in later epochs than this; those before
      have no scores, and where they end is marked.
  """
  epochs, scores = np.array(list(epochs)), list(scores)
  correcting = epochs > epoch_start
  sheet = figure.Figure(figsize=(7, 4), dpi=120, layout='constrained')
  axis = sheet.subplots()
  for name, colour, marker in (
    ('precision', '#0072b2', 'o'),
    ('recall', '#d55e00', 's'),
  ):
    values = 100 * np.array([getattr(s, name) for s in scores])
    axis.plot(
      epochs[correcting],
      values[correcting],
      color=colour,
      marker=marker,
      ms=4,
      label=name,
    )
  if not correcting.all():
    axis.axvline(epoch_start + 0.5, color='grey', linestyle='--')
    axis.annotate(
      'correction begins',
      (epoch_start + 0.5, 50),
      (-4, 0),
      textcoords='offset points',
      rotation=90,
      ha='right',
      va='center',
      color='grey',
    )
    axis.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
  axis.set(xlabel='epoch', ylabel='per cent', ylim=(0, 102))
  axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  axis.grid(alpha=0.3)
  axis.legend(loc='lower right')
  axis.set_title('Corrected labels against the truth')
  with atomic.writing(path) as draft:
    sheet.savefig(draft, format=path.suffix[1:] or 'png')
