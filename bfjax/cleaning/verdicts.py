"""One verdict a row: what is written of it, and read again.

`verdicts.parquet`, or `.tsv` with the same columns between tabs:

    row, path, given_label, proposed_label (as the user's list writes them),
    given_cosine, proposed_cosine, neighbour_agreement, since_epoch,
    corrected_epochs, verdict, confidence
"""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from bfjax import atomic, errors
from bfjax.data.names import Names

KEEP, RELABEL, OUTLIER, UNSURE = range(4)
WORDS = 'keep', 'relabel', 'outlier', 'unsure'
PARQUET, TSV = 'verdicts.parquet', 'verdicts.tsv'
_CHUNK = 1 << 16
_NUMBERS = {
  'given_cosine': np.float32,
  'proposed_cosine': np.float32,
  'neighbour_agreement': np.float32,
  'since_epoch': np.int32,
  'corrected_epochs': np.int32,
}


class Verdicts(NamedTuple):
  """What is said of n rows.

  Attributes:
    names: paths of the rows, as listed.
    given: int32 [n], the class that each was given.
    proposed: int32 [n], the class that each is of, as it seems; of an outlier
      the likelier of the given and the nearest one.
    given_cosine: float32 [n], to the mean of the given class without the row.
    proposed_cosine: float32 [n], likewise.
    neighbour_agreement: float32 [n], the share of the nearest rows that carry
      the proposed label; NaN where it was not computed.
    since_epoch: int32 [n], the first epoch in which the run corrected the row;
      0 if it never did.
    corrected_epochs: int32 [n], in the logs of how many epochs it is.
    verdict: uint8 [n], number in `WORDS`.
    confidence: float32 [n], P(the verdict is right); of an unsure row, that the
      likeliest one is.
  """

  names: Sequence[str]
  given: np.ndarray
  proposed: np.ndarray
  given_cosine: np.ndarray
  proposed_cosine: np.ndarray
  neighbour_agreement: np.ndarray
  since_epoch: np.ndarray
  corrected_epochs: np.ndarray
  verdict: np.ndarray
  confidence: np.ndarray


def write(
  path: pathlib.Path, verdicts: Verdicts, class_names: Sequence[str]
) -> None:
  """Writes the table, as Parquet or TSV by its name.

  Args:
    path: of the file.
    verdicts: what is written.
    class_names: of each class, as the user's list writes it.
  """
  with atomic.writing(path) as draft:
    if path.suffix == '.tsv':
      with draft.open('w', encoding='utf-8', errors='surrogateescape') as file:
        file.write('\t'.join(_schema().names) + '\n')
        for batch in _batches(verdicts, class_names):
          columns = [_text(column) for column in batch.columns]
          lines = map('\t'.join, zip(*columns, strict=True))
          file.writelines(f'{line}\n' for line in lines)
      return
    with parquet.ParquetWriter(draft, _schema()) as table:
      for batch in _batches(verdicts, class_names):
        table.write_batch(batch)


def _text(column) -> list[str]:
  if pa.types.is_floating(column.type):
    return [f'{value:.6g}' for value in column.to_pylist()]
  values = column.to_pylist()
  return [os.fsdecode(x) if isinstance(x, bytes) else str(x) for x in values]


def _schema():
  text = pa.binary()  # a path need not be UTF-8
  return pa.schema(
    [
      ('row', pa.int64()),
      ('path', text),
      ('given_label', text),
      ('proposed_label', text),
      *((name, pa.from_numpy_dtype(kind)) for name, kind in _NUMBERS.items()),
      ('verdict', pa.string()),
      ('confidence', pa.float32()),
    ]
  )


def _batches(verdicts, class_names):
  label = [os.fsencode(name) for name in class_names]
  words = np.array(WORDS)
  for start in range(0, len(verdicts.given), _CHUNK):
    rows = range(start, min(start + _CHUNK, len(verdicts.given)))
    part = slice(start, rows.stop)
    columns = [
      np.arange(start, rows.stop),
      [os.fsencode(verdicts.names[row]) for row in rows],
      [label[i] for i in verdicts.given[part]],
      [label[i] for i in verdicts.proposed[part]],
      *(getattr(verdicts, name)[part] for name in _NUMBERS),
      words[verdicts.verdict[part]],
      verdicts.confidence[part],
    ]
    arrays = [
      pa.array(column, kind)
      for column, kind in zip(columns, _schema().types, strict=True)
    ]
    yield pa.record_batch(arrays, schema=_schema())


def read(
  path: str | os.PathLike, class_names: Sequence[str] | None = None
) -> tuple[Verdicts, Sequence[str]]:
  """Reads such a table.

  Args:
    path: a `.parquet` or `.tsv` file.
    class_names: of each class; None to number the labels as they come.

  Returns:
    the verdicts, and the names of the classes that they number.

  Raises:
    UserError: if the file cannot be read, is no such table, or has a label
      that is none of the class names.
  """
  schema = _schema()
  try:
    if os.fspath(path).endswith('.tsv'):
      options = csv.ConvertOptions(column_types=schema)
      form = csv.ParseOptions(delimiter='\t', quote_char=False)
      table = csv.read_csv(path, parse_options=form, convert_options=options)
    else:
      table = parquet.read_table(path)
    table = table.select(schema.names).cast(schema).combine_chunks()
  except (OSError, pa.ArrowException, KeyError) as error:
    raise errors.UserError(
      f'Cannot read the verdicts {path}: {error}. tools/clean.py writes them.'
    ) from error
  column = {name: table[name] for name in schema.names}
  labels = [column[f'{which}_label'] for which in ('given', 'proposed')]
  if class_names is None:
    known = pa.chunked_array(labels[0].chunks + labels[1].chunks).unique()
    class_names = Names.of(known.to_pylist())
  numbers = Names.of(class_names)
  given, proposed = (
    numbers.places(Names.of(x.to_pylist())).astype(np.int32) for x in labels
  )
  if min(given.min(initial=0), proposed.min(initial=0)) < 0:
    raise errors.UserError(
      f'{path} has labels that are none of this data set. Is it of another?'
    )
  words = Names.of(WORDS).places(Names.of(column['verdict'].to_pylist()))
  if words.min(initial=0) < 0:
    expected = ', '.join(WORDS)
    raise errors.UserError(f'{path}: a verdict is one of {expected}.')
  found = Verdicts(
    names=Names.of(column['path'].to_pylist()),
    given=given,
    proposed=proposed,
    **{name: column[name].to_numpy() for name in _NUMBERS},
    verdict=words.astype(np.uint8),
    confidence=column['confidence'].to_numpy(),
  )
  return found, class_names
