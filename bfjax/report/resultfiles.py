"""The evaluation of one model on disk: numbers and what explains them.

results.json           scores, intervals, protocols, what was evaluated
results/NAME.json      curves, histograms and worst cases of a benchmark
results/NAME_*.png     the same curves and histograms, drawn
results/outcomes.npz   what the scores are means of, for comparisons
"""

import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bfjax import atomic, errors
from bfjax.report import bootstrap, charts, results
from bfjax.text import printable

FORMAT, VERSION = 'bfjax-results', 1
RESULTS, FOLDER, _OUTCOMES = 'results.json', 'results', 'outcomes.npz'
# What `about` calls the config of a run, flat, and what its training did if it
# went wrong.
CONFIG, TRAINING = 'config', 'training'
# Names of more images than that are not compared one by one.
_MAX_DIGESTED = 200_000


class Found(NamedTuple):
  """What one benchmark says of a model.

  Attributes:
    protocol: as `Benchmark.protocol`.
    headline: as `Benchmark.headline`.
    num_images: how many were embedded for it.
    images_sha256: of their names, '' for very many or saved features.
    analysis: the numbers and what explains them.
  """

  protocol: str
  headline: tuple[str, ...]
  num_images: int
  images_sha256: str
  analysis: results.Analysis


class Record(NamedTuple):
  """The evaluation of one model.

  Attributes:
    name: of the model, for tables.
    about: JSON values: 'model' (what it is), 'date', 'command', 'versions',
      and, of a run, CONFIG and, where it went wrong, TRAINING.
    found: name of a benchmark -> what it says.
    absent: name of an optional benchmark that is not there -> why.
  """

  name: str
  about: Mapping[str, Any]
  found: Mapping[str, Found]
  absent: Mapping[str, str]


def found(benchmark, analysis: results.Analysis) -> Found:
  """What a benchmark says, with what it says it of."""
  files = benchmark.files
  digest = hashlib.sha256()
  num_images = 0 if files is None else files.num_rows
  if 0 < num_images <= _MAX_DIGESTED:
    for row in range(num_images):
      digest.update(os.fsencode(files.name(row)) + b'\n')
  return Found(
    benchmark.protocol,
    tuple(benchmark.headline),
    num_images,
    digest.hexdigest() if 0 < num_images <= _MAX_DIGESTED else '',
    analysis,
  )


def write(folder: pathlib.Path, record: Record) -> None:
  """Writes the files above; `results.json` last, so it tells of a whole.

  What an evaluation before has left there, and is not written again, goes.
  """
  (folder / FOLDER).mkdir(parents=True, exist_ok=True)
  (folder / RESULTS).unlink(missing_ok=True)
  for path in (folder / FOLDER).iterdir():
    if path.suffix in ('.json', '.png', '.npz'):
      path.unlink()
  outcomes = {}
  for name, one in record.found.items():
    stem = folder / FOLDER / file_name(name)
    text = _dumps(_explanation(one.analysis), indent=None)
    atomic.write_text(f'{stem}.json', text)
    for title, picture in pictures(one.analysis).items():
      with atomic.writing(f'{stem}_{file_name(title)}.png') as draft:
        draft.write_bytes(picture)
    for score, outcome in one.analysis.outcomes.items():
      outcomes[f'{name}/{score}/values'] = np.asarray(outcome.values)
      outcomes[f'{name}/{score}/strata'] = np.asarray(outcome.strata, np.int32)
      outcomes[f'{name}/{score}/num_strata'] = np.asarray(outcome.num_strata)
  with (
    atomic.writing(folder / FOLDER / _OUTCOMES) as draft,
    draft.open('wb') as file,
  ):
    np.savez_compressed(file, **outcomes)
  atomic.write_text(folder / RESULTS, _dumps(_summary(record)))


def read(folder: pathlib.Path) -> Record:
  """Reads what `write` has written.

  Raises:
    UserError: if it is not there or cannot be read.
  """
  path = folder / RESULTS
  summary = _read_json(path)
  if summary.get('format') != FORMAT or summary.get('version') != VERSION:
    raise errors.UserError(
      f'{path} is not a {FORMAT} file of version {VERSION}. Evaluate the model '
      'again.'
    )
  outcomes = _read_outcomes(folder / FOLDER / _OUTCOMES)
  read_back = {}
  for name, one in summary['benchmarks'].items():
    data = _read_json(folder / FOLDER / f'{file_name(name)}.json')
    own = {
      score: outcomes[f'{name}/{score}']
      for score in one['scores']
      if f'{name}/{score}' in outcomes
    }
    analysis = _analysis(one['scores'], data, own)
    read_back[name] = Found(
      one['protocol'],
      tuple(one['headline']),
      one['num_images'],
      one['images_sha256'],
      analysis,
    )
  about = summary['about']
  return Record(summary['name'], about, read_back, summary['absent'])


