"""Reports as files: one page of HTML that fetches nothing, and Markdown.

Whatever reports fills in a `Page`; what it looks like is in page.html.
"""

import base64
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jinja2

from bfjax import atomic
from bfjax import text as text_lib


class Picture(NamedTuple):
  """An encoded image, 'png' or 'jpeg', and the text under it."""

  content: bytes
  text: str
  kind: str = 'png'


class Case(NamedTuple):
  """Images to look at side by side: what is to be seen, and their score."""

  caption: str
  score: str
  pictures: Sequence[Picture]


class Cell(NamedTuple):
  """A number of a table, or what is said in its place."""

  text: str
  interval: str = ''  # that it is in, 'low .. high'
  best: bool = False  # whether it is to stand out as the best of its kind
  margin: str = ''  # the interval of its difference to the best


class Table(NamedTuple):
  """Headings of columns, and rows of what is in each: a label or a number."""

  headings: Sequence[str]
  rows: Sequence[Sequence[str | Cell]]


class Section(NamedTuple):
  """A part of a page: numbers, charts of them, and images to look at."""

  title: str
  text: str  # what a reader must know of all its numbers
  table: Table | None = None
  charts: Sequence[Picture] = ()
  cases: Sequence[Case] = ()


class Page(NamedTuple):
  """All that a report says."""

  title: str
  table: Table
  legend: str  # what its numbers are
  notes: Sequence[str]  # what a reader of the table must know besides
  sections: Sequence[Section]
  about: Mapping[str, Mapping[str, str]]  # name of a model -> fact -> value


def write(path: pathlib.Path, page: Page) -> str:
  """Writes a page as `path`.html and `path`.md, and returns the Markdown.

  Charts and cases are in the HTML alone.
  """
  atomic.write_text(f'{path}.html', _html(page))
  text = _markdown(page)
  atomic.write_text(f'{path}.md', text)
  return text


def markdown_table(table: Table) -> str:
  """A table as Markdown: the best in bold, intervals in brackets."""
  return _rendered(table, _marked)


def _html(page: Page) -> str:
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, '.'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['data'] = _data
  template = environment.get_template('page.html')
  return text_lib.printable(template.render(page._asdict()))


def _data(picture: Picture) -> str:
  """The image itself as an address."""
  encoded = base64.b64encode(picture.content).decode()
  return f'data:image/{picture.kind};base64,{encoded}'


def _markdown(page: Page) -> str:
  parts = [f'# {page.title}', markdown_table(page.table), page.legend]
  parts += page.notes
  cells = [x for row in page.table.rows for x in row if isinstance(x, Cell)]
  if any(cell.margin for cell in cells):
    parts += ['To the best:', _rendered(page.table, _margin)]
  for section in page.sections:
    parts += [f'## {section.title}', section.text]
    if section.table:
      parts.append(markdown_table(section.table))
  parts.append('## What was evaluated')
  for name, facts in page.about.items():
    lines = [f'- {key}: {value}' for key, value in facts.items()]
    parts.append('\n'.join([f'{name}:', '', *lines]))
  return text_lib.printable('\n\n'.join(parts)) + '\n'


def _rendered(table, text_of) -> str:
  rows = [
    [x if isinstance(x, str) else text_of(x) for x in row] for row in table.rows
  ]
  return text_lib.table([table.headings, *rows])


def _marked(cell: Cell) -> str:
  shown = f'**{cell.text}**' if cell.best else cell.text
  return f'{shown} [{cell.interval}]' if cell.interval else shown


def _margin(cell: Cell) -> str:
  return 'best' if cell.best else cell.margin or '-'
