"""Imports go in one direction, and each library stays in its place."""

import ast
import collections
import graphlib
import itertools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / 'bfjax'
FILES = sorted(ROOT.rglob('*.py'))

# The rooms of the house, from the lowest floor up: a module or folder imports
# only from lower ones.
LAYERS = (
  (
    *('__version__', 'atomic', 'averages', 'errors', 'fit', 'runtime'),
    *('sharding', 'watched'),
  ),
  ('peers', 'text'),
  ('declared',),
  ('plugins',),
  ('config',),
  ('command', 'feed', 'labels', 'metrics', 'optim'),
  ('program',),
  ('heads', 'backbones', 'storage', 'faces'),
  ('formats', 'scalings'),
  ('step',),
  ('data', 'modelcard'),
  ('model', 'report'),
  ('datasets', 'convert', 'logbook'),
  ('evaluation', 'builders'),
  ('setup', 'facemodel', 'cleaning'),
  ('planning',),
  ('pretrained',),
  ('training',),
  ('defaults',),
  ('evaluating', 'pages'),
  ('compare',),
  ('configfile', 'preflight'),
  ('recipes',),
  ('commands', 'main'),
  ('api',),
  ('completion',),
  ('__main__',),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# library or name -> where in the package it may be used
CONFINED = {
  'tensorflow': ('data', 'datasets', 'formats'),
  'tensorflow_datasets': ('data', 'datasets', 'formats'),
  'flax.linen': ('backbones',),
  'ml_collections': ('api', 'configfile', 'main', 'defaults'),
  'torch': ('convert',),
  'onnx': ('convert',),
  'jax2onnx': ('convert',),
  'safetensors': ('convert',),
}


def part(path):
  relative = path.relative_to(ROOT)
  return relative.parts[0].removesuffix('.py')


def imports(path):
  """Yields the full names of all modules that a file imports."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
  if part(path) == '__init__':
    return
  level = LEVEL[part(path)]
  for name in imports(path):
    package, _, rest = name.partition('.')
    if package == 'bfjax':
      other = rest.split('.')[0]
      below = LEVEL[other] < level or other == part(path)
      assert below, f'{path.name} imports {name}'


def test_rooms_do_not_import_each_other_in_a_circle():
  """In every folder, its files and subfolders can be put in one order."""
  below = collections.defaultdict(lambda: collections.defaultdict(set))
  for path in FILES:
    own = path.relative_to(ROOT).with_suffix('').parts
    for other in filter(None, map(module, imports(path))):
      pairs = zip(own, other, strict=False)
      same = len(list(itertools.takewhile(lambda x: x[0] == x[1], pairs)))
      if same < len(own):
        below[own[:same]][own[same]].add(other[same])
  for folder, rooms in below.items():
    try:
      graphlib.TopologicalSorter(rooms).prepare()
    except graphlib.CycleError as error:
      pytest.fail(f'bfjax/{"/".join(folder)}: {" <- ".join(error.args[1])}')


def module(name):
  """The file that holds a full name, as parts of its path; None if not ours."""
  package, *parts = name.split('.')
  for end in (len(parts), len(parts) - 1):
    path = ROOT.joinpath(*parts[:end])
    if package == 'bfjax' and path.with_suffix('.py').is_file():
      return tuple(parts[:end])
    if package == 'bfjax' and (path / '__init__.py').is_file():
      return (*parts[:end], '__init__')
  return None


@pytest.mark.parametrize('library', CONFINED)
def test_a_library_stays_in_its_place(library):
  users = {
    part(path)
    for path in FILES
    if any((name + '.').startswith(library + '.') for name in imports(path))
  }
  assert users <= set(CONFINED[library])


def test_collectives_are_in_three_modules():
  words = ('shard_map', 'psum', 'pmax', 'pmin', 'all_gather', 'axis_index')
  users = {
    path.stem
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Attribute) and node.attr in words
  }
  assert users == {'classes', 'labels', 'softmax'}
