"""The main job end to end, in this process, on tiny faces."""

import json
import pathlib

import jax
import numpy as np
import pytest

import tiny
from bfjax import compare, errors, evaluating, feed, pages, setup, training
from bfjax.config import settings
from bfjax.logbook import collapse, journal
from bfjax.storage import checkpoint

pytestmark = pytest.mark.slow

# Not the same from run to run, and not meant to be.
TIMINGS = ('images_per_sec', 'eval/secs', 'eval/share_of_time')


@pytest.fixture(scope='module')
def cache_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('faces')


@pytest.fixture(scope='module')
def finished(cache_dir, tmp_path_factory):
  """The workdir of a run that was never interrupted."""
  workdir = tmp_path_factory.mktemp('finished')
  training.train_and_evaluate(tiny.config(cache_dir), workdir)
  return workdir


def last_state(config, workdir):
  run = setup.open_run(config)
  with checkpoint.open_manager(workdir) as manager:
    step = manager.latest_step()
    state = checkpoint.restore(manager, step, setup.make_state(run, config))
  return jax.device_get(state)


def metrics_lines(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [
    {
      k: v
      for k, v in json.loads(line).items()
      if k not in TIMINGS and not k.startswith('time/')
    }
    for line in lines
  ]


class Killed(BaseException):
  """Stands for a kill: nothing of the run may catch it."""


def train_until_killed(config, workdir, monkeypatch, killed_at):
  write = journal.Journal.note_skipped
  done = []

  def write_until_killed(self, rows):
    done.append(True)
    if len(done) == killed_at:
      raise Killed
    write(self, rows)

  with monkeypatch.context() as patch:
    patch.setattr(journal.Journal, 'note_skipped', write_until_killed)
    with pytest.raises(Killed):
      training.train_and_evaluate(config, workdir)
  assert len(done) == killed_at


def assert_same(config, workdir, other):
  """Two runs have ended alike, to the last bit."""
  jax.tree.map(
    np.testing.assert_array_equal,
    last_state(config, workdir),
    last_state(config, other),
  )
  assert metrics_lines(workdir) == metrics_lines(other)


@pytest.mark.parametrize('killed_at', [5, 13])
def test_interrupted_run_equals_uninterrupted_run(
  cache_dir, finished, tmp_path, monkeypatch, killed_at
):
  config = tiny.config(cache_dir, checkpoint={'every_steps': 3})
  train_until_killed(config, tmp_path, monkeypatch, killed_at)
  scores = training.train_and_evaluate(config, tmp_path)
  assert_same(config, tmp_path, finished)
  assert scores == training.train_and_evaluate(config, finished)


def test_a_head_with_all_it_can_carry_goes_on_as_it_was(
  cache_dir, tmp_path, monkeypatch
):
  config = tiny.config(cache_dir, checkpoint={'every_steps': 3})
  config.head.update({'rule': 'posterior', 'visits': 2, 'sub_centres': 2})
  config.head.drop_start = 1.0
  training.train_and_evaluate(config, tmp_path / 'whole')
  train_until_killed(config, tmp_path / 'killed', monkeypatch, 13)
  training.train_and_evaluate(config, tmp_path / 'killed')
  assert_same(config, tmp_path / 'killed', tmp_path / 'whole')
  state = last_state(config, tmp_path / 'whole')
  carried = state.head_state['sub_centre_use'], state.past['times']
  assert all(np.any(x) for x in (state.head_state['class_rows'], *carried))


def test_the_posterior_rule_tells_what_it_learns(cache_dir, tmp_path):
  config = tiny.config(cache_dir)
  config.head.rule = 'posterior'
  config.data.stranger_rate = 0.2
  scores = training.train_and_evaluate(config, tmp_path)
  lines = [x for x in metrics_lines(tmp_path) if 'train/loss' in x]
  shares = np.array(
    [[x[f'train/{n}'] for n in ('kept', 'corrected', 'unsure')] for x in lines]
  )
  np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
  epochs = np.array([x['epoch'] for x in lines])
  np.testing.assert_allclose(shares[epochs == 1], [[1, 0, 0]] * 3, atol=1e-6)
  assert (shares[epochs > 1] < 1).all() and (shares[epochs > 1, 2] > 0).all()
  for line in lines:
    assert 0 < line['rule/noise_rate'] < 1
    assert line['rule/rule_margin'] > 0 and line['rule/kappa'] > 0
  assert 0 <= scores['corrections/relabelled_strangers'] <= 1


@pytest.mark.parametrize(('labels', 'rows'), [('true', 100), ('right', 70)])
def test_bounds_leave_out_what_is_noise(cache_dir, labels, rows):
  config = tiny.config(cache_dir)
  config.data.stranger_rate, config.data.labels = 0.2, labels
  source, given = setup.open_source(config)
  np.testing.assert_array_equal(given, source.true_labels)
  assert (source.true_labels >= 0).all()
  assert source.num_rows == len(given) == rows
  assert (source.labels == given).all() == (labels == 'right')


def test_a_run_leaves_its_records(cache_dir, finished):
  config = tiny.config(cache_dir)
  run = setup.open_run(config)
  lines = metrics_lines(finished)
  training = [line for line in lines if 'train/loss' in line]
  assert [line['step'] for line in training] == [3, 6, 8, 11, 14, 16]
  for name in ('lr', 'accuracy', 'cosine_target', 'cosine_other', 'corrected'):
    assert all(np.isfinite(line[f'train/{name}']) for line in training)
  # The drop at epoch 2 holds from its first step.
  rates = [line['train/lr'] for line in training]
  np.testing.assert_allclose(
    rates, [0.02 * 16 / 64] * 3 + [0.002 * 16 / 64] * 3
  )
  # Corrections and penalty begin in the epoch after epoch_start = 1.
  for line in training:
    assert (line['train/penalty'] > 0) == (line['epoch'] > 1)
  # What cannot be before the correction begins is not told.
  ends = [line for line in lines if 'corrections/wrong_labels' in line]
  assert ['corrections/recall' in line for line in ends] == [False, True]
  at_end = journal.final_scores(finished)
  assert 0 <= at_end['unseen/boundaryface/accuracy'] <= 1
  assert at_end['corrections/wrong_labels'] > 0
  assert json.loads((finished / 'config.json').read_text())['batch'] == 16
  classes = (finished / 'classes.tsv').read_text().splitlines()
  assert classes[3].split('\t') == ['3', run.source.class_names[3]]
  assert list((finished / 'tensorboard').iterdir())


def test_the_page_of_a_run_is_made_again_as_it_was(finished):
  path = finished / 'report.html'
  first = path.read_text()
  for part in ('Over the epochs', 'Cosines and boundary', 'Corrected rows'):
    assert part in first
  path.unlink()
  assert pages.write(finished) == path
  assert path.read_text() == first
  with pytest.raises(errors.UserError, match='neither the workdir of a run'):
    pages.write(finished / 'checkpoints')


def test_the_correction_log_is_the_label_table(cache_dir, finished):
  config = tiny.config(cache_dir)
  run = setup.open_run(config)
  table = last_state(config, finished).table[: run.source.num_rows]
  logs = finished / 'corrections'
  # Nothing is corrected up to epoch_start = 1: a header and no line.
  assert len((logs / 'epoch_001.tsv').read_text().splitlines()) == 1
  log = (logs / 'epoch_002.tsv').read_text().splitlines()
  of_labels = ['row', 'path', 'given_label', 'new_label']
  assert log[0].split('\t')[:4] == of_labels
  logged = {tuple(line.split('\t')[:4]) for line in log[1:]}
  names = run.source.class_names
  assert logged == {
    (str(row), run.source.name(row), names[run.given[row]], names[table[row]])
    for row in np.flatnonzero(table != run.given)
  }


def test_a_checkpoint_is_evaluated_afterwards_as_it_was_in_training(
  cache_dir, finished, capsys
):
  scores = evaluating.evaluate(tiny.config(cache_dir), finished)
  in_training = journal.final_scores(finished)
  for name, value in scores.items():
    np.testing.assert_allclose(value, in_training[name], atol=1e-12)
  shown = capsys.readouterr().out
  assert f'{100 * scores["unseen/boundaryface/accuracy"]:.2f}' in shown
  assert 'Protocol: 60 pairs (30 of one person), 10 contiguous folds' in shown


def test_evaluating_on_nothing_is_refused(cache_dir, finished):
  config = tiny.config(cache_dir)
  config.eval.benchmarks = ()
  with pytest.raises(errors.UserError, match='Nothing to evaluate on'):
    evaluating.evaluate(config, finished)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'data': {'identities': 9}}, 'number of classes was 10, now 9'),
    ({'backbone': {'widths': (8, 8, 24)}}, r'widths was \[8, 8, 16\], now'),
    ({'data': {'noise_seed': 1}}, 'data list'),
    ({'seed': 1}, 'seed was 0, now 1'),
  ],
)
def test_what_would_be_another_run_is_refused(
  cache_dir, finished, change, message
):
  config = tiny.config(cache_dir)
  config.data.noise_seed = 0
  config.update(change)
  with pytest.raises(errors.UserError, match=message):
    training.train_and_evaluate(config, finished)


