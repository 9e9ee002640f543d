"""The command: python -m bfjax.main --config=FILE --workdir=DIR."""

import functools
import logging
import pathlib
import sys

from absl import app, flags
from ml_collections import config_flags

from bfjax import (
  command,
  configfile,
  defaults,
  errors,
  preflight,
  runtime,
  watched,
)
from bfjax.config import settings
from bfjax.storage import diskerrors

_log = logging.getLogger('bfjax.main')

_USAGE = """--config=FILE --workdir=DIR [--config.KEY=VALUE ...]

README.md says what to begin with, and bfjax/defaults.py has every KEY.
"""
_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The config file, such as configs/synthetic.py; ours also as'
  ' bfjax:synthetic.',
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'The folder of this run: logs, checkpoints, results.'
)
_MODE = flags.DEFINE_enum(
  'mode',
  'train',
  ['train', 'eval'],
  'train: train, or go on with the run in the workdir. eval: evaluate its'
  ' checkpoint on the benchmarks of the config.',
)
_COORDINATOR = flags.DEFINE_string(
  'coordinator',
  None,
  'host:port of process 0, for a run of several processes. Where a cluster'
  " scheduler tells JAX by itself, 'auto'.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
  'num_processes', None, 'How many processes take part in the run.'
)
_PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'Which of them this one is, from 0.'
)


def main(argv, mode: str = ''):
  """Trains or evaluates, as `mode` says or else the flag."""
  words, workdir = argv[1:], pathlib.Path(_WORKDIR.value or '')
  if words:
    raise errors.UserError(
      f'Not understood: {" ".join(words)}. A flag begins with two dashes, and'
      " a value with blanks in it stands in quotes: --flag='a value'."
    )
  if not _CONFIG.value or not _WORKDIR.value:
    raise errors.UserError(
      'Give --config=FILE, such as configs/synthetic.py, and --workdir=DIR, the'
      ' folder that the run is to have. --help lists all flags.'
    )
  _check_processes()
  config, mode = _CONFIG.value, mode or _MODE.value
  preflight.check(config, defaults.get_config(), workdir, mode)
  if _COORDINATOR.value:
    watched.begin('bfjax')
  runtime.start(config.cache_dir)
  # After the runtime's flags are set; first what is loaded quickly and may find
  # something wrong.
  if mode == 'train':
    from bfjax import builders

    for one in settings.run_configs(config).values() or [config]:
      builders.check(one)
  runtime.join_processes(
    _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
  )
  from bfjax import compare, evaluating, peers, training

  run, run_all = {
    'train': (training.train_and_evaluate, compare.train_all),
    'eval': (evaluating.evaluate, compare.evaluate_all),
  }[mode]
  try:
    with peers.giving_time_to_tell(), diskerrors.writing_to(workdir):
      (run_all if config.compare else run)(config, workdir)
  except training.Preempted as preempted:
    _log.info('%s', preempted)


def _check_processes():
  """Refuses a part of several processes that lacks what joins them."""
  number, index = _NUM_PROCESSES.value, _PROCESS_ID.value
  coordinator = _COORDINATOR.value
  if not coordinator and ((number or 1) > 1 or index):
    raise errors.UserError(
      '--num_processes and --process_id need --coordinator=HOST:PORT. Without'
      ' it each process would train alone, in the same workdir.'
    )
  is_named = coordinator and coordinator != 'auto'
  if is_named and (None in (number, index) or not 0 <= index < number):
    raise errors.UserError(
      f'--coordinator={coordinator} needs --num_processes=N and --process_id,'
      f' from 0 to N - 1; they are {number} and {index}.'
    )


def entry(mode: str = ''):
  """Runs the command on the flags of the process.

  Args:
    mode: in place of the flag `--mode`, which there is not then.
  """
  runtime.keep_memory()
  # Our own lines, plain; of the libraries' only errors.
  console = logging.StreamHandler()
  console.setFormatter(
    logging.Formatter('%(asctime)s  %(message)s', '%H:%M:%S')
  )
  project = logging.getLogger('bfjax')
  project.addHandler(console)
  project.setLevel(logging.INFO)
  project.propagate = False
  job, parse, name = main, _parse, 'bfjax'
  if mode:
    fix_mode()
    job = functools.partial(main, mode=mode)
    parse, name = _parse_or_help, f'bfjax {mode}'
  command.run(name, lambda: app.run(job, flags_parser=parse))


def fix_mode():
  """Takes the flag `--mode` away: the command's name says it."""
  delattr(flags.FLAGS, _MODE.name)


def _parse(argv):
  """Parses the flags; whatever is wrong with them is one message."""
  argv = [configfile.located(word) for word in argv]
  try:
    configfile.check(argv)
    return flags.FLAGS(argv)
  except flags.Error as error:
    raise errors.UserError(str(error)) from error


def _parse_or_help(argv):
  if not {'-h', '--help'} & {*argv}:
    return _parse(argv)
  print(f'usage: {argv[0]} {_USAGE}\n{flags.FLAGS.module_help(__name__)}')
  sys.exit(0)


if __name__ == '__main__':
  entry()
