"""Markdown tables that can be read as they stand."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
  """A table of aligned columns, whose first row is its heading."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  heading, *others = (
    '| ' + ' | '.join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + ' |'
    for r in rows
  )
  rule = '|' + '|'.join('-' * (w + 2) for w in widths) + '|'
  return '\n'.join([heading, rule, *others])
