"""The report of one evaluation, and the comparison of several.

    results.md     the table of the paper, every score, every protocol
    results.html   the same as a page, with curves and the hardest cases
    results.json   the same as data, see `resultfiles`

Of several models: comparison.md, comparison.html, comparison.json.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from bfjax import atomic, errors
from bfjax.config import keys
from bfjax.data import images as images_lib
from bfjax.report import charts, page, resultfiles, results, tables

_SIDE = 112  # pixels of the images of a page, at most
_LEGEND = 'In per cent, with the 95 % bootstrap interval over pairs or probes.'
_BEST = (
  'The best number of a column and protocol is bold. The difference of another'
  ' one to the best is given as the 95 % interval over resamples of the same'
  ' pairs for both; where it holds 0, the two may be equally good.'
)
_COMMON = 'what all have in common'


def write(
  folder: pathlib.Path, one: results.Evaluation, files_of: Mapping[str, object]
) -> str:
  """Writes the report of one evaluation.

  Args:
    folder: where the files go; made if it is not there.
    one: the evaluation.
    files_of: name of a benchmark -> its files, for the images of its examples.

  Returns:
    what results.md says.
  """
  # First: the numbers have taken the most time.
  drawn = resultfiles.write(folder, one)
  sections = [
    page.Section(
      tables.title(name),
      f'Protocol: {found.protocol}',
      tables.of_scores(found.analysis),
      [page.Picture(x, k) for k, x in drawn[name].items()],
      [_case(x, files_of.get(name)) for x in found.analysis.examples],
    )
    for name, found in one.found.items()
  ]
  table = tables.of_models([one])
  return _write(folder / 'results', one.name, [one], table, sections)


def compare(folder: pathlib.Path, several: Sequence[results.Evaluation]) -> str:
  """Writes the comparison of several evaluations.

  Curves of one benchmark and title are drawn into one chart.

  Args:
    folder: where the files go; made if it is not there.
    several: the evaluations, of different names.

  Returns:
    what comparison.md says.

  Raises:
    UserError: if two models have one name, or a benchmark was not run in one
      way for all models.
  """
  names = [one.name for one in several]
  if len(set(names)) < len(names):
    raise errors.UserError(
      f'Two models with one name cannot be told apart: {", ".join(names)}.'
    )
  table = tables.of_models(several)
  sections, protocols = [], {}
  folder.mkdir(parents=True, exist_ok=True)
  for name in tables.benchmarks(several):
    found = {x.name: x.found[name] for x in several if name in x.found}
    if not found:
      continue
    title = tables.title(name)
    protocols[title] = next(iter(found.values())).protocol
    pictures = _common_charts(found)
    sections.append(
      page.Section(title, f'Protocol: {protocols[title]}', charts=pictures)
    )
    for picture in pictures:
      file = resultfiles.file_name(f'{title}_{picture.text}.png')
      with atomic.writing(folder / file) as draft:
        draft.write_bytes(picture.content)
  text = _comparison_json(table, protocols, _absent(several))
  atomic.write_text(folder / 'comparison.json', text)
  title = f'{len(several)} models compared'
  return _write(folder / 'comparison', title, several, table, sections)


def _write(path, title, several, table, sections) -> str:
  """Writes the page of one evaluation or several; returns the Markdown."""
  absent = _absent(several).items()
  notes = [
    f'{one.name}: its training {one.about[results.TRAINING]}.'
    for one in several
    if results.TRAINING in one.about
  ]
  made = page.Page(
    title,
    table,
    _LEGEND if len(several) == 1 else f'{_LEGEND} {_BEST}',
    notes,
    sections + [page.Section(k, f'absent: {why}') for k, why in absent],
    _about(several),
  )
  return page.write(path, made)


def _common_charts(found: Mapping[str, results.Found]) -> list[page.Picture]:
  """The curves of some models on one benchmark, those of a title in one."""
  curves: dict = {}
  for model, one in found.items():
    for title, curve in one.analysis.curves.items():
      curves.setdefault(title, {})[model] = curve
  return [
    page.Picture(charts.draw_curves(x, title), title)
    for title, x in curves.items()
  ]


def _case(example: results.Example, images) -> page.Case:
  """An example with its images, or with their names where there are none."""
  score = f'{example.score:.3f}'
  if images is None:
    names = ', '.join(text for _, text in example.images)
    return page.Case(f'{example.caption}: {names}', score, [])
  contents = images.read(np.array([row for row, _ in example.images]))
  pictures = [
    page.Picture(_small(content), text, 'jpeg')
    for content, (_, text) in zip(contents, example.images, strict=True)
  ]
  return page.Case(example.caption, score, pictures)


def _small(content: bytes) -> bytes:
  """An encoded image as a JPEG of at most 112 pixels a side.

  Grey where it cannot be decoded: the numbers are right without it.
  """
  try:
    image = images_lib.decode_whole(content)
  except errors.UserError:
    image = np.full((_SIDE, _SIDE, 3), 128, np.uint8)
  scale = _SIDE / max(image.shape[:2])
  if scale < 1:
    image = cv2.resize(
      image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
  quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
  image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
  return cv2.imencode('.jpg', image, quality)[1].tobytes()


def _absent(several) -> dict[str, str]:
  """Title of each benchmark that is absent everywhere -> why."""
  whys = {k: why for one in several for k, why in one.absent.items()}
  there = {name for one in several for name in one.found}
  return {tables.title(k): why for k, why in whys.items() if k not in there}


def _about(several) -> dict[str, dict[str, str]]:
  """What is known of each model, and once what all have in common.

  Of configs only what differs is told.
  """
  facts = {
    one.name: {
      key: value if isinstance(value, str) else json.dumps(value, default=str)
      for key, value in keys.flat(one.about)
    }
    for one in several
  }
  first, *others = facts.values()
  in_all = set(first.items()).intersection(*(x.items() for x in others))
  own = {
    name: {k: v for k, v in x.items() if (k, v) not in in_all}
    for name, x in facts.items()
  }
  common = {
    key: value
    for key, value in first.items()
    if (key, value) in in_all and not key.startswith(f'{results.CONFIG}.')
  }
  if len(several) == 1:
    return {several[0].name: common}
  return own | ({_COMMON: common} if common else {})


def _comparison_json(table: page.Table, protocols, absent) -> str:
  """The table as data: its cells, and the protocol of each benchmark."""
  cells = [
    {'model': model, 'protocol': protocol, 'column': heading, **cell._asdict()}
    for model, protocol, *row in table.rows
    for heading, cell in zip(table.headings[2:], row, strict=True)
    if isinstance(cell, page.Cell) and cell.text
  ]
  content = {
    'format': 'bfjax-comparison',
    'cells': cells,
    'protocols': protocols,
    'absent': absent,
  }
  return json.dumps(content, indent=1)
