"""How large the house may be: what comes later pays for itself.

Whoever needs more room than there is takes it from somewhere else, or raises a
number here and says why in the commit.
"""

import ast
import io
import pathlib
import re
import tokenize

import pytest

ROOT = pathlib.Path(__file__).parents[1] / 'bfjax'
FILES = sorted(ROOT.rglob('*.py'))

LINES = 37_600
STATEMENT_LINES = 22_250
LINES_OF_A_FILE = 250
LINES_OF_A_FUNCTION = 60  # without its docstring
PARAMETERS = 8  # but of a part's `build`, whose options are a config's

# The loop, in reading order, and the table of all keys.
LONG_FUNCTIONS = {('training.py', '_train'), ('defaults.py', 'get_config')}

_EMPTY = {
  tokenize.COMMENT,
  tokenize.NL,
  tokenize.NEWLINE,
  tokenize.INDENT,
  tokenize.DEDENT,
  tokenize.ENDMARKER,
}


def trees():
  return {path: ast.parse(path.read_text()) for path in FILES}


def docstring_lines(node):
  """The lines of a module's, class's or function's docstring."""
  if ast.get_docstring(node, clean=False) is None:
    return set()
  return set(range(node.body[0].lineno, node.body[0].end_lineno + 1))


def statement_lines(text):
  """Lines with code, but for those with nothing but closing brackets."""
  documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
  without = set()
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, documented):
      without |= docstring_lines(node)
  found = set()
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type not in _EMPTY:
      found |= set(range(token.start[0], token.end[0] + 1))
  brackets = {
    number
    for number, line in enumerate(text.splitlines(), 1)
    if re.fullmatch(r'\s*[\])}]+[,:]?\s*', line)
  }
  return len(found - without - brackets)


def functions():
  for path, tree in trees().items():
    for node in ast.walk(tree):
      if isinstance(node, ast.FunctionDef):
        yield path.relative_to(ROOT), node


def test_the_package_keeps_its_size():
  texts = [path.read_text() for path in FILES]
  lines = sum(text.count('\n') for text in texts)
  statements = sum(map(statement_lines, texts))
  assert lines <= LINES
  assert statements <= STATEMENT_LINES


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_can_be_read_at_a_sitting(path):
  lines = path.read_text().count('\n')
  assert lines <= LINES_OF_A_FILE


def test_a_function_can_be_seen_at_a_glance():
  long = {
    f'{path}: {node.name}'
    for path, node in functions()
    if (str(path), node.name) not in LONG_FUNCTIONS
    and node.end_lineno - node.lineno + 1 - len(docstring_lines(node))
    > LINES_OF_A_FUNCTION
  }
  assert not long


def test_a_function_takes_few_parameters():
  many = set()
  for path, node in functions():
    taken = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    own = [x for x in taken if x.arg not in ('self', 'cls')]
    if len(own) > PARAMETERS and not node.name.startswith(('build', 'make_')):
      many.add(f'{path}: {node.name} takes {len(own)}')
  assert not many
