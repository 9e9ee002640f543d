"""The HTML pages of evaluations: one file each, nothing to be fetched."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from bfjax.report import tables
from bfjax.text import printable


class Picture(NamedTuple):
  """An image of the page.

  Attributes:
    content: the encoded image.
    text: what is under it.
    kind: 'png' or 'jpeg'.
  """

  content: bytes
  text: str
  kind: str = 'png'


class Case(NamedTuple):
  """Images to look at side by side.

  Attributes:
    caption: what is to be seen.
    score: as text.
    pictures: the images.
  """

  caption: str
  score: str
  pictures: Sequence[Picture]


class Section(NamedTuple):
  """What the page says of a benchmark.

  Attributes:
    title: what the field calls it.
    protocol: of all its numbers.
    scores: (name, value as text, interval as text).
    charts: of curves and histograms.
    cases: the worst ones.
    absent: why there is nothing else, or ''.
  """

  title: str
  protocol: str = ''
  scores: Sequence[tuple[str, str, str]] = ()
  charts: Sequence[Picture] = ()
  cases: Sequence[Case] = ()
  absent: str = ''


def render(
  title: str,
  about: Mapping[str, Mapping[str, Any]],
  table: tables.Table,
  sections: Sequence[Section],
  notes: Sequence[str] = (),
) -> str:
  """Returns the page.

  Args:
    title: of the page.
    about: of each model: what -> value.
    table: of the headline scores.
    sections: of the benchmarks.
    notes: what a reader of the table must know of the models.
  """
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['data'] = _data
  environment.filters['printable'] = lambda x: printable(str(x))
  return environment.from_string(_TEMPLATE).render(
    title=title,
    about=about,
    table=table,
    sections=sections,
    notes=notes,
    style=_STYLE,
  )


def _data(picture: Picture) -> str:
  """The image itself as an address."""
  encoded = base64.b64encode(picture.content).decode()
  return f'data:image/{picture.kind};base64,{encoded}'


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881;
  --good: #0072b2 }
@media (prefers-color-scheme: dark) { :root { --good: #56b4e9 } }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem;
  max-width: 70rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.2rem;
  border-top: 1px solid var(--line); padding-top: 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  text-align: left; white-space: nowrap; vertical-align: top }
td.number { font-variant-numeric: tabular-nums; text-align: right }
td small { display: block; opacity: .75 }
td strong { color: var(--good) }
.protocol { background: var(--soft); border-left: 3px solid var(--line);
  padding: .4rem .7rem; font-size: .9rem }
.charts img { background: white; width: 100%; max-width: 31rem;
  border-radius: 4px }
.cases { display: flex; flex-wrap: wrap; gap: .8rem }
.case { border: 1px solid var(--line); border-radius: 6px; padding: .5rem }
.case p { margin: 0 0 .4rem; font-size: .85rem }
.case div { display: flex; gap: .4rem }
figure { margin: 0; width: 112px } figure img { width: 112px }
figcaption { font-size: .7rem; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem;
  font-size: .85rem } dt { opacity: .75 } dd { margin: 0;
  overflow-wrap: anywhere }
"""

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title | printable }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<h1>{{ title | printable }}</h1>
<div class="wide"><table>
<thead><tr><th>model</th><th>protocol</th>
{% for heading in table.headings %}<th>{{ heading }}</th>{% endfor %}
</tr></thead>
<tbody>
{% for name, protocol, cells in table.rows %}
<tr><td>{{ name | printable }}</td><td>{{ protocol }}</td>
{% for cell in cells %}
<td class="number">
{% if cell.best %}<strong>{{ cell.text }}</strong>
{% else %}{{ cell.text }}{% endif %}
{% if cell.interval %}<small>{{ cell.interval }}</small>{% endif %}
{% if cell.margin %}<small>to the best {{ cell.margin }}</small>{% endif %}
</td>
{% endfor %}
</tr>
{% endfor %}
</tbody></table></div>
<p>In per cent. Below a number, its 95&nbsp;% bootstrap interval over pairs or
probes{% if table.rows | length > 1 %}, and that of its difference to the best
number of the column and protocol, which is in bold{% endif %}.</p>
{% for note in notes %}
<p><strong>{{ note | printable }}</strong></p>
{% endfor %}
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% if section.absent %}
<p><strong>absent</strong>: {{ section.absent | printable }}</p>
{% else %}
<p class="protocol">Protocol: {{ section.protocol | printable }}</p>
{% if section.scores %}
<div class="wide"><table><tbody>
{% for name, value, interval in section.scores %}
<tr><td>{{ name }}</td><td class="number">{{ value }}</td>
<td class="number">{{ interval }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
<div class="charts">
{% for picture in section.charts %}
<img src="{{ picture | data }}" alt="{{ picture.text | printable }}">
{% endfor %}
</div>
{% if section.cases %}
<h3>Hardest cases</h3>
<div class="cases">
{% for case in section.cases %}
<div class="case"><p>{{ case.caption | printable }}
<strong>{{ case.score }}</strong></p><div>
{% for picture in case.pictures %}
<figure><img src="{{ picture | data }}" alt="{{ picture.text | printable }}">
<figcaption>{{ picture.text | printable }}</figcaption></figure>
{% endfor %}
</div></div>
{% endfor %}
</div>
{% endif %}
{% endif %}
{% endfor %}
<h2>What was evaluated</h2>
{% for name, facts in about.items() %}
<h3>{{ name | printable }}</h3>
<dl>
{% for key, value in facts.items() %}
<dt>{{ key }}</dt><dd>{{ value | printable }}</dd>
{% endfor %}
</dl>
{% endfor %}
</body>
</html>
"""
