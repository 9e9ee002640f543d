"""Writes a source in another format: whole or not there, and resumable."""

import contextlib
import hashlib
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bfjax import atomic, errors
from bfjax.data import checks, images, labelled, selection
from bfjax.datasets import layouts, ondisk
from bfjax.storage import partial
from bfjax.text import printable

_SKIPPED = 'skipped_images.tsv'
# Images that a thread reads at a time: few, as some are of megabytes.
_CHUNK = 16
_THREADS = 4
_SAMPLE = 1000
_SAVE_SECS = 5.0  # how much time a kill may cost


def read_ahead(
  source: labelled.Source, rows: Sequence[int] | np.ndarray
) -> Iterator[tuple[int, bytes]]:
  """Yields (row, encoded image) of `rows`, in order, read by threads ahead.

  Raises:
    UserError: if an image cannot be read; the message names it.
  """

  def read(some):
    some = np.asarray(some)
    return list(zip(some.tolist(), source.read(some), strict=True))

  return checks.ahead(rows, read, chunk=_CHUNK, threads=_THREADS)


class Packed(NamedTuple):
  """What was written."""

  num_rows: int
  num_classes: int
  num_skipped: int  # images that could not be read
  has_truth: bool  # whether the new set tells true labels


def pack(
  source: labelled.Source,
  writer: layouts.Writer,
  *,
  command: Mapping,
  check: str = 'decode',
  on_error: str = 'error',
  verify: bool = False,
) -> Packed:
  """Writes a source in another format, or goes on with that.

  Then reads the set back and compares the number of images, all labels and the
  bytes of a sample of 1000.

  Args:
    source: what is written.
    writer: the new set, which must not be there.
    command: what else than the source tells this set from others: JSON.
    check: 'decode' decodes every image before the first is written; 'none'.
    on_error: 'error', or 'skip' to leave images out that cannot be decoded and
      list them in `skipped_images.tsv`.
    verify: whether to compare the bytes of all images.

  Raises:
    UserError: if the format cannot hold the source, an image cannot be read,
      the set cannot be written, or what is read back is not what was written.
  """
  errors.choose('check', check, dict.fromkeys(('decode', 'none')))
  errors.choose('on_error', on_error, dict.fromkeys(('error', 'skip')))
  order = writer.order(source)
  classes = '\n'.join(source.class_names).encode('utf-8', 'surrogateescape')
  record = {
    'images and labels': source.fingerprint,
    'classes': hashlib.sha256(classes).hexdigest(),
    **command,
  }
  with partial.folder(writer.out, record) as folder:
    bad = {}
    if check == 'decode':
      bad = _unreadable_once(source, folder, on_error)
    if bad:
      rows = np.delete(np.arange(source.num_rows), list(bad))
      names = {row: source.name(row) for row in bad}
      if not len(rows):
        raise errors.UserError('No image of the set can be decoded.')
      source = selection.select(source, rows=rows)
      order = writer.order(source)
    _write(source, writer, order, folder)
    copy = writer.read(folder)
    if copy is None:
      copy = _read_back(folder, writer.format)
    compare(source, copy, order, verify)
    if bad:
      lines = (f'{row}\t{printable(name)}\n' for row, name in names.items())
      atomic.write_text(folder / _SKIPPED, ''.join(lines))
    partial.complete(folder, writer.out, writer.file)
  has_truth = copy.true_labels is not None
  return Packed(source.num_rows, source.num_classes, len(bad), has_truth)


def _unreadable_once(source, folder, on_error) -> dict[int, str]:
  """The bad images, from the journal if they were looked for before."""
  journal = partial.read_journal(folder)
  if 'bad' not in journal:
    bad = dict(images.all_problems(source))
    if on_error == 'error':
      remedy = 'Restore them, or leave them out with --on-error=skip.'
      checks.refuse_any(bad.values(), source.num_rows, remedy)
    journal['bad'] = {str(row): problem for row, problem in bad.items()}
    partial.write_journal(folder, journal)
  return {int(row): problem for row, problem in journal['bad'].items()}


def _write(source, writer, order, folder) -> None:
  journal = partial.read_journal(folder)
  state = journal.get('state') or {}
  done = state.get('rows', 0)
  images = (encoded for _, encoded in read_ahead(source, order[done:]))
  steps = writer.write(folder, source, order, images, state)
  saved = time.monotonic()
  with (
    contextlib.closing(steps),
    checks.bar('Writing', source.num_rows, done) as bar,
  ):
    for count, save in enumerate(steps, done + 1):
      bar.update()
      is_last = count == source.num_rows
      if is_last or time.monotonic() - saved >= _SAVE_SECS:
        partial.write_journal(folder, journal | {'state': save()})
        saved = time.monotonic()


def _read_back(folder: pathlib.Path, format: str) -> labelled.Source:
  """The set in `folder` as others will read it."""
  flips = folder / layouts.FLIPS
  return ondisk.open_source(
    ondisk.detect(os.fspath(folder), format=format),
    truth=os.fspath(flips) if flips.exists() else '',
    check='none',
    # That of the cache folder would be of a path which is soon no more.
    index_dir=os.fspath(folder / partial.SCRATCH),
  )


def compare(
  source: labelled.Source,
  copy: labelled.Source,
  order: np.ndarray,
  verify: bool = False,
) -> None:
  """Checks that row i of `copy` is row order[i] of `source`.

  Labels are compared by the names of their classes, or by number where the
  format has no names.

  Raises:
    UserError: if it is not; the first difference is named.
  """
  if copy.num_rows != source.num_rows:
    raise _differs(
      f'it has {copy.num_rows} images instead of {source.num_rows}'
    )
  number = {name: i for i, name in enumerate(source.class_names)}
  classes = np.array([number.get(x, -1) for x in copy.class_names])
  wrong = np.flatnonzero(classes[copy.labels] != source.labels[order])
  if len(wrong):
    raise _differs(
      f'the label of {printable(copy.name(int(wrong[0])))} is another one, and '
      f'those of {len(wrong) - 1} other images'
    )
  if source.true_labels is not None and copy.true_labels is not None:
    here, there = source.true_labels[order], copy.true_labels
    known = here != labelled.NOBODY  # not every format has a word for nobody
    true = classes[there][known] != here[known]
    if true.any():
      raise _differs(f'{true.sum()} true labels are other ones')
  rows = np.arange(source.num_rows)
  if not verify and len(rows) > _SAMPLE:
    rows = np.random.default_rng(0).choice(rows, _SAMPLE, replace=False)
    rows.sort()
  with checks.bar('Comparing', len(rows)) as bar:
    for (row, new), (_, old) in zip(
      read_ahead(copy, rows), read_ahead(source, order[rows]), strict=True
    ):
      if new != old:
        raise _differs(f'the bytes of {printable(copy.name(row))} differ')
      bar.update()


def _differs(how: str) -> errors.UserError:
  return errors.UserError(
    f'The set read back is not what was to be written: {how}. Has the source '
    'changed, or is the disk faulty? Remove the partial set and start again.'
  )
