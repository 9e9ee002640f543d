"""The benchmark tool: fair turns, and a table that can be believed."""

import importlib
import pathlib
import sys
import types

import pytest

from bfjax import errors

pytestmark = pytest.mark.slow

TOOLS = pathlib.Path(__file__).parent.parent / 'tools'


@pytest.fixture
def benchmark(monkeypatch):
  monkeypatch.syspath_prepend(str(TOOLS))
  return importlib.import_module('benchmark')


@pytest.fixture
def timing(benchmark):
  return benchmark.timing


def make_row(timing, **changes):
  row = timing.Row('work', 'us', 'them', [1.0, 2, 4], [3.0, 4, 16], 'fast')
  return row._replace(**changes)


def test_candidates_take_turns(timing):
  calls = []
  secs = timing.interleaved(
    {name: lambda name=name: calls.append(name) for name in 'ab'},
    repeats=3,
    warmup=2,
  )
  assert ''.join(calls) == 'ab' * 5
  assert {name: len(values) for name, values in secs.items()} == {
    'a': 3,
    'b': 3,
  }
  assert min(secs['a']) > 0


def test_a_line_is_named_while_it_is_measured(timing, capsys):
  timing.interleaved({'ours': int}, repeats=2, what='a search')
  said = capsys.readouterr().err.split('\n')
  assert said[:2] == ['  a search: ours warms up ...', '  a search: 1 of 2 ...']
  timing.interleaved({'ours': int})
  assert not capsys.readouterr().err


def test_ratio_is_the_median_over_repeats(timing):
  assert make_row(timing).ratios == [3, 2, 4]
  assert make_row(timing).ratio == 3


def test_load_is_a_share(timing):
  timing.load_of_others()
  assert 0 <= timing.load_of_others() <= 1


def test_table_has_units_quartiles_and_ratio(benchmark, timing):
  rows = [
    make_row(timing),
    make_row(timing, ours_secs=[0.00123], theirs_secs=[0.0246]),
    make_row(timing, ours_secs=[2e6], theirs_secs=[1.1e9], unit='B'),
    make_row(timing, ours_secs=[4e-5], theirs='', theirs_secs=[], note='hm'),
  ]
  lines = benchmark.table(rows).splitlines()
  cells = [[c.strip() for c in x.split('|')[1:-1]] for x in lines]
  assert cells[0] == ['what', 'ours', 'theirs', 'ratio', 'goal', 'note']
  assert cells[2][1:5] == [
    'us: 2.00 s (1.50-3.00)',
    'them: 4.00 s (3.50-10.0)',
    '3.00 (2.50-3.50)',
    'fast',
  ]
  assert cells[3][1:4] == ['us: 1.23 ms', 'them: 24.6 ms', '20.0']
  assert cells[4][1:4] == ['us: 2.00 MB', 'them: 1.10 GB', '550']
  assert cells[5] == ['work', 'us: 40.0 us', '', '', 'fast', 'hm']
  assert len({len(line) for line in lines}) == 1


def test_report_tells_the_machine_and_the_load(benchmark, timing):
  text = benchmark.report([make_row(timing)], {'head': 0.25}, 3)
  assert f'{sys.version.split()[0]}, numpy ' in text
  assert 'GiB of memory' in text
  assert 'head 25%' in text


def test_a_missing_module_names_the_remedy(benchmark, monkeypatch):
  def run(*, repeats):
    raise ModuleNotFoundError('No module named torch', name='torch')

  part = types.SimpleNamespace(run=run)
  monkeypatch.setitem(sys.modules, 'benchmarks.backbone', part)
  with pytest.raises(errors.UserError, match=r"'backbone' .*torch.*\[test\]"):
    benchmark.run_part('backbone', 1)


def test_unknown_parts_are_refused(benchmark, capsys):
  assert benchmark.main(['tail']) == 2
  assert "No part called 'tail'. There are: " in capsys.readouterr().err


@pytest.mark.usefixtures('benchmark')
def test_eval_part_finds_the_same_on_both_sides():
  part = importlib.import_module('benchmarks.evaluation.pairs')
  rows = part.rows(repeats=1, num_pairs=40, dim=4)
  part = importlib.import_module('benchmarks.evaluation.templates')
  rows += part.rows(repeats=1, scale=1e-3)
  part = importlib.import_module('benchmarks.evaluation.megaface')
  rows += part.rows(repeats=1, scale=2e-3)
  assert len(rows) == 9
  assert all(row.ratio > 0 for row in rows)


@pytest.mark.usefixtures('benchmark')
def test_data_part_reads_all_formats_and_opens_them(monkeypatch):
  part = importlib.import_module('benchmarks.data')
  opening = part.opening
  # A process for each takes half a minute to start them all.
  monkeypatch.setattr(opening, 'open_apart', opening.open_source)
  rows = part.run(repeats=1, num_images=128, num_rows=2000)
  names = ('list', 'folder', 'recordio', 'tfds')
  compared = [row for row in rows if row.theirs]
  assert [row.what.split()[0] for row in compared] == [
    name for name in names for _ in range(4)
  ]
  assert all(row.ratio > 0 for row in compared)
  opened = [row for row in rows if not row.theirs]
  assert len(opened) == 10
  assert all(row.ours_secs[0] > 0 for row in opened)


@pytest.mark.usefixtures('benchmark')
def test_checkpoint_part_saves_and_restores():
  part = importlib.import_module('benchmarks.checkpoint')
  net = {'name': 'iresnet', 'widths': (8, 16), 'blocks': (1,), 'image_size': 8}
  rows = part.run(repeats=1, net=net, classes=10)
  assert [row.what.split(':')[0] for row in rows] == [
    'save, until it is whole',
    'save, CPU time',
    'save, what training waits for',
    'restore',
    'restore, CPU time',
  ]
  assert all(row.ratio > 0 for row in rows)


class Now:
  """A call that another process would make, made here when it is asked for."""

  def __init__(self, function, *arguments):
    self.result = lambda: function(*arguments)


@pytest.mark.usefixtures('benchmark', 'quick_compilation')
def test_gpu_part_runs_at_toy_sizes_where_there_is_no_card(monkeypatch):
  for name in ('CUDA_VISIBLE_DEVICES', 'XLA_PYTHON_CLIENT_MEM_FRACTION'):
    monkeypatch.setenv(name, '')  # which the processes set for themselves
  part = importlib.import_module('benchmarks.gpu')
  monkeypatch.setattr(part, '_begin', Now)
  rows = part.run(repeats=1)
  by_name = {row.what: row for row in rows}
  for name in ('heads', 'training step'):
    row = by_name[f'{name} against the float64 oracle, float32, on cpu']
    assert 0 < row.ours_secs[0] < 1e-3
    assert '; 0 labels' in f'; {row.note}'
  same = next(row for row in rows if row.what.startswith('labels decided'))
  assert same.ours_secs == [1.0]
  timed = [row for row in rows if row.ours == 'ours']
  assert len(timed) == 4
  assert all(row.ratio > 0 for row in timed)
  peak = next(row for row in rows if row.what.startswith('peak memory'))
  assert peak.theirs_secs[0] > 1e5
