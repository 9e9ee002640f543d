"""What a training needs of cards that need not be here, before it is run.

    bfjax plan --config=configs/ms1mv2.py \\
      --card h100 --devices 8 --classes 85742 --config.backbone.dtype=bfloat16
    bfjax plan --config=configs/ms1mv2.py \\
      --card a100 --devices 8,64 --classes 1e6,1e7 --rows-a-card 128

The real training step is compiled ahead of time for so many cards: whether it
compiles, memory by cause, what crosses the cards, operations, the time of a
step from the card's limits, and what to change where it does not fit. Several
numbers of cards or classes make a table. It needs no GPU but JAX's plug-in for
CUDA: pip install 'bfjax[cuda]'. --card cpu compiles for virtual devices of the
CPU without it. Without --classes the data of the config are opened, as by a
training. Keys of the config are changed as there: --config.KEY=VALUE.
"""

import argparse
import json
import pathlib
import sys

from bfjax import atomic, command, errors, runtime

_ROWS_A_CLASS = 20
# Rows and classes are int32.
_MOST = 2**31 - 1


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  """Reads the command line; the flags of the config become `config_words`."""
  parser = command.Parser(__doc__, allow_abbrev=False)
  add = parser.add_argument
  add(
    '--card',
    default='h100',
    help='h100, h200, a100, l40s, 4090, cpu; or a'
    ' file: a table of cards.toml, or a GpuTargetConfigProto as text',
  )
  add('--devices', type=_numbers, default=[8], help='how many: 8 or 8,64,512')
  add(
    '--classes',
    type=_numbers,
    default=[],
    help='instead of those of the data: 85742 or 1e5,1e6',
  )
  add(
    '--rows',
    type=_numbers,
    default=[],
    help='images of the data, with'
    f' --classes; {_ROWS_A_CLASS} a class by default',
  )
  add(
    '--rows-a-card',
    type=int,
    default=0,
    help='sets config.batch to so many for each card',
  )
  add('--json', type=pathlib.Path, help='write all of it there')
  add('--markdown', type=pathlib.Path, help='write the table there')
  parser.complete()
  known, rest = parser.parse_known_args(arguments)
  for word in rest:
    if word.startswith('-') and not word.lstrip('-').startswith('config'):
      parser.error(f'unrecognized argument: {word}')
  known.config_words = rest
  return known


def _numbers(text: str) -> list[int]:
  """'8', '8,64' or '1e5'."""
  try:
    values = [float(word) for word in text.split(',') if word.strip()]
  except ValueError:
    values = []
  if not values or any(x != int(x) or not 1 <= x <= _MOST for x in values):
    raise argparse.ArgumentTypeError(
      f'{text!r} is no whole number from 1 to {_MOST:,}, nor several with'
      ' commas between'
    )
  return [int(x) for x in values]


def main(arguments: argparse.Namespace) -> None:
  """Makes the plans and tells them.

  Raises:
    UserError: for whatever is wrong with card, config or data, or if JAX's
      plug-in for CUDA is not there.
  """
  if arguments.card == 'cpu':
    most = max(arguments.devices)
    runtime.add_xla_flag(f'--xla_force_host_platform_device_count={most}')
  runtime.start('')  # what is compiled for others is not worth keeping
  import jax

  jax.config.update('jax_platforms', 'cpu')
  from bfjax import builders, configfile
  from bfjax.config import settings
  from bfjax.planning import cards, compiling, saying

  card = cards.read(arguments.card)
  if card.target:
    compiling.require_plugin()
  config = configfile.read(arguments.config_words)
  settings.check(config)
  builders.check(config)
  sizes = _sizes(arguments, config)
  wanted = [(n, *size) for n in arguments.devices for size in sizes]
  plans = []
  for i, (devices, classes, rows) in enumerate(wanted):
    if arguments.rows_a_card:
      with config.unlocked():
        config.batch = arguments.rows_a_card * devices
      settings.check(config)
    print(
      f'[{i + 1}/{len(wanted)}] compiling for {devices} x {card.title},'
      f' {classes:,} classes: a minute or several ...',
      file=sys.stderr,
      flush=True,
    )
    plans.append(saying.make(config, card, devices, classes, rows))
    if len(wanted) > 1:  # in case that a later one fails
      print(saying.table(plans[-1:]), file=sys.stderr, flush=True)
  several = len(plans) > 1
  print(saying.table(plans) if several else saying.as_text(plans[0]), end='')
  if several:
    print()
  if arguments.json:
    data = [saying.as_data(plan) for plan in plans]
    atomic.write_text(arguments.json, json.dumps(data, indent=1) + '\n')
  if arguments.markdown:
    atomic.write_text(arguments.markdown, saying.table(plans) + '\n')


def _sizes(arguments, config) -> list[tuple[int, int]]:
  """(classes, rows) of each data set that is planned for."""
  if not arguments.classes:
    if arguments.rows:
      raise errors.UserError('--rows is for use with --classes.')
    from bfjax import setup

    source, _ = setup.open_source(config)
    return [(source.num_classes, source.num_rows)]
  if not arguments.rows:
    return [(n, min(_ROWS_A_CLASS * n, _MOST)) for n in arguments.classes]
  if len(arguments.rows) not in (1, len(arguments.classes)):
    raise errors.UserError('Give --rows once, or as often as --classes.')
  rows = arguments.rows * (len(arguments.classes) // len(arguments.rows))
  return list(zip(arguments.classes, rows, strict=True))