def test_a_run_of_before_the_penalty_had_a_start_goes_on_only_as_it_was(
  cache_dir, tmp_path
):
  config = tiny.config(cache_dir)
  record = setup.open_run(config).record
  old = {**record, 'fixed': dict(record['fixed'])}
  del old['fixed']['start of the penalty']
  checkpoint.claim_workdir(tmp_path, old)
  with pytest.raises(errors.UserError, match=r'older bfjax.*penalty_start=0'):
    training.train_and_evaluate(config, tmp_path)
  config.head.penalty_start = 0.0
  checkpoint.claim_workdir(tmp_path, setup.open_run(config).record)
  # Without a penalty nothing has changed.
  config = tiny.config(cache_dir, head={'penalty': 'none'})
  assert 'start of the penalty' not in setup.open_run(config).record['fixed']


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(
  cache_dir, tmp_path
):
  config = tiny.config(cache_dir, optim={'lr': 1e30, 'warmup_epochs': 0.0})
  with pytest.raises(errors.UserError, match=r'not finite at step \d'):
    training.train_and_evaluate(config, tmp_path)


def test_a_batch_that_the_devices_do_not_divide_is_refused(cache_dir, tmp_path):
  config = tiny.config(cache_dir, batch=12)
  with pytest.raises(errors.UserError, match=r'12 rows .* 8 devices'):
    training.train_and_evaluate(config, tmp_path)
  assert not list(tmp_path.iterdir())


