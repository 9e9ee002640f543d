"""Importing the project changes no settings of Python or of other libraries."""

import importlib.util
import pathlib
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
CODE = """
  import ast, importlib, logging, os, pathlib, signal, sys, threading, warnings

  files = sorted(pathlib.Path('bfjax').rglob('*.py'))
  ours = ['.'.join(path.with_suffix('').parts) for path in files]
  ours = [name.removesuffix('.__init__') for name in ours]
  # What other libraries change when they are imported is their own affair.
  for path in files:
    for node in ast.parse(path.read_text()).body:
      names = []
      if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
      elif isinstance(node, ast.ImportFrom):
        names = [f'{node.module}.{alias.name}' for alias in node.names]
        names.append(node.module)
      for name in names:
        if name.split('.')[0] != 'bfjax':
          try:
            importlib.import_module(name)
          except ModuleNotFoundError:  # a name in a module
            pass
  import cv2, jax, matplotlib, numpy, tensorflow

  def settings():
    return {
      'environment': dict(os.environ),
      'threads of OpenCV': cv2.getNumThreads(),
      'devices of TensorFlow': tensorflow.config.get_visible_devices(),
      'jax': dict(jax.config.values),
      'numpy': (numpy.geterr(), numpy.get_printoptions()),
      'matplotlib': dict(matplotlib.rcParams),
      'logging': [(x.level, x.handlers[:]) for x in map(
        logging.getLogger, (None, 'absl', 'bfjax', 'jax', 'tensorflow'))],
      'warnings': warnings.filters[:],
      'signals': [signal.getsignal(x) for x in signal.valid_signals()],
      'threads': threading.active_count(),
      'path': sys.path[:],
    }

  before = settings()
  for name in ours:
    importlib.import_module(name)
    after = settings()
    changed = [key for key in before if before[key] != after[key]]
    assert not changed, (name, changed)
"""


def test_importing_changes_nothing():
  done = subprocess.run(
    [sys.executable, '-c', textwrap.dedent(CODE)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert not done.returncode, done.stderr


NEEDED = """
  import importlib, sys

  class Nothing:
    def find_spec(self, name, *_):
      if name.split('.')[0] in {absent!r}:
        raise ModuleNotFoundError(f'No module named {{name}}', name=name)

  sys.meta_path.insert(0, Nothing())
  sys.path.insert(0, 'tools')
  for name in {modules!r}:
    importlib.import_module(name)
"""


def test_the_step_needs_no_tensorflow_and_no_clu():
  """On a machine with JAX, Flax and Optax alone a step can be tried."""
  absent = [
    *('clu', 'tensorflow', 'tensorflow_datasets', 'tensorboard'),
    *('ml_collections', 'orbax', 'grain', 'array_record', 'cv2', 'PIL'),
    *('matplotlib', 'sklearn', 'scipy', 'tqdm', 'jinja2', 'pyarrow', 'psutil'),
  ]
  modules = ['step', 'builders', 'backbones', 'backbones.iresnet']
  modules += ['heads.softmax', 'heads.rules', 'heads.penalties', 'runtime']
  modules = [f'bfjax.{name}' for name in modules]
  if importlib.util.find_spec('torch'):  # the peer of the benchmark of a card
    modules += ['benchmark', 'benchmarks.gpu']
  code = textwrap.dedent(NEEDED).format(absent=absent, modules=modules)
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert not done.returncode, done.stderr
