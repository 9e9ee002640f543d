"""The head's program for H100s, which is compiled without one."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from bfjax.planning import compiling

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not compiling.has_plugin(),
    reason="needs JAX's plug-in for CUDA: pip install '.[cuda]'",
  ),
]


def compiled(*, hosts, classes, rows, chunk):
  script = pathlib.Path(__file__).with_name('compiled_for_card.py')
  paths = [str(script.parents[1] / 'tools'), os.environ.get('PYTHONPATH', '')]
  numbers = map(str, (hosts, classes, rows, chunk))
  done = subprocess.run(
    [sys.executable, script, *numbers],
    env={
      **os.environ,
      'JAX_PLATFORMS': 'cpu',
      'PYTHONPATH': os.pathsep.join(paths),
    },
    stdout=subprocess.PIPE,
    check=True,
  )
  return json.loads(done.stdout)


def test_a_card_passes_over_its_logits_four_times_and_never_loops():
  program = compiled(hosts=1, classes=1_000_000, rows=1024, chunk=0)
  # One for the nearest class, one for the sum and the second nearest, one for
  # the gradient; and the product of an odd size is filled up by XLA.
  assert len(program['passes']) <= 4
  assert program['loops'] == 0


def test_a_hundred_million_classes_fit_on_512_cards():
  rows, chunk = 512 * 128, 4096
  program = compiled(hosts=64, classes=10**8, rows=rows, chunk=chunk)
  assert program['bytes'] <= 4 * 2 * rows * chunk
  assert program['loops'] == 2
  assert not program['passes']
