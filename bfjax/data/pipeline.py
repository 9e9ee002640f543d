"""Batches of images: of training, shuffled; of evaluation, in order."""

import numpy as np

from bfjax import errors
from bfjax.data import images, labelled, loading, order


def train_batches(
  source: labelled.Source,
  labels: np.ndarray,
  plan: order.TrainOrder,
  steps: range,
  reading: images.Reading,
) -> loading.Stream:
  """Returns the batches of some steps.

  The batch of a step is a function of (seed, step) and the files alone: not
  of where the stream started, of the threads, or of what has been met before.
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
    plan: the order; its bad rows, those met earlier, save time and change
      nothing. A bad row is replaced by the next good one, with its own label.
    steps: from the first to that after the last; 0 is the first of a run.
    reading: how images are read; they are mirrored after its `augment`.

  Raises:
    UserError: (from the iterator too) for an image that cannot be used; the
      message names it.
  """
  if len(labels) != source.num_rows:
    raise errors.UserError(
      f'{len(labels)} labels were given for {source.num_rows} images.'
    )
  labels = np.asarray(labels, np.int32)
  return loading.Stream(source, plan, steps, reading, labels)


def ordered_batches(
  files: labelled.Images,
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
  return loading.Stream(
    files,
    order.FileOrder(files.num_rows, batch),
    range(order.steps_per_epoch(files.num_rows, batch)),
    images.Reading(
      image_size=image_size,
      threads=threads,
      on_error=on_error,
      max_skipped=1.0,
    ),
  )
