"""What came out of a study's trainings: read from runs, written, merged.

`study.json` holds all that tables and charts are made of, without the runs.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bfjax import atomic, errors, text
from bfjax.config import keys
from studies import cells

FILE = 'study.json'
SCORES, FAILED = 'scores.json', 'failed.txt'


class Outcome(NamedTuple):
  """Of one training.

  Attributes:
    mix, method, seed: which it is.
    digest: of its config, see `cells.digest`.
    run: the folder of its run.
    changes: of its config, from the study's base.
    scores: at the end of it; none if it is not finished.
    error: why it failed; '' if it did not, or was not tried.
  """

  mix: str
  method: str
  seed: int
  digest: str
  run: str
  changes: Mapping[str, Any]
  scores: Mapping[str, float]
  error: str = ''


class Results(NamedTuple):
  """Of a study.

  Attributes:
    title: of it.
    base: the config that all differ from.
    protocol: whose accuracies are compared.
    mixes: mix -> 'set', and 'closed' and 'open', the shares of its noise.
    methods: method -> its name in tables.
    compare: pairs of methods to be compared seed by seed.
    outcomes: of all trainings, finished or not.
  """

  title: str
  base: str
  protocol: str
  mixes: Mapping[str, Mapping[str, Any]]
  methods: Mapping[str, str]
  compare: Sequence[Sequence[str]]
  outcomes: Sequence[Outcome]


def folder_of(runs: pathlib.Path, training: cells.Training) -> pathlib.Path:
  """Where a training lies, or is to lie, whichever cell it was made for."""
  there = sorted(runs.glob(f'*-{training.digest}'))
  return there[0] if there else runs / training.name


def is_finished(folder: pathlib.Path) -> bool:
  """Whether a training has come to its end."""
  return (folder / SCORES).exists()


def collect(
  study,
  trainings: Iterable[cells.Training],
  runs: pathlib.Path,
  known: Iterable[Outcome] = (),
) -> Results:
  """What came out of some trainings of a study so far.

  Args:
    study: see configs/study.py.
    trainings: of it.
    runs: the folder of their folders.
    known: outcomes that hold, where they are of the same config, for runs that
      are not there.

  Raises:
    UserError: if the scores of a run cannot be read.
  """
  finished = {(x.mix, x.method, x.seed, x.digest): x for x in known if x.scores}
  found = []
  for training in trainings:
    folder = folder_of(runs, training)
    scores, error = _read_run(folder)
    new = Outcome(
      *(training.mix, training.method, training.seed, training.digest),
      *(folder.name, training.changes, scores, error),
    )
    key = training.mix, training.method, training.seed, training.digest
    found.append(new if scores else finished.get(key, new))
  mixes = {
    mix: {k: study.mixes[mix][k] for k in ('set', 'closed', 'open')}
    for mix in keys.written_order(study.mixes)
  }
  methods = {x: study.methods[x] for x in keys.written_order(study.methods)}
  return Results(
    *(study.title, study.base, study.protocol, mixes, methods),
    *(study.compare, found),
  )


def _read_run(folder):
  if is_finished(folder):
    return text.read_json(folder / SCORES), ''
  failed = folder / FAILED
  return {}, failed.read_text().strip() if failed.exists() else ''


def write(path: pathlib.Path, results: Results) -> None:
  """Writes them as JSON, an outcome a line."""
  whole = results._asdict()
  lines = [json.dumps(x._asdict()) for x in whole.pop('outcomes')]
  head = json.dumps(whole, indent=1).removesuffix('\n}')
  listed = ',\n  '.join(lines)
  atomic.write_text(path, f'{head},\n "outcomes": [\n  {listed}\n ]\n}}\n')


def read(path: pathlib.Path) -> Results:
  """Those that `write` has written; `path` may be the folder of study.json.

  Raises:
    UserError: if there is no such file or it holds something else.
  """
  if path.is_dir():
    path = path / FILE
  whole = text.read_json(path)
  try:
    found = [Outcome(**x) for x in whole.pop('outcomes')]
    return Results(**whole, outcomes=found)
  except (AttributeError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is not what tools/study.py writes as {FILE}: {error}.'
    ) from error


def merge(several: Sequence[Results]) -> Results:
  """One study of several: all mixes, methods and outcomes.

  Of a training that is in several of them the finished one holds, or the
  first that failed.

  Raises:
    UserError: if two finished ones of a method, mix and seed are of different
      configs, or a mix is something else in one than in another.
  """
  mixes, methods, found = {}, {}, {}
  for results in several:
    for mix, about in results.mixes.items():
      if mixes.setdefault(mix, about) != about:
        raise errors.UserError(
          f'{mix} is {mixes[mix]} in one of the results, {about} in another:'
          ' they are not of one study.'
        )
    methods = {**methods, **results.methods}
    for new in results.outcomes:
      key = new.mix, new.method, new.seed
      old = found.get(key)
      if old and old.scores and new.scores and old.digest != new.digest:
        raise errors.UserError(
          f'{new.mix}, {new.method}, seed {new.seed} was trained with two'
          f' configs: {old.run} and {new.run}. Leave out one of the results.'
        )
      if old is None or _told(old) < _told(new):
        found[key] = new
  compare = dict.fromkeys(tuple(x) for r in several for x in r.compare)
  return several[0]._replace(
    mixes=mixes,
    methods=methods,
    compare=tuple(compare),
    outcomes=list(found.values()),
  )


def _told(outcome):
  return bool(outcome.scores), bool(outcome.error)
