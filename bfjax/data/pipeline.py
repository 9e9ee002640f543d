"""Batches of images: of training, shuffled; of evaluation, in order."""

from collections.abc import Sequence

import numpy as np

from bfjax import errors
from bfjax.config import limits
from bfjax.data import augment as augmentation
from bfjax.data import files as image_files
from bfjax.data import labelled, loading, order

steps_per_epoch = order.steps_per_epoch


def train_batches(
  source: labelled.Source,
  labels: np.ndarray,
  *,
  batch: int,
  image_size: int,
  seed: int,
  first_step: int,
  num_steps: int,
  process_index: int = 0,
  process_count: int = 1,
  flip: bool = True,
  augment: augmentation.Augment | None = None,
  on_error: str = 'error',
  max_skipped: float = 0.1,
  bad_rows: Sequence[int] = (),
  threads: int = 0,
) -> loading.Stream:
  """Returns the batches of the steps first_step .. first_step + num_steps - 1.

  The batch of a step is a function of (seed, step) and the files alone: not
  of where the stream started, of `threads`, or of what has been met before.
  `order.TrainOrder` tells the rows; every row comes once an epoch.

  A batch is a dict of numpy arrays, b = batch / process_count:
    image: uint8 [b, image_size, image_size, 3], RGB.
    label: int32 [b].
    row: int32 [b], the rows shown.
    mask: bool [b], False for rows that only fill the last batch of an epoch.
    skipped: int, how many rows (of mask True) stand in for bad ones.

  Args:
    source: where the images come from.
    labels: int32 [num_rows], the label of each row.
    batch: rows of a step, of all processes together.
    image_size: height and width that images are resized to.
    seed: of order and mirroring.
    first_step: the step to start at, from 0.
    num_steps: how many batches there are.
    process_index: this process gets the process_index-th part of each batch.
    process_count: the number of processes.
    flip: whether to mirror half of the images.
    augment: what else is done to an image, before mirroring; a function of
      (seed, epoch, row) too. None for nothing.
    on_error: what an image that cannot be read or decoded does: 'error' ends
      the stream, 'skip' replaces it by the next good row, with that row's own
      label.
    max_skipped: with on_error='skip', what share of all images, or of those
      tried together, may be bad (and in any case a hundred): above it, the
      storage is taken to be out of order, and the stream ends with an error.
    bad_rows: rows to replace without trying them: those met earlier. They
      save time and change nothing.
    threads: of reading and decoding; 0 for one per CPU, at most 16. More than
      CPUs help where a network drive makes reading wait.

  Raises:
    UserError: (from the iterator too) for an image that cannot be used; the
      message names it.
  """
  limits.check('data.on_error', on_error)
  if len(labels) != source.num_rows:
    raise errors.UserError(
      f'{len(labels)} labels were given for {source.num_rows} images.'
    )

  def plan(bad_rows):
    return order.TrainOrder(
      num_rows=source.num_rows,
      batch=batch,
      seed=seed,
      process_index=process_index,
      process_count=process_count,
      flip=flip,
      bad_rows=bad_rows,
    )

  labels = np.asarray(labels, np.int32)

  def finish(found):
    return {
      'image': found['image'],
      'label': labels[found['row']],
      'row': found['row'].astype(np.int32),
      'mask': found['mask'],
      'skipped': int(np.sum(found['replaced'] & found['mask'])),
    }

  return loading.Stream(
    source,
    plan,
    steps=range(first_step, first_step + num_steps),
    image_size=image_size,
    on_error=on_error,
    bad_rows=bad_rows,
    threads=threads,
    remedy='Restore it, take it off the list, or train without such images by '
    "data.on_error='skip'.",
    finish=finish,
    augment=augment or None,
    max_skipped=max_skipped,
  )


def ordered_batches(
  files: image_files.ImageFiles,
  *,
  batch: int,
  image_size: int,
  threads: int = 0,
  on_error: str = 'error',
) -> loading.Stream:
  """Returns the images 0 .. num_rows - 1 in order, each once, in batches.

  A batch is a dict of numpy arrays:
    image: uint8 [batch, image_size, image_size, 3], RGB; black where there is
      none.
    row: int32 [batch]; -1 where there is none.
    mask: bool [batch]; False where there is none: after the last row and,
      with on_error='skip', in place of an image that cannot be used.

  Raises:
    UserError: for an image that cannot be used; the message names it.
  """
  limits.check('data.on_error', on_error)

  def plan(bad_rows):
    return order.FileOrder(files.num_rows, batch, bad_rows)

  def finish(found):
    row = found['row'].astype(np.int32)
    return {'image': found['image'], 'row': row, 'mask': found['mask']}

  return loading.Stream(
    files,
    plan,
    steps=range(steps_per_epoch(files.num_rows, batch)),
    image_size=image_size,
    on_error=on_error,
    bad_rows=(),
    threads=threads,
    remedy='Restore it or take it off the list.',
    finish=finish,
  )
