"""What the command says of wrong flags, quickly and in one message."""

import inspect
import json
import pathlib
import subprocess
import sys

import pytest

from bfjax import (
  configfile,
  declared,
  defaults,
  errors,
  optim,
  plugins,
  preflight,
)
from bfjax.config import identity
from bfjax.evaluation.benchmarks import pairs
from bfjax.evaluation.benchmarks.parts import ijb_images
from bfjax.heads import margins

ROOT = pathlib.Path(__file__).parents[1]
CASIA = f'--config={ROOT}/configs/casia.py'
DEMO = f'--config={ROOT}/configs/synthetic.py'


def refusal(*words):
  """What is said of such a command line before its flags are parsed."""
  with pytest.raises(errors.UserError) as caught:
    configfile.check(['bfjax', *words])
  return str(caught.value)


def write(folder, body, head=''):
  path = folder / 'own.py'
  lines = ['from bfjax import defaults', head, 'def get_config():']
  lines += ['  c = defaults.get_config()', f'  {body}', '  return c', '']
  path.write_text('\n'.join(lines))
  return path


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    (['--config.head.n=3'], ["config.head has no key 'n'", ' m, m1, ']),
    (['--config.head.margn=x'], ["mean 'margin'"]),
    (['--config.m=3'], ["config has no key 'm'", 'There is config.head.m.']),
    (['--config.dta.root', 'x'], ["has no key 'dta'", "mean 'data'"]),
    (['--config.epochs=many'], ['config.epochs=many: expected a whole number']),
    (['--config.optim.lr', 'x'], ['config.optim.lr=x: expected a number']),
    (
      ['--config.data.flip=maybe'],
      ['config.data.flip=maybe: expected true or'],
    ),
    (['--config.head=3'], ['config.head=3: this is a group', 'config.head.m1']),
    (['--config.seed.x=3'], ["config.seed is a value, 0, and has no key 'x'"]),
    (['--config.data.image_size=(112,96)'], ['square', 'stretched', '112']),
    (["--config.head={'m': 0.3}"], ['no config.head.centres_init', 'rule']),
    (['--config.x=1', '--config.head.y=1'], ["no key 'x'", "no key 'y'"]),
  ],
)
def test_a_wrong_key_or_type_is_told_with_its_group(words, said):
  found = refusal(CASIA, *words)
  for part in said:
    assert part in found


@pytest.mark.parametrize(
  'words',
  [
    ['--config.data.flip'],
    ['--noconfig.data.flip'],
    ['--config.optim.milestones=(3, 4)', '--config.head.m', '0.3'],
    ['--config.compare={}', '--config.backbone.depth=18'],
  ],
)
def test_right_flags_pass(words):
  configfile.check(['bfjax', DEMO, *words])


def test_a_config_file_that_is_not_there_is_told_with_those_that_are():
  found = refusal(f'--config={ROOT}/configs/casai.py')
  assert found.startswith(f'There is no config file {ROOT}/configs/casai.py.')
  assert f'There are: {ROOT}/configs/casia.py, ' in found
  assert 'takes no argument' in refusal(f'{CASIA}:closed20')
  assert 'closed30' in refusal(f'--config={ROOT}/configs/casia_noisy.py:none')


@pytest.mark.parametrize(
  ('body', 'said'),
  [
    ('c.epochs = 1 / 0', ':5: c.epochs = 1 / 0\n  ZeroDivisionError: division'),
    ('c.head.m = c.head.margn', "AttributeError: 'margn'\nDid you mean \"mar"),
    ("c.epochs = 'many'", ":5: c.epochs = 'many'\n  TypeError"),
    ('c.epochs = (', ':5: '),
    ('c = None', 'returns NoneType, not a ConfigDict'),
    (
      'del c.data.input_scaling, c.seed',
      'no config.data.input_scaling, config.seed.',
    ),
    (
      'c = type(c)(c.to_dict() | {"epochs": "2"})',
      "config.epochs is '2', wher",
    ),
  ],
)
def test_a_config_file_that_raises_or_lacks_a_key(tmp_path, body, said):
  path = write(tmp_path, body)
  found = refusal(f'--config={path}')
  assert found.startswith(str(path))
  assert said in found
  assert 'Traceback' not in found


