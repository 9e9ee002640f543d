"""Runs that start from another model: what is taken over, what is frozen."""

import json

import jax
import numpy as np
import pytest

import tiny
from bfjax import errors, model, pretrained, setup, training
from bfjax.storage import checkpoint
from tools import convert_checkpoint

pytestmark = [
  pytest.mark.usefixtures('quick_compilation'),
  pytest.mark.slow,
]


@pytest.fixture(scope='module')
def cache_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('faces')


@pytest.fixture(scope='module')
def first(cache_dir, tmp_path_factory):
  """The workdir of a run of 10 classes."""
  workdir = tmp_path_factory.mktemp('first')
  training.train_and_evaluate(quick(cache_dir), workdir)
  return workdir


def quick(cache_dir, **changes):
  """One epoch, evaluated on nothing."""
  config = tiny.config(cache_dir, epochs=1)
  config.eval.benchmarks = ()
  config.checkpoint.best_metric = ''
  config.update(changes)
  return config


def begin(config):
  """(run, its state before and after taking over what it starts from)."""
  run = setup.open_run(config)
  start = pretrained.load(config, run)
  fresh = setup.make_state(run, config)
  filled = pretrained.fill(fresh, start)
  jax.tree.map(lambda a, b: a.sharding == b.sharding or 1 / 0, filled, fresh)
  return jax.device_get(fresh), jax.device_get(filled)


def assert_same(tree, other):
  jax.tree.map(np.testing.assert_array_equal, tree, other)


def test_backbone_and_centres_are_taken_over(cache_dir, first):
  old = model.load_model(first)
  _, state = begin(
    quick(cache_dir, init_from=str(first), init_centres='all', seed=1)
  )
  assert_same(state.params['backbone'], old.params)
  assert_same(state.stats, old.stats)
  assert_same(state.params['centres'][:10], old.centres)


def test_centres_alone_are_taken_over(cache_dir, first):
  config = quick(
    cache_dir,
    init_from=str(first),
    init_backbone=False,
    init_centres='all',
    seed=1,
  )
  config.backbone.widths = (8, 8, 24)
  fresh, state = begin(config)
  assert_same(state.params['backbone'], fresh.params['backbone'])
  assert_same(state.params['centres'][:10], model.load_model(first).centres)


def test_dominant_sub_centres_stand_for_their_classes(cache_dir, tmp_path):
  config = quick(cache_dir)
  config.head.sub_centres = 3
  workdir = tmp_path / 'run'
  training.train_and_evaluate(config, workdir)
  run = setup.open_run(config)
  with checkpoint.open_manager(workdir) as manager:
    old = jax.device_get(
      checkpoint.restore(manager, 8, setup.make_state(run, config))
    )
  expected = []
  for index in range(10):
    mine = range(3 * index, 3 * index + 3)
    used = max(mine, key=lambda i: old.head_state['sub_centre_use'][i])
    expected.append(old.params['centres'][used])
  assert not np.array_equal(expected, old.params['centres'][:30:3])
  assert_same(model.load_model(workdir).centres, np.stack(expected))
  converted = tmp_path / 'net'
  convert_checkpoint.main(
    convert_checkpoint.parse_arguments(
      ['--from', str(workdir), '--to', str(converted)]
    )
  )
  assert_same(model.load_model(converted).centres, np.stack(expected))
  for origin in (workdir, converted):
    _, state = begin(
      quick(cache_dir, init_from=str(origin), init_centres='all', seed=1)
    )
    assert_same(state.params['centres'][:10], np.stack(expected))


def test_new_identities_get_a_head_of_their_own(cache_dir, first):
  fresh, state = begin(
    quick(cache_dir, init_from=str(first), data={'identities': 6}, seed=1)
  )
  assert_same(state.params['backbone'], model.load_model(first).params)
  assert_same(state.params['centres'], fresh.params['centres'])


def test_centres_follow_the_names_of_their_classes(cache_dir, first, tmp_path):
  # The old classes under other names, in another order, as a folder.
  old = model.load_model(first)
  names = [*(f'person{i}' for i in reversed(range(9))), '5']
  folder = tmp_path / 'old'
  model.save_model(
    folder,
    old.description,
    old.params,
    old.stats,
    centres=old.centres,
    class_names=names,
  )
  renamed = tmp_path / 'renamed.tsv'
  renamed.write_text('0\tperson7\n3\tperson0\n')
  config = quick(
    cache_dir,
    init_from=str(folder),
    init_centres='by_name',
    init_renamed=str(renamed),
    data={'identities': 6},
    seed=1,
  )
  fresh, state = begin(config)
  expected = np.array(fresh.params['centres'])
  expected[0] = old.centres[names.index('person7')]
  expected[3] = old.centres[names.index('person0')]
  expected[5] = old.centres[9]
  np.testing.assert_array_equal(state.params['centres'], expected)


def test_all_centres_need_the_same_classes(cache_dir, first, tmp_path):
  old = model.load_model(first)
  names = [*map(str, range(8)), '9', '8']
  model.save_model(
    tmp_path / 'old',
    old.description,
    old.params,
    old.stats,
    centres=old.centres,
    class_names=names,
  )
  config = quick(cache_dir, init_from=str(tmp_path / 'old'), init_centres='all')
  with pytest.raises(errors.UserError, match=r"class 8 is '9' in .* '8' here"):
    begin(config)


