"""What the values of config keys may be: which words, which numbers.

Whatever takes such a value has it checked here, and so has the config as a
whole before anything is loaded. What depends on data or devices, or on the
parts that a config names, these check themselves.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bfjax import errors


class Limit(NamedTuple):
  """Attributes: what is expected, in words; and whether a value is that."""

  expected: str
  holds: Callable[[Any], bool]


def _number(expected, holds):
  return Limit(expected, lambda x: math.isfinite(x) and holds(x))


def _words(*words):
  *first, last = map(repr, words)
  return Limit(f'{", ".join(first)} or {last}', lambda x: x in words)


def _are_numbers(values):
  return all(
    isinstance(x, int | float) and not isinstance(x, bool) for x in values
  )


def _are_epochs(values):
  return (
    _are_numbers(values)
    and list(values) == sorted(values)
    and all(x >= 1 for x in values)
  )


def _are_points(values):
  if any(
    not isinstance(p, Sequence) or len(p) != 2 or not _are_numbers(p)
    for p in values
  ):
    return False
  epochs = [epoch for epoch, _ in values]
  return epochs == sorted(set(epochs))


def _is_scheduled(value):
  if isinstance(value, Sequence):
    return bool(value) and _are_points(value)
  return _are_numbers([value])


def _are_counts(values):
  return all(isinstance(x, int) and x >= 1 for x in values)


def _is_span(value):
  is_pair = isinstance(value, Sequence) and len(value) == 2
  return is_pair and _are_counts(value) and value[0] <= value[1]


_ONE_OR_MORE = _number('1 or more', lambda x: x >= 1)
_NOT_NEGATIVE = _number('0 or more', lambda x: x >= 0)
_POSITIVE = _number('a number above 0', lambda x: x > 0)
_SHARE = _number('a share, 0 to 1', lambda x: 0 <= x <= 1)
_RATE = _number('at least 0 and below 1', lambda x: 0 <= x < 1)
_PROBABILITY = _number('a probability, 0 to 1', lambda x: 0 <= x <= 1)
_COUNTS = Limit('whole numbers of 1 or more, such as (64, 64)', _are_counts)

_LIMITS = {
  'seed': _NOT_NEGATIVE,
  'epochs': _ONE_OR_MORE,
  'batch': _ONE_OR_MORE,
  'accumulate': _ONE_OR_MORE,
  'log_every_steps': _ONE_OR_MORE,
  'profile_steps': Limit(
    'the first and the last of some updates, such as (10, 15), or ()',
    lambda x: x == () or x == [] or _is_span(x),
  ),
  'on_collapse': _words('warn', 'stop'),
  'data.num_classes': _NOT_NEGATIVE,
  'data.check': _words('exist', 'decode', 'none'),
  'data.labels': _words('given', 'true', 'right'),
  'data.image_size': _ONE_OR_MORE,
  'data.input_scaling': Limit(
    'mean and deviation of pixels from 0 to 255, such as (127.5, 127.5)',
    lambda x: _are_numbers(x) and len(x) == 2 and x[1] > 0,
  ),
  'data.on_error': _words('error', 'skip'),
  'data.max_skipped': _SHARE,
  'data.threads': _NOT_NEGATIVE,
  'backbone.widths': _COUNTS,
  'backbone.blocks': _COUNTS,
  'backbone.dropout': _RATE,
  'backbone.drop_path': _RATE,
  'backbone.mask_ratio': _RATE,
  'backbone.dtype': _words('float32', 'bfloat16'),
  'backbone.batch_norm_rows': _NOT_NEGATIVE,
  'backbone.batch_norm_momentum': _number(
    'above 0 and at most 1', lambda x: 0 < x <= 1
  ),
  'head.s': _POSITIVE,
  'head.m': _NOT_NEGATIVE,
  'head.t_alpha': _SHARE,
  'head.epoch_start': _NOT_NEGATIVE,
  'head.penalty_start': _NOT_NEGATIVE,
  'head.lambda_': _NOT_NEGATIVE,
  'head.lambda_schedule': Limit(
    'pairs (epoch, lambda) whose epochs ascend, such as ((1, 0.0), (12, 3.14))',
    lambda x: (isinstance(x, Sequence) and not x) or _is_scheduled(x),
  ),
  'head.rule_margin': Limit(
    'an angle, or pairs (epoch, angle) whose epochs ascend, such as'
    ' ((1, 0.5), (9, 0.0))',
    _is_scheduled,
  ),
  'head.filter': _number('a cosine, 0 (no filter) to 1', lambda x: 0 <= x < 1),
  'head.visits': _ONE_OR_MORE,
  'head.sub_centres': _ONE_OR_MORE,
  'head.drop_start': _NOT_NEGATIVE,
  'head.drop_angle': _NOT_NEGATIVE,
  'head.chunk_classes': _NOT_NEGATIVE,
  'head.precision': _words('float32', 'tf32', 'bfloat16'),
  'head.sample_rate': _number(
    'a part, above 0 and at most 1', lambda x: 0 < x <= 1
  ),
  'head.sample_rule': _words('all', 'sampled'),
  'head.centres_init': _words('xavier', 'normal'),
  'labels.carry': _words('visit', 'persist'),
  'optim.lr': _NOT_NEGATIVE,
  'optim.lr_batch': _ONE_OR_MORE,
  'optim.milestones': Limit(
    'ascending epochs, counted from 1, such as (6, 12)', _are_epochs
  ),
  'optim.factor': _POSITIVE,
  'optim.power': _POSITIVE,
  'optim.warmup_epochs': _NOT_NEGATIVE,
  'optim.momentum': _RATE,
  'optim.momentum_dtype': _words('float32', 'bfloat16'),
  'optim.weight_decay': _NOT_NEGATIVE,
  'optim.clip_norm': _NOT_NEGATIVE,
  'eval.every_epochs': _NOT_NEGATIVE,
  'eval.batch': _ONE_OR_MORE,
  'checkpoint.every_epochs': _ONE_OR_MORE,
  'checkpoint.every_steps': _NOT_NEGATIVE,
  'checkpoint.max_to_keep': _ONE_OR_MORE,
  'init_centres': _words('none', 'all', 'by_name'),
  'freeze': _words('', 'backbone', 'centres'),
}


def check(key: str, value: Any) -> None:
  """Refuses a value that the config key `key`, as 'head.m', cannot have.

  None, which stands for whatever is usual, is never refused.

  Raises:
    UserError: names the key, the value and what is expected.
  """
  is_augmentation = key.startswith('data.augment.')
  limit = _PROBABILITY if is_augmentation else _LIMITS.get(key)
  if limit and value is not None and not limit.holds(value):
    shown = tuple(value) if isinstance(value, list) else value
    raise errors.UserError(
      f'config.{key}={shown!r}: expected {limit.expected}.'
    )
