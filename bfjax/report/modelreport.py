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
from bfjax.data import images as images_lib
from bfjax.report import charts, page, resultfiles, results, tables
from bfjax.text import printable

_SIDE = 112  # pixels of the images of a page, at most
_LEGEND = (
  'In per cent. In brackets the 95 % bootstrap interval over pairs or probes.'
)
_BEST = 'The best number of a column and protocol is bold.'
_COMMON = 'what all have in common'
_MARGINS = (
  'The difference to the best, as the 95 % interval over resamples of the same'
  ' pairs for both; where it holds 0, the two may be equally good:'
)


def write(
  folder: pathlib.Path, one: resultfiles.Record, files_of: Mapping[str, object]
) -> str:
  """Writes the report of one evaluation.

  Args:
    folder: where the files go; made if it is not there.
    one: the evaluation.
    files_of: name of a benchmark -> its files, for the images of its examples.

  Returns:
    what results.md says.
  """
  resultfiles.write(folder, one)  # first: the numbers have taken the most time
  shown = tables.table([one])
  sections = [
    _section(name, found, files_of.get(name))
    for name, found in one.found.items()
  ]
  sections += _absent_sections([one])
  facts = {one.name: _facts(one)}
  notes = _notes([one])
  html = page.render(one.name, facts, shown, sections, notes)
  atomic.write_text(folder / 'results.html', html)
  head = [tables.markdown(shown), _LEGEND, *notes]
  text = _markdown(one.name, head, sections, facts)
  atomic.write_text(folder / 'results.md', text)
  return text


def compare(folder: pathlib.Path, several: Sequence[resultfiles.Record]) -> str:
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
  shown = tables.table(several)
  benchmarks = tables.names(several)
  sections = [
    _compared_section(name, [x for x in several if name in x.found])
    for name in benchmarks
    if any(name in x.found for x in several)
  ]
  sections += _absent_sections(several)
  facts = _told_apart(several)
  notes = _notes(several)
  title = f'{len(several)} models compared'
  folder.mkdir(parents=True, exist_ok=True)
  for section in sections:
    for picture in section.charts:
      name = resultfiles.file_name(f'{section.title}_{picture.text}.png')
      with atomic.writing(folder / name) as draft:
        draft.write_bytes(picture.content)
  html = page.render(title, facts, shown, sections, notes)
  atomic.write_text(folder / 'comparison.html', html)
  text = _comparison_json(shown, sections)
  atomic.write_text(folder / 'comparison.json', text)
  head = [tables.markdown(shown), f'{_LEGEND} {_BEST}', *notes]
  head += [_MARGINS, tables.markdown_margins(shown)]
  text = _markdown(title, head, sections, facts)
  atomic.write_text(folder / 'comparison.md', text)
  return text


def _section(name, found: resultfiles.Found, images) -> page.Section:
  """The section of one model's benchmark."""
  intervals = resultfiles.score_intervals(found.analysis.outcomes)
  scores = [
    (
      score,
      tables.shown(score, value),
      tables.span(*intervals[score]) if score in intervals else '',
    )
    for score, value in found.analysis.scores.items()
  ]
  pictures = [
    page.Picture(png, title)
    for title, png in resultfiles.pictures(found.analysis).items()
  ]
  return page.Section(
    tables.title(name),
    found.protocol,
    scores,
    pictures,
    [_case(x, images) for x in found.analysis.examples],
  )


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


def _compared_section(name, several) -> page.Section:
  """The curves of some models on one benchmark, in common charts."""
  curves = {}
  for one in several:
    for title, curve in one.found[name].analysis.curves.items():
      curves.setdefault(title, {})[one.name] = curve
  pictures = [
    page.Picture(charts.draw_curves(found, title), title)
    for title, found in curves.items()
  ]
  protocol = several[0].found[name].protocol
  return page.Section(tables.title(name), protocol, charts=pictures)


def _absent_sections(several) -> list[page.Section]:
  absent = {k: why for one in several for k, why in one.absent.items()}
  there = {name for one in several for name in one.found}
  return [
    page.Section(tables.title(name), absent=why)
    for name, why in absent.items()
    if name not in there
  ]


def _facts(one: resultfiles.Record) -> dict[str, str]:
  """What was evaluated, when, how and with what, as text; not the config."""
  facts = {}
  for key, value in one.about.items():
    if key == resultfiles.CONFIG:
      continue
    if isinstance(value, Mapping):
      facts |= {f'{key}: {k}': _text(x) for k, x in value.items()}
    else:
      facts[key] = _text(value)
  return facts


def _told_apart(
  several: Sequence[resultfiles.Record],
) -> dict[str, dict[str, str]]:
  """What all have in common once, and of each what is not so of all.

  Of configs only what differs is told.
  """
  facts = {one.name: _facts(one) for one in several}
  if len(several) == 1:
    return facts
  common = _common(list(facts.values()))
  configs = [
    {f'config.{k}': _text(v) for k, v in one.about[resultfiles.CONFIG].items()}
    if resultfiles.CONFIG in one.about
    else {}
    for one in several
  ]
  equal = common | _common(configs)
  own = {
    name: {k: v for k, v in (known | config).items() if k not in equal}
    for (name, known), config in zip(facts.items(), configs, strict=True)
  }
  return own | ({_COMMON: common} if common else {})


def _common(several: Sequence[Mapping[str, str]]) -> dict[str, str]:
  """The entries that all of several have."""
  first, *others = several
  return {
    key: value
    for key, value in first.items()
    if all(other.get(key) == value for other in others)
  }


def _notes(several: Sequence[resultfiles.Record]) -> list[str]:
  """Of each model whose training has gone wrong, that it has."""
  return [
    f'{one.name}: its training {one.about[resultfiles.TRAINING]}.'
    for one in several
    if resultfiles.TRAINING in one.about
  ]


def _text(value) -> str:
  if isinstance(value, Mapping):
    return ', '.join(f'{k} {_text(x)}' for k, x in value.items())
  if isinstance(value, (list, tuple)):
    return '(' + ', '.join(map(_text, value)) + ')'
  return str(value)


def _markdown(title, head, sections, facts) -> str:
  """The whole of a Markdown report."""
  parts = [f'# {title}', *head]
  for section in sections:
    parts.append(f'## {section.title}')
    if section.absent:
      parts.append(f'absent: {section.absent}')
      continue
    parts.append(f'Protocol: {section.protocol}')
    if section.scores:
      lines = ['| score | value | 95 % interval |', '|---|---|---|']
      lines += [f'| {" | ".join(line)} |' for line in section.scores]
      parts.append('\n'.join(lines))
  parts.append('## What was evaluated')
  for name, known in facts.items():
    lines = [f'- {key}: {value}' for key, value in known.items()]
    parts.append('\n'.join([f'{name}:', '', *lines]))
  return printable('\n\n'.join(parts)) + '\n'


def _comparison_json(shown: tables.Table, sections) -> str:
  """The table as data: its cells, and the protocol of each benchmark."""
  cells = [
    {'model': model, 'protocol': protocol, 'column': heading, **cell._asdict()}
    for model, protocol, row in shown.rows
    for heading, cell in zip(shown.headings, row, strict=True)
    if cell.text
  ]
  content = {
    'format': 'bfjax-comparison',
    'cells': cells,
    'protocols': {x.title: x.protocol for x in sections if not x.absent},
    'absent': {x.title: x.absent for x in sections if x.absent},
  }
  return json.dumps(content, indent=1)
