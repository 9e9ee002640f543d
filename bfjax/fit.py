"""How well corrections fit known true labels, from counts that add up."""

from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
  """Numbers of rows; those of parts of a data set add up.

  Attributes:
    corrected: whose label in the table is not the given one.
    right: of these, those with the true one now.
    flipped: of somebody, whose given label is not the true one.
    hits: of these, those that are corrected.
    members: of somebody.
    wrong: of these, those whose label in the table is not the true one.
    clean: whose given label is the true one.
    unjust: of these, those that are corrected.
    strangers: of nobody.
    relabelled: of these, those that are corrected.
  """

  corrected: int
  right: int
  flipped: int
  hits: int
  members: int
  wrong: int
  clean: int
  unjust: int
  strangers: int
  relabelled: int


class Scores(NamedTuple):
  """How well the corrections fit the known flips; rates in [0, 1].

  A rate whose denominator is zero is NaN.

  Attributes:
    precision: share of the corrected rows whose new label is the true one, by
      the reference's definition: |logged pairs in the truth| / |logged|.
    recall: share of the flipped rows that now have their true label:
      |logged pairs in the truth| / |truth|.
    sample_precision: share of the corrected rows that are flipped ones,
      whatever the new label.
    sample_recall: share of the flipped rows that are corrected, likewise.
    wrong_labels: share of the rows with a true label whose label in the table
      is another; before any correction it is the rate of closed-set noise.
    unjust: share of the rows whose given label is the true one that have
      another in the table.
    relabelled_strangers: share of the images of nobody in the set (open-set
      noise) that have another label in the table than the given one.
  """

  precision: float
  recall: float
  sample_precision: float
  sample_recall: float
  wrong_labels: float
  unjust: float
  relabelled_strangers: float


def count(given, table, true=None) -> Counts:
  """Counts rows by their given, present and true labels.

  Args:
    given: int32 [rows], the labels of the data set.
    table: int32 [rows], the labels after correction.
    true: int32 [rows], the true labels; below 0 those of nobody. None where
      they are not known: then only `corrected` means anything.
  """
  corrected = table != given
  true = given if true is None else true
  member, clean = true >= 0, given == true
  flipped = member & ~clean
  kinds = (
    *(corrected, corrected & (table == true)),
    *(flipped, flipped & corrected),
    *(member, member & (table != true)),
    *(clean, clean & corrected),
    *(~member, ~member & corrected),
  )
  return Counts(*(int(np.sum(kind)) for kind in kinds))


def score(counts: Counts) -> Scores:
  """How well the table fits the known true labels."""

  def rate(part, whole):
    return part / whole if whole else float('nan')

  return Scores(
    precision=rate(counts.right, counts.corrected),
    recall=rate(counts.right, counts.flipped),
    sample_precision=rate(counts.hits, counts.corrected),
    sample_recall=rate(counts.hits, counts.flipped),
    wrong_labels=rate(counts.wrong, counts.members),
    unjust=rate(counts.unjust, counts.clean),
    relabelled_strangers=rate(counts.relabelled, counts.strangers),
  )
