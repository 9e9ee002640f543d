"""Readers stand what a fuzzer makes; the fuzzer finds what is planted."""

import importlib
import importlib.util
import json
import random

import hypothesis
import pytest
from hypothesis import strategies as st

from bfjax import errors
from fuzzing import mutations, supervisor, targets, worker
from tools import fuzz

pytestmark = pytest.mark.slow

COUNTS = {'records': 1000, 'packs': 4000, 'images': 4000}


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('name', COUNTS)
def test_readers_take_or_refuse(name, tmp_path):
  target = targets.open_target(name, tmp_path)
  assert all(target.attempt(data) for data in target.seeds)
  taken = 0
  for number in range(COUNTS[name]):
    taken += target.attempt(worker.make_input(target, 20, number))
  # Some files are broken and some are not, or nothing is tried.
  assert 0.02 < taken / COUNTS[name] < 0.98


@pytest.mark.parametrize('name', COUNTS)
@hypothesis.settings(
  deadline=None,
  max_examples=100,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.data_too_large],
)
@hypothesis.given(data=st.data())
def test_readers_stand_any_bytes(name, tmp_path_factory, data):
  target = targets.open_target(name, tmp_path_factory.getbasetemp())
  start = data.draw(st.sampled_from([b'', *target.tokens, *target.seeds]))
  target.attempt(start + data.draw(st.binary(max_size=300)))


def test_inputs_are_those_of_their_number(tmp_path):
  target = targets.open_target('packs', tmp_path)
  made = [worker.make_input(target, 3, number) for number in range(50)]
  again = [worker.make_input(target, 3, number) for number in range(50)]
  other = [worker.make_input(target, 4, number) for number in range(50)]
  assert made == again and len(set(made)) > 40 and made != other


def test_edits_reach_every_byte_and_stay_within_the_size():
  draw = random.Random(0)
  seed, other = bytes(range(64)), b'other' * 5000
  changed = set()
  for _ in range(2000):
    edited = mutations.apply(
      seed, mutations.draw_edits(draw), other, [b'token']
    )
    assert len(edited) <= mutations.MAX_BYTES
    changed |= {i for i in range(min(64, len(edited))) if edited[i] != seed[i]}
  assert changed == set(range(64))


def run(target, tmp_path, **options):
  options = {'count': 200, 'seed': 0, 'progress': False} | options
  return supervisor.run(target, out=tmp_path / 'found', **options)


@pytest.mark.parametrize(
  'fault, what',
  [
    ('crash', 'SIGSEGV'),
    ('raise', 'ZeroDivisionError: planted'),
    ('hang', 'it takes longer than 1 s'),
  ],
)
def test_a_planted_fault_is_found_and_kept(tmp_path, fault, what):
  # The first number whose input has the fault, and one more.
  opened = importlib.import_module('tests.planted').open_target('good', '')
  bad = [
    number
    for number in range(200)
    if b'fault' in worker.make_input(opened, 0, number)
  ]
  report = run(
    f'tests.planted:{fault}', tmp_path, count=bad[0] + 2, time_limit_secs=1
  )
  [finding] = report.findings[:1]
  assert finding.number == bad[0] and what in finding.what
  with open(finding.path, 'rb') as file:
    assert file.read() == worker.make_input(opened, 0, bad[0])
  # It went on with the next one.
  assert report.inputs == bad[0] + 2
  assert report.taken == bad[0] + 2 - len(report.findings)


def test_memory_that_grows_is_found(tmp_path):
  report = run(
    'tests.planted:grow',
    tmp_path,
    count=10_000,
    warm_up_inputs=5,
    growth_limit_mib=50,
  )
  assert 'memory has grown by' in report.findings[0].what


@pytest.mark.parametrize('engine', worker.ENGINES)
def test_engines_give_inputs(tmp_path, engine):
  if engine == 'atheris' and importlib.util.find_spec('atheris') is None:
    pytest.skip('atheris is not installed')
  report = run('packs', tmp_path, engine=engine)
  assert not report.findings
  assert report.inputs == report.taken + report.refused >= 100


def test_the_command(tmp_path, capsys):
  path = tmp_path / 'numbers.json'
  options = ['packs', '--count', '300', '--json', str(path)]
  fuzz.main(fuzz.parse_arguments(options))
  [report] = json.loads(path.read_text())
  assert report['inputs'] == 300 and report['findings'] == []
  assert 'packs: 300 files by mutate' in capsys.readouterr().out
  with pytest.raises(errors.UserError, match='There are: images, packs, rec'):
    fuzz.main(fuzz.parse_arguments(['pack']))
