import pathlib
import sys
from unittest import mock

import jax
import pytest
from absl import flags
from ml_collections import config_flags

from bfjax import builders, configfile, errors
from bfjax.config import settings

FOLDER = pathlib.Path(__file__).parents[1] / 'configs'
# study.py is of many runs: see test_study.py.
NAMES = sorted({path.stem for path in FOLDER.glob('*.py')} - {'study'})


def load(argument, *overrides):
  """The config as the command line gives it."""
  values = flags.FlagValues()
  config = config_flags.DEFINE_config_file('config', flag_values=values)
  command = ['test', f'--config={FOLDER}/{argument}', *overrides]
  with mock.patch.object(sys, 'argv', command):  # it looks there for overrides
    values(command)
  return config.value


def test_every_recipe_of_the_issue_is_there():
  assert [
    *('casia', 'casia_noisy', 'ms1m', 'ms1mv2', 'robust', 'small', 'synthetic'),
  ] == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_a_config_describes_a_run(name):
  config = load(f'{name}.py')
  backbone = builders.open_backbone(config)
  params, _ = jax.eval_shape(backbone.init, jax.random.key(0))
  assert jax.tree.leaves(params)
  assert builders.open_margin(config.head)
  builders.open_learning_rate(
    config.optim, batch=config.batch, steps_per_epoch=10, total_steps=1000
  )


@pytest.mark.parametrize(
  'images', [1, 40, 1000, 1919, 3840, 7500, 20_000, 100_000, 10**7]
)
def test_the_small_recipe_follows_from_the_number_of_images(images):
  config = load(f'small.py:{images}')
  assert config.batch <= images
  updates = config.epochs * -(-images // config.batch)
  if images >= 1000:
    # As many as the net needs, and no more than it takes to see all often.
    assert 900 <= updates <= max(1100, images / 8 + 16)
  first_drop = config.optim.milestones[0]
  assert config.optim.warmup_epochs < config.head.epoch_start < first_drop
  assert max(config.optim.milestones) <= config.epochs


@pytest.mark.parametrize('other', ['small.py:7500', 'casia_noisy.py:c20o20'])
def test_the_robust_recipe_is_another_with_the_rule_that_learns(other):
  found, of = load(f'robust.py:{other}'), load(other)
  assert found.head.rule == 'posterior'
  of.head.rule = 'posterior'
  assert found == of


@pytest.mark.parametrize('images', ['0', '-5', 'many', '1e4', '7_500'])
def test_a_number_of_images_is_a_number(images):
  with pytest.raises(errors.UserError, match='number of images'):
    load(f'small.py:{images}')


@pytest.mark.parametrize(
  ('mix', 'm'),
  [
    ('closed10', 0.5),
    ('closed20', 0.5),
    ('closed30', 0.5),
    ('C20O20', 0.3),
    ('C10O30', 0.3),
    ('C30O10', 0.5),
  ],
)
def test_the_mix_of_noise_sets_the_margin(mix, m):
  assert load(f'casia_noisy.py:{mix}').head.m == m


def test_an_unknown_mix_is_refused():
  with pytest.raises(errors.UserError, match='closed30'):
    load('casia_noisy.py:closed99')


def test_the_command_line_changes_any_value():
  config = load(
    'casia_noisy.py',
    '--config.head.m=0.3',
    '--config.head.lambda_schedule=((2, 0.0), (9, 3.0))',
    '--config.head.rule_margin=0.2',
    '--config.backbone.dtype=bfloat16',
    '--config.optim.milestones=(3, 5)',
  )
  assert config.head.m == 0.3
  assert config.head.lambda_schedule == ((2, 0.0), (9, 3.0))
  assert config.head.rule_margin == 0.2
  assert config.backbone.dtype == 'bfloat16'
  assert config.optim.milestones == (3, 5)


@pytest.mark.parametrize(
  ('overrides', 'count'),
  [
    (['variant=insightface', 'depth=18'], 24_025_600 - 512),
    (['name=mobilefacenet', 'dtype=bfloat16'], 2_059_520),
    (['name=vit', 'dim=64', 'depth=1', 'heads=4', 'drop_path=0.2'], 698_560),
  ],
)
def test_the_command_line_chooses_any_backbone(overrides, count):
  config = load('casia.py', *(f'--config.backbone.{o}' for o in overrides))
  backbone = builders.open_backbone(config)
  params, _ = jax.eval_shape(backbone.init, jax.random.key(0))
  assert sum(p.size for p in jax.tree.leaves(params)) == count


def test_what_another_backbone_does_not_have_is_refused_only_if_set():
  config = load('ms1m.py', '--config.backbone.name=vit')
  options = settings.backbone_options(config)
  # What the recipe sets, and what the backbone has by itself.
  assert (options['batch_norm_rows'], options['heads']) == (32, 8)
  config.backbone.stem_stride = 2
  with pytest.raises(errors.UserError, match=r'vit.*stem_stride.*patch_size'):
    builders.open_backbone(config)


def test_the_published_recipes_count_epochs_from_one():
  # Reference: CASIA drops at 6, 12, 19 and corrects once epoch > 7, counted
  # from 1; MS1M drops at 10, 18, 22 and corrects once epoch > 10, from 0.
  casia, ms1m = load('casia.py'), load('ms1m.py')
  assert casia.optim.milestones == (6, 12, 19)
  assert casia.head.epoch_start == 7
  assert ms1m.optim.milestones == (10 + 1, 18 + 1, 22 + 1)
  assert ms1m.head.epoch_start == 10 + 1


@pytest.mark.parametrize(
  ('word', 'expected'),
  [
    ('--config=bfjax:ms1mv2', f'--config={FOLDER}/ms1mv2.py'),
    ('bfjax:synthetic.py:2', f'{FOLDER}/synthetic.py:2'),
    ('--config=configs/ms1mv2.py', '--config=configs/ms1mv2.py'),
    ('--workdir=runs/bfjax:1', '--workdir=runs/bfjax:1'),
  ],
)
def test_our_configs_are_found_from_anywhere(word, expected):
  assert configfile.located(word) == expected
