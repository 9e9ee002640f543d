"""Imports go in one direction, and each library stays in its place."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / 'bfjax'
FILES = sorted(ROOT.rglob('*.py'))

# A module imports only from its own layer's folder and the layers above it.
LAYERS = (
  ('atomic', 'errors', 'markdown', 'posterior', 'runtime', 'sharding'),
  ('declared', 'keys', 'limits'),
  (
    'command',
    'plugins',
    'margins',
    'corrections',
    'labels',
    'optim',
    'metrics',
  ),
  ('settings',),
  ('identity',),
  ('collapse', 'progress', 'digests', 'diskerrors', 'arrays'),
  ('wholeness',),
  ('checkpoint',),
  ('softmax', 'backbones'),
  ('data', 'step', 'scalings'),
  ('builders', 'reports', 'model', 'matching'),
  ('convert',),
  ('evaluation',),
  ('runs', 'journal'),
  ('initial',),
  ('train',),
  ('compare', 'defaults'),
  ('evaluate',),
  ('configfile', 'preflight', 'recipes'),
  ('study',),
  ('main',),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# library or name -> where in the package it may be used
CONFINED = {
  'tensorflow': ('data',),
  'tensorflow_datasets': ('data',),
  'flax.linen': ('backbones',),
  'ml_collections': ('configfile', 'main', 'defaults'),
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


@pytest.mark.parametrize('library', CONFINED)
def test_a_library_stays_in_its_place(library):
  users = {
    part(path)
    for path in FILES
    if any((name + '.').startswith(library + '.') for name in imports(path))
  }
  assert users <= set(CONFINED[library])


def test_collectives_are_in_two_modules():
  words = ('shard_map', 'psum', 'pmax', 'pmin', 'all_gather', 'axis_index')
  users = {
    path.stem
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Attribute) and node.attr in words
  }
  assert users == {'softmax', 'labels'}
