"""Another set than the one being cleaned: images, who is who, features."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bfjax import errors
from bfjax.cleaning import links, means
from bfjax.data import labelled
from bfjax.evaluation import pairlist
from bfjax.evaluation.benchmarks import pairs
from bfjax.evaluation.features import extraction, imagesets, store
from bfjax.formats import packs
from bfjax.text import printable

# What features of two sets must have in common to be compared.
_OF_MODEL = ('weights_sha256', 'flip')


class People(NamedTuple):
  """Images, and which of them are of one person."""

  images: labelled.Images | None  # None where there are features alone
  # int32 [n], persons 0, 1, ...; None where nothing is known of them. Images of
  # two numbers may be of one person, where it is pairs that tell.
  labels: np.ndarray | None
  class_names: Sequence[str]  # of each person, '' where it has no name


@dataclasses.dataclass(frozen=True, eq=False)
class OtherSet:
  """A set that another one is compared with.

  Attributes:
    name: as the user gave it.
    people: its images and who is who.
    names: of all images.
    features: [n, d], not in memory.
  """

  name: str
  people: People
  names: Sequence[str]
  features: np.ndarray

  @functools.cached_property
  def _by_person(self) -> means.ByClass:
    assert self.people.labels is not None  # whoever asks has looked
    return means.ByClass(self.people.labels, len(self.people.class_names))

  def units(self, progress: str = '') -> tuple[np.ndarray, np.ndarray]:
    """What is compared: people, or images where it is not known who is who.

    Args:
      progress: what a progress bar is headed; '' for none.

    Returns:
      [m, d] directions of means or features, and int64 [m], the images of each.
    """
    labels = self.people.labels
    if labels is None:
      return self.features, np.ones(len(self.features), np.int64)
    num_people = len(self.people.class_names)
    found = means.of_classes(self.features, labels, num_people, progress)
    return found.directions, found.sizes

  def rows(self, unit: int) -> np.ndarray:
    """The images of a person, or the one image: int64 [k]."""
    if self.people.labels is None:
      return np.array([unit])
    return self._by_person.rows(unit)


def open_people(given: str) -> People:
  """Opens whatever has images of people.

  Args:
    given: a verification pack, a list of pairs with its images beside it, any
      data set that is trained on, or a folder of images.

  Raises:
    UserError: if it is none of these or cannot be read.
  """
  if os.path.isfile(given) and (
    packs.is_pack(given) or pairlist.is_pair_list(given)
  ):
    root, name = os.path.split(os.path.abspath(given))
    found = pairs.build(root=root, pairs=name, folds=1, protocols=())
    left, right = found.left[found.same], found.right[found.same]
    labels = links.groups(left, right, found.files.num_rows)
    return People(found.files, labels, [''] * (int(labels.max()) + 1))
  try:
    source = imagesets.open_set(given)
  except errors.UserError as error:
    if not os.path.isdir(given):
      raise
    try:
      return People(imagesets.open_paths(given), None, [])
    except errors.UserError:
      raise error from None
  assert isinstance(source, labelled.Source)  # a pack is taken above
  return People(source, source.labels, source.class_names)


def embedded(
  model: pathlib.Path,
  given: str,
  out: pathlib.Path,
  *,
  ours: Mapping[str, Any],
  checkpoint: str = 'last',
  **options,
) -> OtherSet:
  """Opens another set with its features, computed by the model if need be.

  A killed call is made again and goes on.

  Args:
    model: the workdir of a run or a model folder.
    given: as `open_people` takes it, or a store of features that exists.
    out: the folder where the features are kept; of this set alone.
    ours: `meta` of the store of our own features, which tells how these have to
      be made.
    checkpoint: of a run.
    **options: batch, threads and flush_secs of `extraction.compute`.

  Raises:
    UserError: if the set or the model cannot be read, or the features that
      exist are of another model or made in another way than ours.
  """
  if os.path.exists(os.path.join(given, store.FEATURES)):
    found = store.open_store(given)
    people = _labelled(found)
  else:
    people = open_people(given)
    form = store.Form(*(ours[key] for key in store.Form._fields[:3]))
    extraction.compute(
      model, people.images, out, checkpoint=checkpoint, form=form, **options
    )
    found = store.open_store(out)
  _check_comparable(found, ours, given)
  return OtherSet(given, people, found.names, found.features)


def _labelled(found: store.Store) -> People:
  """Who is who by the labels of a store; all of them have one or none has."""
  labels = list(found.labels)
  if not all(labels):
    return People(None, None, [])
  names, numbers = np.unique(labels, return_inverse=True)
  return People(None, numbers.astype(np.int32), names.tolist())


def _check_comparable(found, ours, given) -> None:
  differ = [
    f'{key} {found.meta[key]!r}, ours {ours[key]!r}'
    for key in _OF_MODEL
    if key in found.meta and key in ours and found.meta[key] != ours[key]
  ]
  if found.features.shape[1:] != (ours['dim'],):
    differ.append(f'shape {found.features.shape[1:]}, ours ({ours["dim"]},)')
  if differ:
    raise errors.UserError(
      f'The features in {printable(given)} cannot be compared with ours: '
      f'{"; ".join(differ)}. Compute both by the same model, in the same way.'
    )
