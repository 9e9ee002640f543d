"""Label noise on purpose, as the published experiments make it."""

import numpy as np

from bfjax import errors


def flip_labels(
  labels: np.ndarray, rate: float, num_classes: int, seed: int
) -> np.ndarray:
  """Gives part of every class a wrong label (closed-set noise).

  Of the n rows of each class, floor(n * rate), drawn at random, get a label
  drawn evenly from the num_classes - 1 others: the noise of BoundaryFace,
  https://arxiv.org/abs/2210.04567, section 4.

  Args:
    labels: int [n], the true labels, 0 .. num_classes - 1.
    rate: the share of each class, 0 .. 1.
    num_classes: the number of classes; those without a row count too.
    seed: names the draw, a non-negative integer. The result is a function of
      the arguments alone.

  Returns:
    int32 [n], the given labels; they differ from `labels` in the flipped rows.

  Raises:
    UserError: if the rate, the seed or a label is out of range, or if there is
      no other class.
  """
  labels = np.asarray(labels)
  _check(labels, rate, num_classes, seed)
  generator = np.random.default_rng(int(seed))
  flipped = _draw_rows(labels, rate, generator)
  # Steps of 1 .. num_classes - 1 around the circle of classes reach every
  # other class equally often.
  steps = generator.integers(1, max(num_classes, 2), len(flipped))
  given = labels.astype(np.int32)
  given[flipped] = (given[flipped] + steps) % num_classes
  return given


def replace_by_strangers(
  true: np.ndarray, given: np.ndarray, rate: float, num_classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Chooses rows whose images are to be of strangers, and their labels.

  Of the n rows of each true class floor(n * rate), drawn at random, flipped
  rows only where there are not enough others, get a label drawn evenly from all
  classes: the open-set noise of BoundaryFace, as `flip_labels` makes its
  closed-set noise.

  Args:
    true: int [n], the true labels, 0 .. num_classes - 1.
    given: int [n], the given labels.
    rate: the share of each class, 0 .. 1.
    num_classes: the number of classes.
    seed: as in `flip_labels`.

  Returns:
    int64 [k], the rows, ascending, and int32 [k], the labels they are given.

  Raises:
    UserError: as `flip_labels`.
  """
  true = np.asarray(true)
  _check(true, rate, num_classes, seed)
  # Another draw than that of the flips of the same seed.
  generator = np.random.default_rng([int(seed), 1])
  last = np.asarray(given) != true
  rows = np.sort(_draw_rows(true, rate, generator, last))
  labels = generator.integers(num_classes, size=len(rows), dtype=np.int32)
  return rows, labels


def _draw_rows(
  labels: np.ndarray,
  rate: float,
  generator: np.random.Generator,
  last: np.ndarray | None = None,
) -> np.ndarray:
  """In each class floor(count * rate) rows, evenly without return.

  Those where `last`, bool [n], is true only if there are no others left.
  """
  # Shuffled, then sorted by class with order kept, the rows of each class lie
  # in one block in random order.
  shuffled = generator.permutation(len(labels))
  if last is not None:
    shuffled = shuffled[np.argsort(last[shuffled], kind='stable')]
  by_class = shuffled[np.argsort(labels[shuffled], kind='stable')]
  return first_of_each(by_class, labels, rate)


def first_of_each(
  by_class: np.ndarray, labels: np.ndarray, rate: float
) -> np.ndarray:
  """The first floor(count * rate) rows of each class: int [k].

  Args:
    by_class: int [n], all rows, by class.
    labels: int [n], the class of each row.
    rate: the share of each class, 0 .. 1.
  """
  counts = np.bincount(labels)
  starts = np.cumsum(counts) - counts
  place = np.arange(len(labels)) - np.repeat(starts, counts)
  # As in exact arithmetic: 0.29 * 100 is 28.999999999999996.
  num = np.floor(counts * rate + 1e-9).astype(np.int64)
  return by_class[place < np.repeat(num, counts)]


def _check(
  labels: np.ndarray, rate: float, num_classes: int, seed: int
) -> None:
  if not 0 <= rate <= 1:
    raise errors.UserError(
      f'The rate of wrong labels is a share, 0 .. 1, not {rate}.'
    )
  if seed < 0:
    raise errors.UserError(
      f'The seed of the label noise must not be negative, but is {seed}.'
    )
  if rate and num_classes < 2:
    raise errors.UserError(
      f'Labels cannot be flipped among {num_classes} class: two are needed.'
    )
  if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
    raise errors.UserError(
      f'Labels must be in 0 .. {num_classes - 1}, but range from '
      f'{labels.min()} to {labels.max()}.'
    )