def test_a_best_score_of_no_benchmark_is_refused(cache_dir, tmp_path):
  config = tiny.config(cache_dir, checkpoint={'best_metric': 'lfw/accuracy'})
  with pytest.raises(errors.UserError, match=r"called 'lfw'.*unseen"):
    training.train_and_evaluate(config, tmp_path)
  assert not list(tmp_path.iterdir())


def test_the_next_batch_is_on_its_way_before_a_step_is_waited_for(
  cache_dir, tmp_path, monkeypatch
):
  events = []
  put, check = feed.to_devices, training._finite_check

  def note_put(batch, mesh):
    events.append(('put', sum(kind == 'put' for kind, _ in events) + 1))
    return put(batch, mesh)

  def note_check(done, *about):
    look = check(done, *about)

    def noting():
      events.append(('wait', done))
      look()

    return noting

  monkeypatch.setattr(feed, 'to_devices', note_put)
  monkeypatch.setattr(training, '_finite_check', note_check)
  config = tiny.config(cache_dir)
  config.epochs = 1
  training.train_and_evaluate(config, tmp_path)
  for step in range(1, 7):
    assert events.index(('put', step + 2)) < events.index(('wait', step))


def test_augmentations_are_recorded_if_on_and_checked_before_the_workdir(
  cache_dir, finished, tmp_path
):
  record = json.loads((finished / 'run.json').read_text())
  assert not [name for name in record['fixed'] if 'augment' in name]
  config = tiny.config(cache_dir)
  config.data.augment.blur = 0.5
  assert setup.open_run(config).record['fixed']['data.augment.blur'] == 0.5
  with pytest.raises(
    errors.UserError, match=r'augment\.blur was None, now 0.5'
  ):
    training.train_and_evaluate(config, finished)
  config.data.augment.blur = 1.5
  with pytest.raises(errors.UserError, match='expected a probability'):
    training.train_and_evaluate(config, tmp_path / 'new')
  assert not (tmp_path / 'new').exists()


def test_an_unreadable_image_is_skipped_counted_and_listed_if_so_wished(
  tmp_path,
):
  config = tiny.config(tmp_path / 'faces', epochs=1)
  source, _ = setup.open_source(config)
  pathlib.Path(source.path(30)).write_bytes(b'no image')
  with pytest.raises(errors.UserError, match=source.name(30)):
    training.train_and_evaluate(config, tmp_path / 'strict')

  config.data.on_error = 'skip'
  workdir = tmp_path / 'lenient'
  training.train_and_evaluate(config, workdir)
  listed = (workdir / 'skipped_images.tsv').read_text()
  assert listed == f'30\t{source.name(30)}\n'
  skipped = [x['train/skipped'] for x in metrics_lines(workdir) if 'epoch' in x]
  # One of 120 rows, in one of the lines of 48, 48 and 24.
  [share] = [value for value in skipped if value]
  np.testing.assert_allclose(share, 1 / (24 if skipped[2] else 48), rtol=1e-6)


