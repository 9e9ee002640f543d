"""A page as Markdown: its words and tables."""

from bfjax import text
from bfjax.report import page as page_lib


def of_table(table: page_lib.Table) -> str:
  """A table as Markdown: the best in bold, intervals in brackets."""
  return _rendered(table, _marked)


def render(page: page_lib.Page) -> str:
  """The page, but for what is to be seen alone."""
  parts = [f'# {page.title}', *map(_said, page.lead)]
  for part in page.lead:
    rows = part.rows if isinstance(part, page_lib.Table) else ()
    if any(not isinstance(x, str) and x.margin for row in rows for x in row):
      parts += ['To the best:', _rendered(part, _margin)]
  for section in page.sections:
    parts += [f'## {section.title}', section.text]
    parts += map(_said, section.parts)
  parts.append(f'## {page.of_what}')
  for name, facts in page.about.items():
    lines = [f'- {key}: {value}' for key, value in facts.items()]
    parts.append('\n'.join([f'{name}:', '', *lines]))
  return text.printable('\n\n'.join(filter(None, parts))) + '\n'


def _said(part: page_lib.Part) -> str:
  """A part as Markdown; '' where it has none."""
  if isinstance(part, page_lib.Table):
    return of_table(part)
  return part.text if isinstance(part, page_lib.Words) else ''


def _rendered(table, text_of) -> str:
  rows = [
    [x if isinstance(x, str) else text_of(x) for x in row] for row in table.rows
  ]
  return text.table([table.headings, *rows])


def _marked(cell: page_lib.Cell) -> str:
  shown = f'**{cell.text}**' if cell.best else cell.text
  return f'{shown} [{cell.interval}]' if cell.interval else shown


def _margin(cell: page_lib.Cell) -> str:
  return 'best' if cell.best else cell.margin or '-'
