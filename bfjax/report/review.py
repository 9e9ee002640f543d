"""Rows of a data set to be judged by a person, with what there is to see."""

import numpy as np

from bfjax.data import labelled
from bfjax.report import classes, page, thumbnails
from bfjax.report import suspects as suspects_lib

_ROWS = 200
# Of all images of a page, as files: a third more as text, and 8 MB at most.
_BYTES = 4_000_000
_CHUNK = 20


def sections(
  found: suspects_lib.Suspects,
  source: labelled.Source,
  given: np.ndarray,
  title: str,
  words: str,
) -> list[page.Section]:
  """What becomes of the classes, and the rows to be judged.

  Args:
    found: the rows; of none, there is nothing to show.
    source: the data set.
    given: int32 [rows], the labels as given.
    title: of the rows.
    words: what they are.
  """
  if not len(found.row):
    return []
  album = classes.Album(source, given, found.row)
  judged = judgements(found, source, given, album)
  words = (
    f'{words} {len(judged):,} of them are here: half are the least certain, the'
    ' others a sample of all. The marks, downloaded, are overrides for'
    ' tools/clean.py.'
  )
  return [
    classes.section(found, source, given, album),
    page.Section(title, words, [page.Review(judged)]),
  ]


def judgements(
  found: suspects_lib.Suspects,
  source: labelled.Source,
  given: np.ndarray,
  album: classes.Album,
) -> list[page.Judgement]:
  """The suspects most worth a look, each beside the classes it is between.

  200 of them, or less where images are large.

  Args:
    found: the suspects.
    source: the data set.
    given: int32 [rows], the labels as given.
    album: of that data set.
  """
  chosen = found.take(suspects_lib.worth_a_look(found, given, _ROWS))
  shown, size = [], 0
  for start in range(0, len(chosen.row), _CHUNK):
    some = chosen.take(slice(start, start + _CHUNK))
    album.open([*given[some.row], *some.proposed])
    pictures = thumbnails.pictures(source, some.row)
    for i, picture in enumerate(pictures):
      one = suspects_lib.Suspects(*(x[i].item() for x in some))
      judged = _judgement(one, source, given, album, picture)
      groups = [judged.given, *([judged.proposed] if judged.proposed else [])]
      size += sum(len(x.content) for group in groups for x in group.pictures)
      size += len(picture.content)
      if size > _BYTES:
        return shown
      shown.append(judged)
  return shown


def truth(source: labelled.Source, old: int, new: int, row: int) -> str:
  """What the true label says of a new one; '' where it is not known.

  'right', or 'wrong: ' and why; `new` is `labelled.NOBODY` where the row is
  said to be of nobody.
  """
  if source.true_labels is None:
    return ''
  true = source.true_labels[row]
  if true == new:
    return 'right'
  if true == labelled.NOBODY:
    why = 'is nobody of them'
  else:
    why = 'was right' if true == old else f'is {source.class_names[true]}'
  return f'wrong: {why}'


def _judgement(one, source, given, album, picture) -> page.Judgement:
  old, verdict = int(given[one.row]), suspects_lib.VERDICTS[one.verdict]
  facts = []
  if one.since:
    facts.append(f'since epoch {one.since}')
  if one.times:
    epochs = 'epochs' if one.times > 1 else 'epoch'
    facts.append(f'corrected in {one.times} {epochs}')
  new = one.proposed if one.proposed != old else -1
  known = truth(source, old, new, one.row)
  if known and verdict != suspects_lib.UNSURE:
    facts.append(f'in truth {known}')
  given_cosine, proposed_cosine, confidence = (
    None if np.isnan(x) else x
    for x in (one.given_cosine, one.proposed_cosine, one.confidence)
  )
  return page.Judgement(
    one.row,
    source.name(one.row),
    verdict,
    picture,
    album.of_class(old),
    album.of_class(new) if new >= 0 else None,
    given_cosine,
    proposed_cosine,
    confidence,
    one.since,
    [f'row {one.row}', *facts],
  )
