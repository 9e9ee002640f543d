"""A page as one file of HTML that fetches nothing.

A page has the script only where a part needs it, and works without it but for
that. Whatever it is filled with is escaped, and the browser is told to run no
other script and to fetch nothing.
"""

import base64
import hashlib
import os
import pathlib
from importlib import resources

import jinja2
import markupsafe

from bfjax import atomic, text
from bfjax.report import page as page_lib


def write(path: pathlib.Path, page: page_lib.Page) -> None:
  """Writes a page as one file of HTML."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, '.'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters |= {
    'data': _data,
    'kind': lambda part: type(part).__name__.lower(),
    'encoded': lambda name: base64.b64encode(os.fsencode(name)).decode(),
  }
  style, script = map(_resource, ('page.css', 'page.js'))
  parts = [*page.lead, *(x for one in page.sections for x in one.parts)]
  is_scripted = any(isinstance(x, page_lib.SCRIPTED) for x in parts)
  shown = environment.get_template('page.html').render(
    page._asdict(),
    style=style,
    script=script if is_scripted else None,
    script_digest=_digest(script),
  )
  atomic.write_text(path, text.printable(shown))


def _resource(name) -> markupsafe.Markup:
  file = resources.files(__package__) / name
  return markupsafe.Markup(file.read_text(encoding='utf-8'))


def _digest(script) -> str:
  """What tells a browser that a script is the page's own."""
  digest = hashlib.sha256(script.encode()).digest()
  return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(picture: page_lib.Picture) -> str:
  """The image itself as an address."""
  encoded = base64.b64encode(picture.content).decode()
  return f'data:image/{picture.kind};base64,{encoded}'