def test_a_collapsed_run_says_so_once_and_stops_if_so_wished(
  cache_dir, tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(collapse, '_GRACE_STEPS', 0)
  config = tiny.config(cache_dir, epochs=4, on_collapse='stop')
  config.optim.lr = 0.0  # nothing is learned
  for _ in range(2):  # the same command again
    caplog.clear()
    scores = training.train_and_evaluate(config, tmp_path)
    assert 'on_collapse=warn goes on' in caplog.text
    assert scores[collapse.COLLAPSED] == 2
    lines = metrics_lines(tmp_path)
    assert lines[-1]['step'] == 11  # the first line that tells
  with checkpoint.open_manager(tmp_path) as manager:
    assert manager.all_steps() == [8, 11]

  config.on_collapse = 'warn'
  caplog.clear()
  scores = training.train_and_evaluate(config, tmp_path)
  assert 'collapsed' not in caplog.text
  assert scores[collapse.COLLAPSED] == 2
  lines = metrics_lines(tmp_path)
  assert lines[-1]['step'] == 32
  assert sum(collapse.COLLAPSED in line for line in lines) == 1


def test_other_ways_to_meet_a_collapse_are_refused(cache_dir, tmp_path):
  config = tiny.config(cache_dir, on_collapse='ask')
  with pytest.raises(errors.UserError, match=r"'ask'.*'warn' or 'stop'"):
    training.train_and_evaluate(config, tmp_path)
  assert not list(tmp_path.iterdir())


def test_runs_are_compared_in_one_table(cache_dir, tmp_path, capsys):
  config = tiny.config(cache_dir, epochs=1)
  config.compare.boundary = {}
  config.compare.true_labels = {
    'data': {'labels': 'true'},
    'head': {'rule': 'none', 'penalty': 'none'},
  }
  config.benchmarks.gone = {
    'kind': 'pairs',
    'root': str(tmp_path / 'none'),
    'pairs': 'pairs.txt',
    'optional': True,
  }
  config.eval.benchmarks = ('unseen', 'gone')
  results = compare.train_all(config, tmp_path)
  assert set(results) == {'boundary', 'true_labels'}
  assert results['boundary']['corrections/wrong_labels'] > 0
  assert results['true_labels']['corrections/wrong_labels'] == 0
  shown = capsys.readouterr().out
  assert (tmp_path / 'comparison.md').read_text().strip() in shown
  assert 'accuracy on unseen (boundaryface)' in shown
  assert 'Absent, and not evaluated on: gone.' in shown
  metrics = (tmp_path / 'boundary' / 'metrics.jsonl').read_text()
  assert '"gone/absent": 1.0' in metrics


def test_runs_are_compared_as_they_are_written(cache_dir):
  config = tiny.config(cache_dir)
  config.compare = {'b': {'seed': 2, 'batch': 8}, 'c': {}, 'a': {}}
  assert list(settings.run_configs(config)) == ['b', 'c', 'a']
  config.compare.update({'aa': {}})
  assert list(settings.run_configs(config)) == ['b', 'c', 'a', 'aa']


def test_what_a_collapsed_run_scores_is_no_result(
  cache_dir, tmp_path, monkeypatch
):
  accuracy, std = 'unseen/boundaryface/accuracy', 'unseen/boundaryface/std'
  found = {
    'bad': {accuracy: 0.5915, std: 0.01, collapse.COLLAPSED: 4.0},
    'weak': {accuracy: 0.75, std: 0.01, collapse.STRUGGLING: 0.66},
    'good': {accuracy: 0.9, std: 0.01},
  }
  monkeypatch.setattr(
    training, 'train_and_evaluate', lambda config, path: found[path.name]
  )
  config = tiny.config(cache_dir)
  config.compare = {name: {} for name in found}
  compare.train_all(config, tmp_path)
  written = (tmp_path / 'comparison.md').read_text()
  assert '59.15' not in written
  assert '| bad  | collapsed' in written
  assert 'bad: its training collapsed in epoch 4.' in written
  assert 'weak: its training struggled: 66 % of the rows' in written
  assert '90.00' in written
  scores = json.loads((tmp_path / 'comparison.json').read_text())
  assert scores['bad'][accuracy] == 0.5915


def test_a_comparison_that_changes_an_unknown_key_is_refused(cache_dir):
  config = tiny.config(cache_dir)
  config.compare.wrong = {'head': {'margn': 'arcface'}}
  with pytest.raises(errors.UserError, match='margn'):
    settings.run_configs(config)