def check(tmp_path, changes=None, mode='train', demo=False):
  """Checks the demo's config or CASIA's, with these keys changed."""
  file = 'synthetic' if demo else 'casia'
  config = configfile.load(f'{ROOT}/configs/{file}.py')
  if not demo:
    config.data.root = str(tmp_path)
  for key, value in (changes or {}).items():
    group, _, name = key.rpartition('.')
    holder = config
    for part in group.split('.') if group else ():
      holder = holder[part]
    holder[name] = value
  preflight.check(config, defaults.get_config(), tmp_path / 'run', mode)


def test_the_recipes_pass(tmp_path):
  for name in ('casia', 'casia_noisy', 'ms1m', 'ms1mv2', 'synthetic'):
    config = configfile.load(f'{ROOT}/configs/{name}.py')
    if name != 'synthetic':
      config.data.root = str(tmp_path)
    preflight.check(config, defaults.get_config(), tmp_path / 'run', 'train')


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'data.root': ''}, r'config\.data\.root is empty.*info\.py'),
    ({'data.root': '/nowhere/x'}, r'no config\.data\.root=/nowhere/x'),
    ({'data.list': 'no.txt'}, r'no config\.data\.list=no\.txt'),
    ({'data.source': 'lmdb'}, "No source called 'lmdb'.*imagelist"),
    ({'backbone.name': 'iresnt'}, "backbone called 'iresnt'.*mean 'iresnet'"),
    ({'backbone.dim': 64}, "backbone 'iresnet' called 'dim'.*stem_stride"),
    ({'head.margin': 'arcfce'}, "margin called 'arcfce'.*mean 'arcface'"),
    ({'head.rule': 'boundry'}, "rule called 'boundry'.*mean 'boundary'"),
    ({'head.penalty': 'x'}, "No penalty called 'x'.*boundary, none"),
    (
      {'head.epoch_strt': 3},
      "config.head has no key 'epoch_strt'.*epoch_start",
    ),
    ({'data.identites': 3}, "config.data has no key 'identites'"),
    ({'optim.schedule': 'step'}, "No schedule called 'step'.*multistep"),
    ({'optim.milestones': (6, 3)}, r'milestones=\(6, 3\): expected ascending'),
    ({'optim.lr': -0.1}, r'optim\.lr=-0\.1: expected 0 or more'),
    ({'optim.momentum': 1.0}, 'momentum=1.0: expected at least 0 and below 1'),
    ({'head.lambda_': float('nan')}, 'lambda_=nan: expected 0 or more'),
    ({'head.sample_rate': 0.0}, 'sample_rate=0.0: expected a part, above 0'),
    ({'head.precision': 'float16'}, "'float16': expected 'float32', 'tf32' or"),
    ({'head.lambda_schedule': ((3, 1.0), (2, 1.0))}, 'pairs .*epochs ascend'),
    ({'data.augment.blur': 2.0}, r'augment\.blur=2\.0: expected a probability'),
    ({'on_collapse': 'ask'}, "on_collapse='ask': expected 'warn' or 'stop'"),
    ({'data.on_error': 'ignore'}, "'ignore': expected 'error' or 'skip'"),
    ({'data.check': 'all'}, "'all': expected 'exist', 'decode' or 'none'"),
    ({'epochs': 0}, r'config\.epochs=0: expected 1 or more'),
    ({'backbone.batch_norm_rows': 48}, 'no multiple of.*batch_norm_rows=48'),
    ({'checkpoint.every_epochs': 0}, 'every_epochs=0: expected 1 or more'),
    ({'freeze': 'head'}, "freeze='head': expected '', 'backbone' or"),
    (
      {'eval.root': '/nowhere/y'},
      r'no folder config\.eval\.root=/nowhere/y',
    ),
    ({'eval.benchmarks': ('mine',)}, "No benchmark called 'mine'.*own"),
    ({'eval.benchmarks': ('own',), 'benchmarks.own.kind': 'pars'}, "'pairs'"),
    ({'eval.benchmarks': ('own',), 'benchmarks.own.root': '/z'}, r'root=/z'),
    ({'checkpoint.best_metric': 'lfw/accuracy'}, "called 'lfw'.*none"),
    ({'init_from': '/nowhere/net'}, r'no config\.init_from=/nowhere/net'),
    ({'compare.a': {'head': {'n': 1}}}, r"compare\.a\.head has no key 'n'.*m1"),
    (
      {'compare.a': {'head': {'m': 'x'}}},
      r'compare\.a\.head\.m=x: expected a n',
    ),
    ({'compare.a': {'head': 3}}, r'compare\.a\.head=3: expected keys'),
    ({'compare.a': {'head': {'m': -1}}}, r'compare\.a: config\.head\.m=-1'),
    ({'compare.a/b': {}}, "'a/b' cannot be the name of a run"),
  ],
)
def test_what_the_flags_alone_tell(tmp_path, changes, said):
  with pytest.raises(errors.UserError, match=f'(?s){said}'):
    check(tmp_path, changes)


