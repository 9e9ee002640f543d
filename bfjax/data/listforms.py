"""How lists of images are written: columns, slashes, encoding.

A list has lines `path label`. Others are read, too, where its first lines tell:

    flag<TAB>path<TAB>label      .lst of InsightFace: flag or number of the
                                 line, and after the label the box (4 numbers)
                                 and landmarks (10) of a face, or neither
    number label path            .lst of MXNet's im2rec, one label a line,
                                 whole or as 3.000000
    label path
    path,label                   or with a semicolon
    "path" label                 in double or single quotes

What the lines look like decides between these; where two fit, which of them
names files that are there. Backslashes are taken for slashes, and names from
or to another encoding, only where this finds more files.
"""

import itertools
import logging
import os
import re
import unicodedata
from typing import NamedTuple

from bfjax import errors, text

_log = logging.getLogger(__name__)

_SAMPLE_BYTES = 1 << 20
_MAX_LINE_BYTES = 1 << 13
# Lines that are looked at: the first, and the first that are not ASCII.
_LINES, _OTHER_LINES = 24, 8

# With something in it that is no digit, and nothing blank at its ends.
_PATH = rb'(?P<path>(?=[^\n]*?[^\d\s])\S(?:[^\n]*\S)?)'
_LABEL = rb'(?P<label>\d+)'
_WHOLE = rb'(?P<label>\d+)(?:\.0*)?'
_NUMBER = rb'\t-?[\d.]+(?:e[-+]?\d+)?'
_FACE = rb'(?:(?:%b){4}(?:(?:%b){10})?)?' % (_NUMBER, _NUMBER)
_NO_COLUMN = rb'(?![-+.\d]+[ \t])'
# In order of precedence; blanks may follow.
_COLUMNS = {
  'number<TAB>path<TAB>label': rb'^\d+\t(?P<path>(?=[^\t\n]*[^\d\s])[^\t\n]+)\t'
  + (_LABEL + _FACE),
  '"path" label': rb'^[ \t]*(?P<quote>["\'])(?P<path>[^"\n]+)(?P=quote)'
  rb'[ \t,;]+["\']?%b["\']?' % _LABEL,
  'path,label': rb'^[ \t]*(?P<path>[^\n,;]*[^\s,;])[ \t]*[,;][ \t]*' + _LABEL,
  'path label': rb'^[^\n]*\S[ \t]+\d+',
  'number label path': rb'^\d+[ \t]++%b[ \t]++%b%b'
  % (_WHOLE, _NO_COLUMN, _PATH),
  'label path': rb'^[ \t]*%b[ \t]++%b%b' % (_WHOLE, _NO_COLUMN, _PATH),
  'number path label': rb'^\d+[ \t]++(?P<path>[^\n]*\S)[ \t]+' + _LABEL,
}
_PLAIN = 'path label'
_PATTERNS = {
  name: re.compile(rb'(?m)%b[ \t\r\v\f]*$' % pattern)
  for name, pattern in _COLUMNS.items()
}
# Its lines look like `path label`, too.
_DOUBTFUL = 'number path label'
# What names are in, and what they are on the disk.
_COMPOSITIONS = ('NFC', 'NFD')  # both UTF-8; the second is that of macOS
_ENCODINGS = ('gb18030', 'big5', 'cp932', 'cp949', 'cp1252')
_RECODINGS = (
  *((name, 'utf-8') for name in _ENCODINGS),
  *(('utf-8', name) for name in _COMPOSITIONS + _ENCODINGS),
)
_LINE = re.compile(rb'(?m)^[ \t\r\v\f]*[^\s]')
_SLASHES = re.compile(rb'/(?:\.?/)+')
_LEADING_DOTS = re.compile(rb'(?m)^([ \t]*)(?:\./)+')


