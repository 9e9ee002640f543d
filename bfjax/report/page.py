"""What a page says: whatever reports fills in a `Page`, of parts.

`html` and `markdown` write it. What each kind of part looks like is in
page.html and page.css, what it does in page.js.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Picture(NamedTuple):
  """An encoded image, 'png', 'jpeg' or 'svg', and the text with it."""

  content: bytes
  text: str
  kind: str = 'png'


class Cell(NamedTuple):
  """A number of a table, or what is said in its place."""

  text: str
  interval: str = ''  # that it is in, 'low .. high'
  best: bool = False  # whether it is to stand out as the best of its kind
  margin: str = ''  # the interval of its difference to the best


# What is in each column of a table: a label or a number.
Row = Sequence[str | Cell]


class Table(NamedTuple):
  """Headings of columns, and rows."""

  headings: Sequence[str]
  rows: Sequence[Row]
  title: str = ''


class Words(NamedTuple):
  """A paragraph; one that stands out, as of a warning, if it is `strong`."""

  text: str
  strong: bool = False


class Figure(NamedTuple):
  """One number to be seen first: '96.05 %', and what it is."""

  number: str
  label: str


class Figures(NamedTuple):
  """Numbers side by side."""

  figures: Sequence[Figure]


class Charts(NamedTuple):
  """Charts side by side, each with its text as title."""

  pictures: Sequence[Picture]


class Slides(NamedTuple):
  """Pictures of which a slider shows one; the last one first."""

  of_what: str  # a slide each: 'epoch'
  names: Sequence[str]  # of each: '7'
  pictures: Sequence[Picture]


class Group(NamedTuple):
  """Images of one kind, such as those of a class."""

  title: str
  pictures: Sequence[Picture]


class Case(NamedTuple):
  """Images to look at side by side: what is to be seen, and their score."""

  caption: str
  score: str
  groups: Sequence[Group]


class Cases(NamedTuple):
  """Cases under a heading of their own."""

  title: str
  cases: Sequence[Case]


class Judgement(NamedTuple):
  """What is said of a row of a data set, for a person to agree or not.

  Attributes:
    row: its number.
    path: its name.
    verdict: what is said: 'relabel'.
    picture: its image.
    given: the class that it was given, with images.
    proposed: the class proposed, likewise; None where none is.
    given_cosine, proposed_cosine, confidence: None where they are not known.
    since: the epoch since which this has been said; 0 where that is not known.
    facts: what else is known, in words.
  """

  row: int
  path: str
  verdict: str
  picture: Picture
  given: Group
  proposed: Group | None
  given_cosine: float | None = None
  proposed_cosine: float | None = None
  confidence: float | None = None
  since: int = 0
  facts: Sequence[str] = ()


class Review(NamedTuple):
  """Judgements to filter, to sort and to mark as wrong.

  The marks are downloaded as a file of lines `row<TAB>path<TAB>mark`, under
  such a heading; the mark is 'wrong', the path has the bytes of the name.
  """

  judgements: Sequence[Judgement]


# Each has a macro in page.html.
Part = Table | Words | Figures | Charts | Slides | Group | Cases | Review
SCRIPTED = Slides, Review  # those of which page.js does something


class Section(NamedTuple):
  """A part of a page: what a reader must know of it, and what it shows."""

  title: str
  text: str
  parts: Sequence[Part] = ()


class Page(NamedTuple):
  """All that a report says."""

  title: str
  lead: Sequence[Part]  # before all sections
  sections: Sequence[Section]
  of_what: str  # the heading of `about`: 'What was evaluated'
  about: Mapping[str, Mapping[str, str]]  # name of a model -> fact -> value