def pictures(analysis: results.Analysis) -> dict[str, bytes]:
  """Title -> PNG of every curve and histogram."""
  drawn = {
    title: charts.draw_curves({title: curve}, title)
    for title, curve in analysis.curves.items()
  }
  return drawn | {
    title: charts.draw_histogram(histogram, title)
    for title, histogram in analysis.histograms.items()
  }


def file_name(name: str) -> str:
  """A name as part of the name of a file."""
  return re.sub(r'[^\w.@=+-]+', '_', name)


def score_intervals(
  outcomes: Mapping[str, results.Outcomes],
) -> dict[str, tuple[float, float]]:
  """The 95 % intervals of the scores that are means, see `bootstrap`."""
  found = {}
  for score, outcome in outcomes.items():
    interval = bootstrap.intervals([outcome])
    found[score] = (float(interval.low[0]), float(interval.high[0]))
  return found


def _summary(record: Record) -> dict[str, Any]:
  """What results.json says."""
  return {
    'format': FORMAT,
    'version': VERSION,
    'name': record.name,
    'about': record.about,
    'scores': {
      f'{name}/{score}': value
      for name, one in record.found.items()
      for score, value in one.analysis.scores.items()
    },
    'benchmarks': {
      name: {
        'protocol': one.protocol,
        'headline': one.headline,
        'num_images': one.num_images,
        'images_sha256': one.images_sha256,
        'scores': one.analysis.scores,
        'intervals': score_intervals(one.analysis.outcomes),
      }
      for name, one in record.found.items()
    },
    'absent': record.absent,
  }


def _explanation(analysis: results.Analysis) -> dict[str, Any]:
  """What results/NAME.json says."""
  return {
    'curves': {k: x._asdict() for k, x in analysis.curves.items()},
    'histograms': {k: x._asdict() for k, x in analysis.histograms.items()},
    'examples': [x._asdict() for x in analysis.examples],
  }


def _analysis(scores, data, outcomes) -> results.Analysis:
  curves = {
    title: results.Curve(
      **(x | {'x': np.array(x['x'], float), 'y': np.array(x['y'], float)})
    )
    for title, x in data['curves'].items()
  }
  histograms = {
    title: results.Histogram(
      np.array(x['edges'], float),
      {kind: np.array(counts) for kind, counts in x['counts'].items()},
      x['x_label'],
    )
    for title, x in data['histograms'].items()
  }
  examples = tuple(
    results.Example(x['caption'], tuple(map(tuple, x['images'])), x['score'])
    for x in data['examples']
  )
  scores = {k: math.nan if x is None else x for k, x in scores.items()}
  return results.Analysis(scores, curves, histograms, examples, outcomes)


def _read_outcomes(path) -> dict[str, results.Outcomes]:
  """'<benchmark>/<score>' -> outcomes."""
  try:
    with np.load(path) as arrays:
      parts = {tuple(k.rsplit('/', 1)): arrays[k] for k in arrays.files}
  except (OSError, ValueError, EOFError) as error:
    raise errors.UserError(f'Cannot read {path}: {error}.') from error
  return {
    name: results.Outcomes(
      parts[name, 'values'],
      parts[name, 'strata'],
      int(parts[name, 'num_strata']),
    )
    for name in {name for name, _ in parts}
  }


def _read_json(path):
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f'Cannot read {path}: {error}. --mode=eval of bfjax.main writes it.'
    ) from error


def _dumps(value, indent: int | None = 1) -> str:
  return json.dumps(_plain(value), indent=indent, allow_nan=False) + '\n'


def _plain(value):
  """JSON values of nested values: what is not finite becomes null."""
  if isinstance(value, Mapping):
    return {str(k): _plain(x) for k, x in value.items()}
  if isinstance(value, np.ndarray):
    return _plain(value.tolist())
  if isinstance(value, (list, tuple)):
    return [_plain(x) for x in value]
  if isinstance(value, np.generic):
    return _plain(value.item())
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if isinstance(value, str):
    return printable(value)
  return value
