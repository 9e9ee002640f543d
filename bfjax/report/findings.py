"""What is wrong with classes as a whole, with images side by side."""

from collections.abc import Mapping, Sequence

import numpy as np

from bfjax.data import labelled
from bfjax.report import classes, page, tables, thumbnails

_SHOWN = 12  # of a kind
_IMAGES = 5  # of a class
# What summary.json calls the kinds, and what each means.
_KINDS = {
  'merges': 'One person under two names?',
  'splits': 'Two people under one name?',
  'junk': 'Nobody?',
  'shared': 'One image under two names',
  'overlap': 'People of another set, too',
}


def section(
  found: Mapping[str, Sequence[Mapping]],
  source: labelled.Source,
  others: Mapping[str, labelled.Images],
) -> list[page.Section]:
  """All findings about classes; nothing where there is none.

  Args:
    found: 'merges', 'splits', 'junk', 'shared', 'overlap' -> findings, the
      surest first; others are left out. A finding has

        classes       numbers, or names, of one class or two
        rows          rows of the source to show, for each class, or for each
                      of two people in one
        evidence      name -> number
        false_rate    the share expected to be wrong of this and all surer ones
        other         of 'overlap': {'set', 'name', 'rows'}, who it is in which
                      other set, and rows of that
    source: the data set.
    others: name -> images of other sets; of those that are not here, only what
      the person is called is shown.
  """
  parts = []
  for kind, heading in _KINDS.items():
    of_kind = found.get(kind) or []
    cases = [_case(one, source, others) for one in of_kind[:_SHOWN]]
    if len(cases) < len(of_kind):
      heading = f'{heading} The surest {len(cases)} of {len(of_kind):,}'
    if cases:
      parts.append(page.Cases(heading, cases))
  if not parts:
    return []
  words = (
    'Told from the embeddings. The false rate is the share expected to be wrong'
    ' of a finding and all surer ones. Nothing of it is changed unless asked.'
  )
  return [page.Section('Classes as a whole', words, parts)]


def _case(one: Mapping, source, others) -> page.Case:
  """A finding: what speaks for it, and images of each class or person."""
  labels, rows = list(one['classes']), one['rows']
  groups = []
  for i, own in enumerate(rows):
    label = labels[min(i, len(labels) - 1)]
    name = label
    if not isinstance(label, str):
      name = classes.title(source, label, np.array(own, int))
    if len(labels) < len(rows):
      name = f'{name}: person {i + 1}'
    groups.append(_group(name, source, own))
  if other := one.get('other'):
    images = others.get(other['set'])
    shown = other['rows'] if images is not None else []
    groups.append(_group(f'{other["set"]}: {other["name"]}', images, shown))
  return page.Case(_evidence(one), '', groups)


def _group(name, images, rows) -> page.Group:
  shown = thumbnails.pictures(images, rows[:_IMAGES], classes.SIDE)
  return page.Group(str(name), shown)


def _evidence(one: Mapping) -> str:
  """What speaks for a finding, in words."""
  words = []
  for name, value in one.get('evidence', {}).items():
    shown = f'{value:,}' if isinstance(value, int) else f'{value:.2f}'
    words.append(f'{name.replace("_", " ")} {shown}')
  if one.get('false_rate') is not None:
    words.append(f'false rate {tables.per_cent(one["false_rate"])} %')
  return ', '.join(words)