def test_the_same_function_by_other_options_is_taken(
  cache_dir, first, tmp_path
):
  old = model.load_model(first)
  changes = {'depth': 152, 'dropout': 0.1, 'batch_norm_rows': 4}
  backbone = old.description['backbone'] | changes
  folder = tmp_path / 'old'
  model.save_model(
    folder,
    {**old.description, 'backbone': backbone},
    old.params,
    old.stats,
  )
  _, state = begin(quick(cache_dir, init_from=str(folder)))
  assert_same(state.params['backbone'], old.params)


def first_loss(workdir):
  line = (workdir / 'metrics.jsonl').read_text().splitlines()[0]
  return json.loads(line)['train/loss']


def test_frozen_centres_keep_every_bit(cache_dir, first, tmp_path):
  config = quick(
    cache_dir, init_from=str(first), init_centres='all', freeze='centres'
  )
  training.train_and_evaluate(config, tmp_path)
  old, new = model.load_model(first), model.load_model(tmp_path)
  assert_same(new.centres, old.centres)
  kernels = (x.params['stem_conv']['kernel'] for x in (old, new))
  assert not np.array_equal(*kernels)
  assert first_loss(tmp_path) < first_loss(first)
  record = json.loads((tmp_path / 'run.json').read_text())
  assert record['fixed']['init_from'] == str(first)
  origin = record['about']['initialised_from']
  assert origin['source'] == {'workdir': str(first), 'step': 8}
  assert origin['classes_with_centres'] == 10


class Killed(BaseException):
  """Stands for a kill."""


def test_a_frozen_backbone_keeps_every_bit_also_over_a_kill(
  cache_dir, first, tmp_path, monkeypatch
):
  config = quick(
    cache_dir,
    init_from=str(first),
    freeze='backbone',
    checkpoint={'every_steps': 3},
  )
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  training.train_and_evaluate(config, whole)
  old, new = model.load_model(first), model.load_model(whole)
  assert_same((new.params, new.stats), (old.params, old.stats))
  assert not np.array_equal(new.centres, old.centres)

  def kill_at_5(done, *_):
    if done == 5:
      raise Killed
    return lambda: None

  with monkeypatch.context() as patch:
    patch.setattr(training, '_finite_check', kill_at_5)
    with pytest.raises(Killed):
      training.train_and_evaluate(config, killed)
  # Going on needs the checkpoint alone.
  monkeypatch.setattr(pretrained, 'load', lambda *_: pytest.fail('read again'))
  training.train_and_evaluate(config, killed)
  again = model.load_model(killed)
  assert_same((again.params, again.centres), (new.params, new.centres))


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'init_from': '/nowhere'}, 'holds no model'),
    ({'init_step': '99'}, "No checkpoint '99'"),
    ({'init_backbone': False}, 'Nothing of init_from'),
    (
      {
        'init_backbone': False,
        'init_centres': 'all',
        'backbone': {'embedding_dim': 4},
      },
      'have 8 numbers, embeddings of this run 4',
    ),
    (
      {'backbone': {'stem_stride': 1}},
      r'kernel: \(64, 8\), expected \(256, 8\)',
    ),
    (
      {'init_centres': 'some'},
      "init_centres='some'.*'none', 'all' or 'by_name'",
    ),
    ({'freeze': 'head'}, "freeze='head'.*'backbone' or 'centres'"),
    (
      {'init_centres': 'all', 'data': {'identities': 6}},
      'has 10 classes and this data set 6',
    ),
    ({'data': {'image_size': 32}}, 'images of 16 pixels.*image_size=32'),
    (
      {'data': {'input_scaling': (127.5, 128.0)}},
      r'input_scaling="\(127\.5, 127\.5\)"',
    ),
    ({'data': {'input_scaling': (0.0, 0.0)}}, 'expected mean and deviation'),
    (
      {'init_centres': 'by_name', 'init_renamed': '/nowhere'},
      'Cannot read the file of init_renamed, /nowhere: No such file',
    ),
  ],
)
def test_a_start_that_cannot_be_is_refused(
  cache_dir, first, tmp_path, changes, said
):
  config = quick(cache_dir, init_from=str(first))
  config.update(changes)
  with pytest.raises(errors.UserError, match=said):
    training.train_and_evaluate(config, tmp_path)
  assert not list(tmp_path.iterdir())


def test_another_architecture_is_refused_by_all_its_arrays(
  cache_dir, first, tmp_path
):
  config = quick(cache_dir, init_from=str(first))
  config.backbone.widths = (8, 8, 24)
  config.backbone.mode = 'ir_se'
  with pytest.raises(errors.UserError) as caught:
    training.train_and_evaluate(config, tmp_path)
  said = str(caught.value)
  for line in (
    'params/stage2_block1/conv1/kernel: (3, 3, 8, 16), expected (3, 3, 8, 24)',
    'params/stage1_block1/attention/mlp/squeeze/kernel: not there',
    'stats/head_norm/mean: (16,), expected (24,)',
    'To have the same: --config.backbone.mode="ir" --config.backbone.widths='
    '"(8, 8, 16)"',
  ):
    assert line in said
  assert not list(tmp_path.iterdir())
