"""A part is one file: nothing else has to be changed for it or its options."""

import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]

SOURCE = """
from bfjax.data.sources import imagelist

def build(*, root: str, check: str = 'exist', shade: float = 0.5):
  assert shade == 0.25
  return imagelist.build(root=root, check=check)
"""
BACKBONE = """
from bfjax.backbones import iresnet

def build(*, image_size: int = 112, embedding_dim: int = 8, knots: int = 3):
  assert knots == 5
  return iresnet.build(
    image_size=image_size, embedding_dim=embedding_dim, widths=(8, 8),
    blocks=(1,), stem_stride=2,
  )
"""
BENCHMARK = """
from bfjax.evaluation.benchmarks import synthetic_pairs

def build(*, seed: int = 0, cache_dir: str = '', trials: int = 20):
  assert trials == 40
  return synthetic_pairs.build(
    seed=seed, num_pairs=trials, image_size=32, cache_dir=cache_dir
  )
"""
RUN = """
import pathlib, sys
from bfjax import configfile, defaults, preflight
root, config = sys.argv[1:]
flags = [
  f'--config={config}', '--config.batch=8', f'--config.data.root={root}',
  '--config.data.image_size=32', '--config.data.source=mine',
  '--config.data.shade=0.25', '--config.backbone.name=mine',
  '--config.backbone.knots=5', "--config.eval.benchmarks=('own',)",
]
configfile.check(['bfjax', *flags])
c = configfile.load(config).unlock()
c.batch, c.data.image_size, c.data.root = 8, 32, root
c.data.source, c.data.shade = 'mine', 0.25
c.backbone.name, c.backbone.knots = 'mine', 5
c.benchmarks.own = {'kind': 'mine', 'trials': 40, 'cache_dir': root + '-cache'}
c.eval.benchmarks = ('own',)
preflight.check(c, defaults.get_config(), pathlib.Path(root + '-run'), 'train')
from bfjax import setup
from bfjax.evaluation import suite
run = setup.open_run(c)
own = suite.open_suite(c, run.recipe.backbone, run.recipe.mesh, image_size=32)
net = run.recipe.backbone
print(run.source.num_rows, net.embedding_dim, list(own.benchmarks))
"""


def test_a_part_and_its_options_are_one_file(tmp_path):
  """Of a copy of the package: source, backbone and benchmark called `mine`."""
  shutil.copytree(ROOT / 'bfjax', tmp_path / 'bfjax')
  for place, text in {
    'data/sources': SOURCE,
    'backbones': BACKBONE,
    'evaluation/benchmarks': BENCHMARK,
  }.items():
    (tmp_path / 'bfjax' / place / 'mine.py').write_text(text)
  images = tmp_path / 'images'
  for name in ('a/1.jpg', 'a/2.jpg', *(f'b/{i}.jpg' for i in range(8))):
    (images / name).parent.mkdir(parents=True, exist_ok=True)
    (images / name).write_bytes(b'not looked into')
  done = subprocess.run(
    [sys.executable, '-c', RUN, images, ROOT / 'configs' / 'casia.py'],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.split('\n')[-2] == "10 8 ['own']"