def test_a_config_may_have_its_source_changed(tmp_path):
  check(tmp_path, {'data.source': 'imagelist', 'data.root': '.'}, demo=True)


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    ([DEMO, '--config.data.truth=/no/such/file'], "truth='/no/such/file'"),
    ([CASIA, '--config.data.source=tfds', '--config.data.list=x'], "list='x'"),
    ([CASIA, '--config.data.flip_rate=0.2'], "'synthetic'"),
  ],
)
def test_an_option_of_another_source_is_refused(words, said):
  assert said in refusal(*words)
  assert 'has no use for it' in refusal(*words)


def test_an_option_of_another_source_may_stay_if_the_source_is_changed():
  configfile.check(['bfjax', DEMO, '--config.data.source=imagelist'])


def test_an_entry_of_several_runs_takes_no_option_of_another_source(tmp_path):
  changes = {'compare': {'a': {'data': {'truth': 'flips.txt'}}}}
  with pytest.raises(errors.UserError, match='has no use for it'):
    check(tmp_path, changes, demo=True)


def test_a_list_is_looked_for_in_both_places(tmp_path, monkeypatch):
  (tmp_path / 'list.txt').touch()
  check(tmp_path, {'data.list': 'list.txt'})
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'images').mkdir()
  check(tmp_path, {'data.root': 'images', 'data.list': 'list.txt'})


def test_the_sets_of_the_field_that_are_missing_are_named(tmp_path):
  (tmp_path / 'lfw').mkdir()
  (tmp_path / 'lfw' / 'pairs.txt').touch()
  wanted = {
    'eval.root': str(tmp_path),
    'eval.field_sets': ('lfw', 'xqlfw', 'cfp_fp'),
  }
  with pytest.raises(errors.UserError, match=r'no xqlfw, cfp_fp \(xqlfw/pai'):
    check(tmp_path, wanted)


def test_optional_benchmarks_may_be_absent(tmp_path):
  check(tmp_path, {'eval.root': '/nowhere', 'eval.optional': True})


def test_evaluation_needs_a_run_and_a_benchmark_but_no_images(tmp_path):
  (tmp_path / 'lfw.bin').touch()
  wanted = {
    'data.root': '',
    'eval.root': str(tmp_path),
    'eval.field_sets': ('lfw',),
  }
  with pytest.raises(errors.UserError, match=r'There is no folder .*run'):
    check(tmp_path, wanted, mode='eval')
  (tmp_path / 'run').mkdir()
  check(tmp_path, wanted, mode='eval')
  with pytest.raises(errors.UserError, match='Nothing to evaluate on'):
    check(tmp_path, mode='eval')


