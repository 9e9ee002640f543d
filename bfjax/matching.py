"""Which classes of a data set are which of a model, for their centres."""

import numpy as np

from bfjax import errors, text
from bfjax.data import labelled


def in_order(names, count: int, source: labelled.Source, *, origin: str):
  """All classes, in the order that both have.

  Args:
    names: of the model's classes; None where they are not known.
    count: of the model's classes.
    source: the data set.
    origin: the model, for messages.

  Returns:
    int32 [n] each: classes of the model, and the same of the data set.

  Raises:
    UserError: if they are not as many, or have other names.
  """
  if count != source.num_classes:
    raise errors.UserError(
      f"init_centres='all', but {origin} has {count} classes and this data set"
      f" {source.num_classes}. Give init_centres='by_name' or 'none'."
    )
  pairs = zip(names or source.class_names, source.class_names, strict=True)
  for index, (there, here) in enumerate(pairs):
    if there != here:
      raise errors.UserError(
        f"init_centres='all', but class {index} is {there!r} in {origin} and"
        f" {here!r} here. Give init_centres='by_name'."
      )
  every = np.arange(count, dtype=np.int32)
  return every, every


def by_name(names, source: labelled.Source, *, origin: str, renamed: str = ''):
  """The classes that have the same name, or are renamed; see `in_order`.

  Args:
    names: of the model's classes; None where they are not known.
    source: the data set; its other classes are left out.
    origin: the model, for messages.
    renamed: a file of lines `name here<TAB>name there`; '' for none.

  Raises:
    UserError: if the model's names are not known, no class is found, or the
      file is not such lines.
  """
  if names is None:
    raise errors.UserError(
      f"init_centres='by_name', but {origin} has no classes.tsv that says the"
      ' names of its classes: lines `class<TAB>name`.'
    )
  other_name = _read_renamed(renamed) if renamed else {}
  theirs = {name: index for index, name in enumerate(names)}
  sought = [other_name.get(here, here) for here in source.class_names]
  pairs = [(theirs[x], index) for index, x in enumerate(sought) if x in theirs]
  if not pairs:
    raise errors.UserError(
      f'No class of this data set ({source.class_names[0]!r}, ...) has a name'
      f' that {origin} knows ({names[0]!r}, ...). Give init_renamed, or'
      " init_centres='none'."
    )
  return np.array(pairs, np.int32).T


def _read_renamed(path):
  """Name here -> name there."""
  renamed = {}
  for number, line in text.lines(path, 'the file of init_renamed,'):
    here, tab, there = line.partition('\t')
    if not tab or here in renamed:
      expected = '`name here<TAB>name there`, each name here once'
      raise text.bad_line(path, number, line, expected)
    renamed[here] = there
  return renamed