class Form(NamedTuple):
  """How a list is written."""

  columns: str = _PLAIN  # of its lines, as in this module's description
  # The encoding of its names and that of the disk, or a Unicode normalisation,
  # where names have to be changed to be those on the disk.
  recoding: tuple[str, str] | None = None
  backslashes: bool = False  # whether they stand for slashes

  def plain(self, lines: bytes) -> bytes | None:
    """Whole lines of such a list as lines `path<TAB>label`, paths tidied.

    As many lines, the empty ones included. None if one is of another form;
    lines `path label` are not checked.
    """
    if self.recoding and not lines.isascii():
      lines = _recoded(lines, *self.recoding)
      if lines is None:
        return None
    if self.columns != _PLAIN:
      num_lines = len(_LINE.findall(lines))
      lines, num_fit = _PATTERNS[self.columns].subn(
        rb'\g<path>\t\g<label>', lines
      )
      if num_fit != num_lines:
        return None
    if self.backslashes:
      lines = lines.replace(b'\\', b'/')
    return tidied(lines)

  @property
  def in_words(self) -> str:
    """What differs from the usual form; '' if nothing does."""
    words = []
    if self.columns != _PLAIN:
      words.append(f'lines `{self.columns}`')
    if self.recoding:
      words.append('names of {} as {}'.format(*self.recoding))
    if self.backslashes:
      words.append('backslashes as slashes')
    return ', '.join(words)


def tidied(lines: bytes) -> bytes:
  """Lines that begin with a path: `./a/1.jpg` and `a//1.jpg` as `a/1.jpg`."""
  if b'./' in lines or b'//' in lines:
    lines = _LEADING_DOTS.sub(rb'\1', _SLASHES.sub(b'/', lines))
  return lines


def detect(path: str, root: str = '') -> Form:
  """The form of the list file `path`, by its first lines.

  The usual one if it cannot be read, or is no regular file. A warning says
  what differs from that.

  Args:
    path: the list.
    root: the folder of its images, to see which form names files that are
      there; '' where this is not known.
  """
  lines = _sample(path)
  best, most = Form(), (0, 0)
  for form in _forms(lines):
    names = [_name(form, line) for line in lines]
    fitting = [name for name in names if name is not None]
    there = sum(_is_there(root, name) for name in fitting) if root else 0
    is_usual = form.columns != _DOUBTFUL and form == Form(form.columns)
    if not (there or is_usual):  # the others are believed by their files
      continue
    if (there, len(fitting)) > most:
      best, most = form, (there, len(fitting))
    if there == len(lines):
      break
  if best.in_words:
    # InsightFace's flag says whether the images are aligned faces.
    is_unaligned = 'TAB' in best.columns and len(lines) > 1
    is_unaligned &= all(line.startswith(b'0\t') for line in lines)
    _log.warning(
      'The list %s is read as: %s.%s',
      text.printable(path),
      best.in_words,
      ' By its flags the images are not aligned; they are taken as they are.'
      if is_unaligned
      else '',
    )
  return best


def _forms(lines):
  sample = b''.join(lines)
  recodings = [None] if sample.isascii() else [None, *_RECODINGS]
  backslashes = [False, True] if b'\\' in sample else [False]
  for recoding, *form in itertools.product(recodings, _COLUMNS, backslashes):
    yield Form(form[0], recoding, form[1])


def _sample(path) -> list[bytes]:
  """Some of the first lines that are not empty."""
  if not os.path.isfile(path):
    return []
  try:
    with text.reading(path) as file:
      start = file.read(_SAMPLE_BYTES)
  except errors.UserError:
    return []  # who reads it says so
  if len(start) == _SAMPLE_BYTES:
    start = start[: start.rfind(b'\n') + 1]
  lines = [line for line in start.split(b'\n') if line.strip()]
  if not lines or b'\0' in start or max(map(len, lines)) > _MAX_LINE_BYTES:
    return []
  others = [line for line in lines[_LINES:] if not line.isascii()]
  return lines[:_LINES] + others[:_OTHER_LINES]


def _name(form: Form, line: bytes) -> bytes | None:
  """The path in a line of that form; None if it is of another one."""
  plain = form.plain(line)
  if plain is None or not _PATTERNS[_PLAIN].search(plain):
    return None
  return plain.strip().rsplit(None, 1)[0]


def _is_there(root: str, name: bytes) -> bool:
  return os.path.isfile(os.path.join(os.fsencode(root), name))


def _recoded(lines: bytes, source: str, target: str) -> bytes | None:
  try:
    decoded = lines.decode(source)
    if target in _COMPOSITIONS:
      composed = unicodedata.normalize(target, decoded)  # type: ignore[arg-type]
      return composed.encode('utf-8')
    return decoded.encode(target)
  except UnicodeError:
    return None
