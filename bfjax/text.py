"""Text for people: names as they can be shown, first lines, tables."""

import itertools
import os
from collections.abc import Iterable, Sequence

NAMES_SHOWN = 5


def printable(name: str) -> str:
  """`name` with bytes that are not UTF-8 shown as \\xNN."""
  return os.fsencode(name).decode('utf-8', 'backslashreplace')


def first_lines(lines: Iterable[str], count: int | None = None) -> str:
  """The first few of `lines`, printable and indented, for a message.

  `count` tells how many there are where `lines` are not all of them.
  """
  lines = iter(lines)
  shown = [f'  {printable(x)}' for x in itertools.islice(lines, NAMES_SHOWN)]
  more = sum(1 for _ in lines) if count is None else count - len(shown)
  if more:
    shown.append(f'  ... and {more} more')
  return '\n'.join(shown)


def table(rows: Sequence[Sequence[str]]) -> str:
  """A Markdown table that can be read as it stands; first row: its heading."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  heading, *others = (
    '| ' + ' | '.join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + ' |'
    for r in rows
  )
  rule = '|' + '|'.join('-' * (w + 2) for w in widths) + '|'
  return '\n'.join([heading, rule, *others])