def test_the_workdir_of_another_run_is_refused(tmp_path):
  config = configfile.load(f'{ROOT}/configs/casia.py')
  of_data = dict.fromkeys(identity.OF_DATA, 1)
  record = {'fixed': identity.fixed(config) | of_data, 'free': {}}
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'run.json').write_text(json.dumps(record))
  check(tmp_path, {'head.m': 0.3})
  rounded = {'head.chunk_classes': 512, 'head.precision': 'bfloat16'}
  check(tmp_path, rounded | {'backbone.remat': True})
  for other in (
    {'optim.momentum_dtype': 'bfloat16'},
    {'head.sample_rate': 0.1, 'head.sample_rule': 'sampled'},
  ):
    with pytest.raises(errors.UserError, match='another run'):
      check(tmp_path, other)
  said = r'another run: backbone\.depth was 50, now 100; seed was 0, now 7\.'
  with pytest.raises(errors.UserError, match=said):
    check(tmp_path, {'seed': 7, 'backbone.depth': 100})
  with pytest.raises(errors.UserError, match='is no folder'):
    preflight.check(
      config, config, tmp_path / 'run' / 'run.json' / 'x', 'train'
    )


def test_what_modules_declare_is_what_they_have():
  assert {*declared.functions('bfjax.heads.margins', 'MARGINS')} == {
    *margins.MARGINS
  }
  assert {*declared.functions('bfjax.optim', 'SCHEDULES')} == {*optim.SCHEDULES}
  found = declared.parameters('bfjax.heads.margins', 'combined')
  assert {
    k: p.default for k, p in found.items()
  } == margins.combined.__kwdefaults__
  options = plugins.options('x', 'bfjax.evaluation.benchmarks', 'pairs')
  needed = [k for k, p in options.items() if p.default is p.empty]
  assert needed == ['root', 'pairs']
  assert {
    k: p.default for k, p in options.items() if k not in needed
  } == pairs.build.__kwdefaults__
  # Two benchmarks share options, which are the fields of a class.
  for name in ('ijb', 'ijb_search'):
    options = plugins.options('x', 'bfjax.evaluation.benchmarks', name)
    shared = ijb_images.Options._field_defaults
    assert {k: options[k].default for k in shared} == shared
    assert options['root'].default is inspect.Parameter.empty
    assert set(options) > {'root', *shared}


COMMAND = """
import sys
from bfjax import main
try:
  main.entry()
except SystemExit as ended:
  loaded = {'jax', 'tensorflow', 'numpy'} & {*sys.modules}
  print(ended.code, *sorted(loaded), 'loaded')
"""


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    ([CASIA, '--config.head.n=3'], "config.head has no key 'n'"),
    ([CASIA], 'config.data.root is empty'),
    ([DEMO, '--config.backbone.name=resnext'], "No backbone called 'resnext'"),
    ([DEMO, '--workdr=x'], "Unknown command line flag 'workdr'"),
    ([DEMO, '--mode=tran'], '--mode=tran'),
    ([DEMO, 'epochs=3'], 'Not understood: epochs=3'),
    ([DEMO, '--num_processes=2'], '--num_processes and --process_id need --c'),
    ([DEMO, '--coordinator=a:1'], '--coordinator=a:1 needs --num_processes=N'),
    ([], 'Give --config=FILE'),
  ],
)
def test_it_is_said_before_jax_and_tensorflow_are_loaded(tmp_path, words, said):
  command = [sys.executable, '-c', COMMAND, *words]
  command += [f'--workdir={tmp_path}/run'] if words else []
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.stderr.startswith('bfjax: ') and said in done.stderr
  assert 'Traceback' not in done.stderr
  assert done.stdout == '2 loaded\n'
  assert not (tmp_path / 'run').exists()
