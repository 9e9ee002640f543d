"""What makes a run this one and no other: the values that it keeps for good."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bfjax import errors
from bfjax.config import settings

# What the data has to say; all else follows from the config.
OF_DATA = (
  'number of classes',
  'number of rows',
  'data list (sha256)',
  'labels trained on (sha256)',
)


def fixed(config) -> dict[str, Any]:
  """What would make another run if it changed; see `checkpoint.claim_workdir`.

  The data has its part in that too, under the names `OF_DATA`.

  Raises:
    UserError: if there is no such backbone.
  """
  # Only those that are on: without any, a run is what it was before they were.
  augmentations = {
    f'data.augment.{k}': v for k, v in config.data.augment.items() if v
  }
  # What the state has arrays for.
  carried = {k: config.head[k] for k in ('sub_centres', 'visits')}
  options = settings.backbone_options(config)
  # The same numbers but for rounding, and in less memory.
  options.pop('remat', None)
  dtype = config.optim.momentum_dtype
  return {
    'seed': config.seed,
    'batch': config.batch,
    'accumulate': config.accumulate,
    'data.image_size': config.data.image_size,
    'data.input_scaling': config.data.input_scaling,
    'data.flip': config.data.flip,
    **augmentations,
    'labels.carry': config.labels.carry,
    'init_from': config.init_from,
    'init_step': config.init_step,
    'init_backbone': config.init_backbone,
    'init_centres': config.init_centres,
    'init_renamed': config.init_renamed,
    'freeze': config.freeze,
    **{f'backbone.{k}': v for k, v in options.items()},
    'head.margin': config.head.margin,
    'head.rule': config.head.rule,
    **{f'head.{k}': n for k, n in carried.items() if n > 1},
    **_rule_samples(config.head),
    **({'optim.momentum_dtype': dtype} if dtype != 'float32' else {}),
    **_penalty_begins(config.head),
  }


def _rule_samples(head):
  """Of a rule that sees sampled classes, what is counted lies in the state."""
  counts = head.sample_rule == 'sampled' and head.rule != 'none'
  if head.sample_rate == 1 or not counts:
    return {}
  return {'head.sample_rule': head.sample_rule}


def _penalty_begins(head):
  """Tells a run from one of before the penalty had a start.

  Such a run had its penalty from the first epoch on, as head.penalty_start=0
  has it: with that it goes on.
  """
  if head.penalty == 'none' or settings.penalty_start(head) <= 0:
    return {}
  return {
    'start of the penalty': 'with the correction, or at head.penalty_start. A'
    ' run of an older bfjax had it from its first epoch on: to go on with such'
    ' a run, give --config.head.penalty_start=0'
  }


def record(config, of_data: Sequence, formula: str) -> dict[str, dict]:
  """What a run keeps in its run.json.

  Args:
    config: of the run.
    of_data: the values of `OF_DATA`.
    formula: how pixels are scaled.

  Returns:
    'fixed', what would make another run; 'free', what may change on the way;
    and 'about', what whoever uses the model has to know.

  Raises:
    UserError: if there is no such backbone.
  """
  all_fixed = fixed(config) | dict(zip(OF_DATA, of_data, strict=True))
  head = {f'head.{k}': v for k, v in config.head.items()}
  optimizer = {f'optim.{k}': v for k, v in config.optim.items()}
  free = {'epochs': config.epochs, **head, **optimizer}
  free = {name: value for name, value in free.items() if name not in all_fixed}
  about = {'colour_order': 'RGB', 'input_scaling': formula}
  return {'fixed': all_fixed, 'free': free, 'about': about}


def differences(old: Mapping, new: Mapping) -> list[tuple[str, Any, Any]]:
  """(name, old value, new value) of all that differ, as JSON has them."""
  new = json.loads(json.dumps(new))  # tuples become lists, as in the file
  return [
    (name, old.get(name), new.get(name))
    for name in sorted(old.keys() | new.keys())
    if old.get(name) != new.get(name)
  ]


def refuse_other(workdir, old: Mapping, new: Mapping) -> None:
  """Raises if two runs, by their fixed values, are not the same.

  Args:
    workdir: of the run that is there.
    old: its fixed values.
    new: of the run that is to go on in it.

  Raises:
    UserError: names every value that differs, before and now.
  """
  changed = differences(old, new)
  if changed:
    raise errors.UserError(
      f'{workdir} holds another run: '
      + '; '.join(f'{n} was {a!r}, now {b!r}' for n, a, b in changed)
      + '. Give the old values to go on with it, or another --workdir.'
    )
