"""The steps of cleaning a set, each of which goes on after a kill.

What they leave is in one folder: `features` and `others`, stores of embeddings;
`state`, what is known of the rows; `cleaned`, the set after its changes.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bfjax import atomic
from bfjax.cleaning import (
  classes,
  comparing,
  findings,
  history,
  judging,
  means,
  othersets,
  verdicts,
)
from bfjax.data import labelled
from bfjax.datasets import layouts, ondisk, packing
from bfjax.evaluation.features import extraction, store
from bfjax.report import cleanpage

CLEANED = 'cleaned'
_FEATURES, _OTHERS, _STATE = 'features', 'others', 'state'


class Embedding(NamedTuple):
  """How images become embeddings; see `extraction.compute`."""

  model: pathlib.Path
  checkpoint: str
  batch: int
  threads: int


def embed(
  by: Embedding, source: labelled.Source, out: pathlib.Path
) -> store.Store:
  """The embeddings of all rows, f(x) + f(mirror x) of length 1.

  Raises:
    UserError: if the model or an image cannot be read.
  """
  extraction.compute(
    by.model,
    source,
    out / _FEATURES,
    checkpoint=by.checkpoint,
    form=store.Form('sum', True, 'float32', 'rows'),
    batch=by.batch,
    threads=by.threads,
  )
  return store.open_store(out / _FEATURES)


def judge(
  source: labelled.Source, features: store.Store, out: pathlib.Path
) -> judging.Judged:
  """What there is to be said of the rows; see `judging.judge`."""
  key = hashlib.sha256(json.dumps(features.meta, sort_keys=True).encode())
  key.update(np.ascontiguousarray(source.labels).data)
  state = out / _STATE / key.hexdigest()[:16]
  state.mkdir(parents=True, exist_ok=True)
  return judging.judge(
    features.features, source.labels, source.num_classes, state=state
  )


def verdicts_of(
  judged: judging.Judged,
  source: labelled.Source,
  limits: judging.Limits,
  workdir: pathlib.Path | None,
) -> verdicts.Verdicts:
  """The verdicts, with what the run in `workdir` says of the rows, if any.

  Raises:
    UserError: if the logs of the run cannot be read or are of other rows.
  """
  return judging.verdicts_of(
    judged,
    source.labels,
    source.names,
    limits=limits,
    history=history.read(workdir, source.num_rows),
  )


def labels_of(found: verdicts.Verdicts) -> np.ndarray:
  """int32 [n]: the labels as they seem to be, -1 for nobody's."""
  is_nobody = found.verdict == verdicts.OUTLIER
  return np.where(is_nobody, -1, found.proposed).astype(np.int32)


def find_classes(
  source: labelled.Source, features: store.Store, found: verdicts.Verdicts
) -> list[findings.Finding]:
  """What is wrong with classes as a whole; see `classes.find`."""
  return classes.find(
    features.features,
    source.labels,
    labels_of(found),
    source.num_classes,
    read=source.read,
  )


def compare(
  by: Embedding,
  others: Sequence[str],
  source: labelled.Source,
  features: store.Store,
  found: verdicts.Verdicts,
  out: pathlib.Path,
) -> list[comparing.Compared]:
  """Other sets beside ours; writes `comparing.TABLE`.

  Args:
    by: the model.
    others: as `othersets.open_people` takes them, or stores of features.
    source: our set.
    features: its embeddings.
    found: the verdicts on its rows.
    out: the folder.

  Raises:
    UserError: if one cannot be read, or is not to be compared.
  """
  if not others:
    return []
  labels, num_classes = labels_of(found), source.num_classes
  ours = means.of_classes(features.features, labels, num_classes)
  compared = []
  for given in others:
    name = hashlib.sha256(os.path.abspath(given).encode()).hexdigest()[:16]
    other = othersets.embedded(
      by.model,
      given,
      out / _OTHERS / name,
      ours=features.meta,
      checkpoint=by.checkpoint,
      batch=by.batch,
      threads=by.threads,
    )
    compared.append(comparing.compare(ours, other, f'Beside {given}'))
  comparing.write(out / comparing.TABLE, compared, source.class_names)
  return compared


def pack(cleaned: labelled.Source, format: str, out: pathlib.Path) -> dict:
  """Writes the cleaned set, or finds it written.

  Args:
    cleaned: the set.
    format: as `tools/pack.py --to`.
    out: the folder.

  Returns:
    the options of `config.data` that read it.

  Raises:
    UserError: if the format cannot hold it, it cannot be written, or another
      set is there already.
  """
  # The name may have links in it.
  place = pathlib.Path(os.path.abspath(out / CLEANED))
  mark, said = out / f'{CLEANED}.txt', f'{format} {cleaned.fingerprint}\n'
  is_there = place.exists() and mark.exists() and mark.read_text() == said
  if not is_there:
    naming = {}
    leads_out = any('..' in name.split('/') for name in cleaned.names)
    if leads_out and 'rename' in layouts.options(format):
      naming['rename'] = True  # to numbers: these files lie elsewhere
    writer = layouts.build(format, out=place, **naming)
    packing.pack(cleaned, writer, command={'format': format})
    atomic.write_text(mark, said)
  options = ondisk.detect(str(place), format=format).options
  if (place / layouts.FLIPS).exists():
    options['truth'] = str(place / layouts.FLIPS)
  return options


def write_page(
  source: labelled.Source,
  compared: Sequence[comparing.Compared],
  out: pathlib.Path,
) -> pathlib.Path:
  """Draws what was found and written down; see `cleanpage.write`."""
  images = {x.other.name: x.other.people.images for x in compared}
  shown = {name: found for name, found in images.items() if found is not None}
  return cleanpage.write(out, source, source.labels, shown)
