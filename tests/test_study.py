"""A study: every cell once, whatever happens on the way; tables as by hand."""

import importlib.util
import json
import os
import pathlib
from unittest import mock

import pytest

from bfjax import configfile, errors
from bfjax.logbook import collapse
from studies import cells, charts, outcomes, running, tables

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
NOTHING = {'rule': 'none', 'penalty': 'none'}

BASE = """
from tests import tiny

def get_config(seed):
  c = tiny.config({cache!r}, epochs=1)
  c.data.seed = int(seed)
  return c
"""
STUDY = """
import ml_collections

def get_config():
  return ml_collections.ConfigDict({study!r})
"""


def load_tool():
  spec = importlib.util.spec_from_file_location(
    'study_tool', ROOT / 'tools' / 'study.py'
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def write_study(folder):
  """Two mixes, two methods and a cell that fails; a config of each kind."""
  base = folder / 'base.py'
  base.write_text(BASE.format(cache=str(folder / 'faces')))
  mixes = {
    mix: {
      **{'set': 'normal', 'closed': rate, 'open': 0.0},
      'changes': {'data': {'flip_rate': rate}},
    }
    for mix, rate in (('closed25', 0.25), ('clean', 0.0))
  }
  arcface = {'head': NOTHING}
  of_all = {
    'posterior': {'head': {'rule': 'posterior'}},
    'true': {**arcface, 'data': {'flip_rate': 0.0}},
  }
  study = {
    **{'title': 'Tiny', 'base': f'{base}:{{seed}}', 'seeds': (1,)},
    **{'every': {}, 'protocol': 'boundaryface', 'mixes': mixes},
    'methods': {'posterior': 'Posterior', 'true': 'True', 'bad': 'Bad'},
    'cells': {
      'closed25': of_all | {'bad': {'data': {'flip_rate': 2.0}}},
      'clean': of_all,
    },
    'compare': (('posterior', 'true'),),
    'remove': ('checkpoints', 'tensorboard', 'corrections/*.png'),
  }
  path = folder / 'study.py'
  path.write_text(STUDY.format(study=study))
  return path


class Done:
  """The study above, interrupted after a training and then gone on with."""

  def __init__(self, folder):
    self.path, self.workdir = write_study(folder), folder / 'work'
    self.tool = load_tool()
    study = configfile.load(str(self.path))
    first, second, *_ = cells.select(study, methods=['posterior', 'true'])
    runs = self.workdir / 'runs'
    jobs = [
      running.Job(x.config, outcomes.folder_of(runs, x))
      for x in (first, second)
    ]

    def stop(job, error):
      assert not error
      raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
      running.run_all(jobs, running.shares([0], 1), stop)
    self.first = jobs[0].folder / outcomes.SCORES
    self.first_written = self.first.stat().st_mtime_ns
    assert not outcomes.is_finished(jobs[1].folder)
    with pytest.raises(errors.UserError) as raised:
      self.run('--config', self.path)
    self.said = str(raised.value)

  def run(self, *arguments):
    given = map(str, ['--workdir', self.workdir, *arguments])
    self.tool.main(self.tool.parse_arguments(list(given)))


@pytest.fixture(scope='module')
def done(tmp_path_factory):
  # Of the processes that train: one device, and compiled quickly.
  quick = {'XLA_FLAGS': '', 'JAX_DISABLE_MOST_OPTIMIZATIONS': 'true'}
  with mock.patch.dict(os.environ, quick):
    return Done(tmp_path_factory.mktemp('study'))


def test_a_stopped_study_goes_on_with_what_is_not_finished(done):
  assert done.first.stat().st_mtime_ns == done.first_written
  found = outcomes.read(done.workdir).outcomes
  finished = {(x.mix, x.method) for x in found if x.scores}
  assert finished == {
    (mix, method)
    for mix in ('closed25', 'clean')
    for method in ('posterior', 'true')
  }
  for folder in (done.workdir / 'runs').iterdir():
    assert not (folder / 'checkpoints').exists() or 'bad' in folder.name


def test_cells_of_the_same_config_share_one_run(done):
  runs = {
    (x.mix, x.method): x.run for x in outcomes.read(done.workdir).outcomes
  }
  assert runs['closed25', 'true'] == runs['clean', 'true']
  assert len(set(runs.values())) == 4


def test_a_cell_that_fails_is_named_and_the_others_go_on(done):
  assert 'closed25, bad, seed 1: ' in done.said
  assert 'is a share' in done.said
  text = (done.workdir / 'study.md').read_text()
  assert '- closed25, bad, seed 1: The rate' in text


def test_numbers_are_those_of_the_runs(done):
  found = outcomes.read(done.workdir)
  for x in found.outcomes:
    if x.scores:
      log = (done.workdir / 'runs' / x.run / 'metrics.jsonl').read_text()
      lines = [json.loads(line) for line in log.splitlines()]
      name = 'unseen/boundaryface/accuracy'
      told = [line[name] for line in lines if name in line]
      assert x.scores[name] == told[-1]
      rates = [y['rule/noise_rate'] for y in lines if 'rule/noise_rate' in y]
      assert x.scores.get('rule/noise_rate') == (rates or [None])[-1]


def test_the_json_alone_makes_the_same_tables_and_charts(done, tmp_path):
  arguments = ['--table', '--workdir', tmp_path, done.workdir / 'study.json']
  done.tool.main(done.tool.parse_arguments(list(map(str, arguments))))
  names = 'study.md', 'study.json', 'noise_rate.png', 'verification_normal.png'
  for name in names:
    assert (tmp_path / name).read_bytes() == (done.workdir / name).read_bytes()


def test_two_studies_do_not_meet_in_a_folder(done):
  with (
    done.tool._alone_in(done.workdir),
    pytest.raises(errors.UserError, match='Another study'),
  ):
    done.run('--table')


def outcome(method, seed, accuracy, wrong=None, mix='closed20', **others):
  scores = {'unseen/boundaryface/accuracy': accuracy, **others}
  if wrong is not None:
    scores |= {'corrections/share': 0.2, 'corrections/wrong_labels': wrong}
  name = f'{mix}-{method}'
  return outcomes.Outcome(mix, method, seed, name, f'{name}-{seed}', {}, scores)


def results(*found):
  return outcomes.Results(
    *('Made up', 'base.py', 'boundaryface'),
    {
      'closed20': {'set': 'normal', 'closed': 0.2, 'open': 0.0},
      'c20o20': {'set': 'normal', 'closed': 0.2, 'open': 0.2},
    },
    {'ours': 'Ours', 'theirs': 'Theirs'},
    [('ours', 'theirs')],
    found,
  )


def row(table, first):
  [line] = [x for x in table.splitlines() if x.startswith(f'| {first} ')]
  return [cell.strip() for cell in line.strip('|').split('|')][1:]


def test_tables_are_as_by_hand():
  found = results(
    outcome('ours', 1, 0.95, 0.01, **{'rule/noise_rate': 0.19}),
    outcome('ours', 2, 0.97, 0.03, **{'rule/noise_rate': 0.21}),
    outcome('theirs', 1, 0.94, 0.04),
    outcome('theirs', 2, 0.95, 0.06, **{collapse.COLLAPSED: 5.0}),
    outcome('theirs', 3, 0.5, 0.5),
    outcome('theirs', 1, 0.6, 0.5, 'c20o20', **{collapse.COLLAPSED: 4.0}),
  )
  name = 'unseen/boundaryface/accuracy'
  table = tables.grid(found, lambda x: x.scores[name])
  # Deviations: .02 / sqrt 2; of .94, .95, .5 it is .2570.
  assert row(table, 'closed20') == [
    '96.00 +- 1.41 (2)',
    '79.67 +- 25.70 (3) †1',
  ]
  assert row(table, 'c20o20') == ['-', 'collapsed: 60.00 (1)']
  # Seeds 1 and 2 alone are of both: 1 and 2 points, mean 1.5, deviation .71.
  assert row(tables.paired(found, 'ours', 'theirs'), 'closed20') == [
    *('1.50 +- 0.71 (2) †1', 'won', '2.00', '5.00', '2.5'),
  ]
  text = tables.render(found)
  told = text.split('## Noise rate told')[1]
  assert row(told.split('##')[0], 'closed20') == [
    *('20', '0', '20.00 +- 1.41 (2)'),
  ]


@pytest.mark.parametrize(
  ('gaps', 'verdict'),
  [
    ([0.01], '-'),
    ([0.01, 0.02], 'won'),
    ([-0.01, 0.02], 'even'),
    ([-0.02, -0.01], 'lost'),
  ],
)
def test_a_difference_counts_beyond_its_spread(gaps, verdict):
  assert tables.verdict(tables.spread(gaps)) == verdict


def test_of_results_of_the_same_training_the_finished_holds():
  open_ = outcome('ours', 1, 0.9)._replace(scores={})
  finished = outcome('ours', 1, 0.9)
  merged = outcomes.merge([results(open_), results(finished, open_)])
  assert list(merged.outcomes) == [finished]
  other = finished._replace(digest='other')
  with pytest.raises(errors.UserError, match='two configs'):
    outcomes.merge([results(finished), results(other)])


def test_charts_are_drawn_of_what_there_is():
  assert charts.draw(results()) == {}
  drawn = charts.draw(results(outcome('ours', 1, 0.9), outcome('ours', 2, 0.8)))
  assert list(drawn) == ['verification_normal.png']


def test_every_part_of_our_study_is_whole():
  for part in ('claims', 'methods', 'lambda', f'casia:{ROOT}'):
    study = configfile.load(f'{ROOT}/configs/study.py:{part}')
    study.base = f'{ROOT}/{study.base}'
    trainings = cells.select(study)
    assert len(trainings) == sum(
      len(study.seeds) * len(study.cells[mix]) for mix in study.mixes
    )
    order = [x.seed for x in trainings]
    assert order == sorted(order)


def test_ours_is_the_recipe():
  study = configfile.load(f'{ROOT}/configs/study.py:claims')
  study.base = f'{ROOT}/{study.base}'
  recipe = configfile.load(f'{ROOT}/configs/robust.py:synthetic.py:1')
  [ours] = cells.select(study, ['closed20'], ['ours'], [1])
  changed = cells.differences(ours.config, recipe)
  groups = {key.split('.')[0] for key in changed}
  assert groups == {'checkpoint', 'eval', 'compare'}  # nothing that is learned


def test_closed_set_noise_costs_true_labels_no_training_of_its_own():
  study = configfile.load(f'{ROOT}/configs/study.py:claims')
  study.base = f'{ROOT}/{study.base}'
  found = {
    (x.mix, x.method): x.digest
    for x in cells.select(study, methods=['arcface', 'true_labels'], seeds=[1])
  }
  assert found['closed30', 'true_labels'] == found['clean', 'arcface']
  assert found['c20o20', 'true_labels'] != found['clean', 'arcface']
  assert found['hard-clean', 'arcface'] != found['clean', 'arcface']


def test_an_unknown_method_is_refused(done):
  with pytest.raises(errors.UserError, match=r'method.*posterior'):
    done.run('--config', done.path, '--methods', 'posteriori')


def test_more_jobs_than_cores_are_refused():
  assert running.shares([0, 1, 2], 2) == [{0, 2}, {1}]
  with pytest.raises(errors.UserError, match='1 to 3'):
    running.shares([0, 1, 2], 4)
