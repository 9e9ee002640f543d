"""The evaluation of one model on disk: numbers and what explains them.

results.json           scores, intervals, protocols, what was evaluated
results/NAME.json      curves, histograms and worst cases of a benchmark
results/NAME_*.png     the same curves and histograms, drawn
results/outcomes.npz   what the scores are means of, for comparisons
"""

import json
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from bfjax import atomic, errors, text
from bfjax.report import bootstrap, charts, results
from bfjax.text import printable

FORMAT, VERSION = 'bfjax-results', 1
RESULTS, FOLDER, _OUTCOMES = 'results.json', 'results', 'outcomes.npz'
_REMEDY = '--mode=eval of bfjax.main writes it.'


def write(folder: pathlib.Path, one: results.Evaluation) -> None:
  """Writes the files above; `results.json` last, so it tells of a whole.

  What an evaluation before has left there, and is not written again, goes.
  """
  (folder / FOLDER).mkdir(parents=True, exist_ok=True)
  (folder / RESULTS).unlink(missing_ok=True)
  for path in (folder / FOLDER).iterdir():
    if path.suffix in ('.json', '.png', '.npz'):
      path.unlink()
  arrays = {}
  for name, found in one.found.items():
    stem, analysis = folder / FOLDER / file_name(name), found.analysis
    explained = ('curves', 'histograms', 'examples')
    shown = {part: getattr(analysis, part) for part in explained}
    atomic.write_text(f'{stem}.json', _dumps(shown, indent=None))
    for title, picture in charts.draw_all(analysis).items():
      with atomic.writing(f'{stem}_{file_name(title)}.png') as draft:
        draft.write_bytes(picture)
    for score, outcomes in analysis.outcomes.items():
      outcomes = outcomes._replace(strata=np.asarray(outcomes.strata, np.int32))
      for part, values in outcomes._asdict().items():
        arrays[f'{name}/{score}/{part}'] = values
  with (
    atomic.writing(folder / FOLDER / _OUTCOMES) as draft,
    draft.open('wb') as file,
  ):
    np.savez_compressed(file, **arrays)
  atomic.write_text(folder / RESULTS, _dumps(_summary(one)))


def read(folder: pathlib.Path) -> results.Evaluation:
  """Reads what `write` has written.

  Raises:
    UserError: if it is not there or cannot be read.
  """
  path = folder / RESULTS
  summary = text.read_json(path, _REMEDY)
  if summary.get('format') != FORMAT or summary.get('version') != VERSION:
    raise errors.UserError(
      f'{path} is not a {FORMAT} file of version {VERSION}. Evaluate the model '
      'again.'
    )
  arrays = _read_arrays(folder / FOLDER / _OUTCOMES)
  found = {}
  for name, one in summary['benchmarks'].items():
    data = text.read_json(folder / FOLDER / f'{file_name(name)}.json', _REMEDY)
    scores = {k: math.nan if x is None else x for k, x in one['scores'].items()}
    own = {}
    for score in scores:
      keys = [f'{name}/{score}/{part}' for part in results.Outcomes._fields]
      if keys[0] in arrays:
        values, strata, num_strata = (arrays[key] for key in keys)
        own[score] = results.Outcomes(values, strata, int(num_strata))
    found[name] = results.Found(
      one['protocol'],
      tuple(one['headline']),
      one['num_images'],
      one['images_sha256'],
      results.Analysis(scores, *_explanation(data), own),  # type: ignore[call-arg]
    )
  about, absent = summary['about'], summary['absent']
  return results.Evaluation(summary['name'], about, found, absent)


def file_name(name: str) -> str:
  """A name as part of the name of a file."""
  return re.sub(r'[^\w.@=+-]+', '_', name)


def _summary(one: results.Evaluation) -> dict[str, Any]:
  """What results.json says."""
  benchmarks = {}
  for name, found in one.found.items():
    benchmarks[name] = about = found._asdict()
    analysis = about.pop('analysis')
    about['scores'] = analysis.scores
    about['intervals'] = bootstrap.score_intervals(analysis.outcomes)
  return {
    'format': FORMAT,
    'version': VERSION,
    'name': one.name,
    'about': one.about,
    'scores': one.scores(),
    'benchmarks': benchmarks,
    'absent': one.absent,
  }


def _explanation(data):
  """Curves, histograms and examples of what results/NAME.json says."""
  curves = {
    title: results.Curve(**x)._replace(
      x=np.array(x['x'], float), y=np.array(x['y'], float)
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
  return curves, histograms, examples


def _read_arrays(path) -> dict[str, np.ndarray]:
  try:
    with np.load(path) as arrays:
      return dict(arrays)
  except (OSError, ValueError, EOFError) as error:
    raise errors.UserError(f'Cannot read {path}: {error}.') from error


def _dumps(value, indent: int | None = 1) -> str:
  return json.dumps(_plain(value), indent=indent, allow_nan=False) + '\n'


def _plain(value):
  """JSON values of nested values: what is not finite becomes null."""
  if hasattr(value, '_asdict'):
    value = value._asdict()
  if isinstance(value, Mapping):
    return {str(k): _plain(x) for k, x in value.items()}
  if isinstance(value, (np.ndarray, np.generic)):
    value = value.tolist()
  if isinstance(value, (list, tuple)):
    return [_plain(x) for x in value]
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  return printable(value) if isinstance(value, str) else value
