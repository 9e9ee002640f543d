"""The report of one evaluation, and the comparison of several.

    results.md     the table of the paper, every score, every protocol
    results.html   the same as a page, with curves and the hardest cases
    results.json   the same as data, see `resultfiles`

Of several models: comparison.md, comparison.html, comparison.json.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

from bfjax import atomic, errors
from bfjax.config import keys
from bfjax.report import (
  charts,
  html,
  markdown,
  page,
  resultfiles,
  results,
  tables,
  thumbnails,
)

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
  resultfiles.write(folder, one)
  sections = [
    page.Section(
      tables.title(name),
      f'Protocol: {found.protocol}',
      [
        tables.of_scores(found.analysis),
        _charts(charts.draw_all(found.analysis, charts.svg)),
        *_cases(found.analysis.examples, files_of.get(name)),
      ],
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
    drawn = {}
    for of_what, curves in _common_curves(found).items():
      drawn[of_what] = charts.draw_curves(curves, of_what, charts.svg)
      file = resultfiles.file_name(f'{title}_{of_what}.png')
      with atomic.writing(folder / file) as draft:
        draft.write_bytes(charts.draw_curves(curves, of_what))
    words = f'Protocol: {protocols[title]}'
    sections.append(page.Section(title, words, [_charts(drawn)]))
  text = _comparison_json(table, protocols, _absent(several))
  atomic.write_text(folder / 'comparison.json', text)
  title = f'{len(several)} models compared'
  return _write(folder / 'comparison', title, several, table, sections)


def _write(path, title, several, table, sections) -> str:
  """Writes the page of one evaluation or several; returns the Markdown."""
  absent = _absent(several).items()
  legend = _LEGEND if len(several) == 1 else f'{_LEGEND} {_BEST}'
  lead = [table, page.Words(legend)]
  for one in several:
    if words := one.about.get(results.TRAINING):
      lead.append(page.Words(f'{one.name}: its training {words}.', strong=True))
  made = page.Page(
    title,
    lead,
    sections + [page.Section(k, f'absent: {why}') for k, why in absent],
    'What was evaluated',
    _about(several),
  )
  html.write(path.with_name(f'{path.name}.html'), made)
  text = markdown.render(made)
  atomic.write_text(f'{path}.md', text)
  return text


def _charts(drawn: Mapping[str, bytes]) -> page.Charts:
  return page.Charts([page.Picture(x, k, 'svg') for k, x in drawn.items()])


def _common_curves(
  found: Mapping[str, results.Found],
) -> dict[str, dict[str, results.Curve]]:
  """Title -> model -> curve, of some models on one benchmark."""
  curves: dict = {}
  for model, one in found.items():
    for title, curve in one.analysis.curves.items():
      curves.setdefault(title, {})[model] = curve
  return curves


def _cases(examples: Sequence[results.Example], images) -> list[page.Cases]:
  """Examples with their images, or with their names where there are none."""
  cases = []
  for example in examples:
    caption, rows = example.caption, [row for row, _ in example.images]
    names = [name for _, name in example.images]
    pictures = []
    if images is None:
      caption = f'{caption}: {", ".join(names)}'
    else:
      pictures = [
        page.Picture(x, name, 'jpeg')
        for x, name in zip(thumbnails.read(images, rows), names, strict=True)
      ]
    group = page.Group('', pictures)
    cases.append(page.Case(caption, f'{example.score:.3f}', [group]))
  return [page.Cases('Hardest cases', cases)] if cases else []


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
