"""The command: python -m bfjax.main --config=FILE --workdir=DIR."""

import logging
import pathlib
import sys

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from bfjax import diskerrors, errors, runtime

_log = logging.getLogger('bfjax.main')

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'The config file, such as configs/synthetic.py.'
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
# What ml_collections raises for a wrong key, type, value or file.
_CONFIG_ERRORS = (
  AttributeError,
  KeyError,
  OSError,
  TypeError,
  ValueError,
  errors.UserError,
)
flags.mark_flags_as_required(['config', 'workdir'])


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Not understood: {" ".join(argv[1:])}')
  config = _CONFIG.value
  runtime.start(config.cache_dir)
  runtime.join_processes(
    _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
  )
  # After the runtime's flags are set.
  from bfjax import compare, evaluate, train

  workdir = pathlib.Path(_WORKDIR.value)
  run, run_all = {
    'train': (train.train_and_evaluate, compare.train_all),
    'eval': (evaluate.evaluate, evaluate.evaluate_all),
  }[_MODE.value]
  try:
    with diskerrors.writing_to(workdir):
      (run_all if config.compare else run)(config, workdir)
  except train.Preempted as preempted:
    _log.info('%s', preempted)
  except errors.UserError as error:
    print(f'\nbfjax: {error}', file=sys.stderr)
    sys.exit(2)


def entry():
  """Runs the command; the console script `bfjax`."""
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
  absl_logging.set_verbosity(absl_logging.ERROR)
  app.run(main, flags_parser=_parse)


def _parse(argv):
  """Parses the flags; a wrong key or value of the config is one message."""
  try:
    return app.parse_flags_with_usage(argv)
  except _CONFIG_ERRORS as error:
    print(f'\nbfjax: {error}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  entry()
