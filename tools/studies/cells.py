"""The trainings of a study: which there are, and which are the same.

A study is a config too, see configs/study.py: a table of mixes of noise and
methods, whose every cell is trained once for each seed.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from bfjax import configfile, defaults, errors
from bfjax.config import keys

# Keys that do not change what a training learns: whole groups, and last names.
_GROUPS = 'compare', 'checkpoint'
_NAMES = 'cache_dir', 'threads', 'log_every_steps', 'max_skipped'


class Training(NamedTuple):
  """A cell of the study with one seed.

  Attributes:
    mix: of noise.
    method: that is trained.
    seed: of the config.
    config: of the run.
    changes: 'head.m' -> value, of what differs from the study's base.
    digest: the same of two trainings if they are the same run.
  """

  mix: str
  method: str
  seed: int
  config: Any
  changes: Mapping[str, Any]
  digest: str

  @property
  def name(self) -> str:
    """Of its folder, unless the same run has one from another cell."""
    return f'{self.mix}-{self.method}-seed{self.seed}-{self.digest}'


def select(
  study,
  mixes: Collection[str] = (),
  methods: Collection[str] = (),
  seeds: Collection[int] = (),
) -> list[Training]:
  """The trainings of a study, in the order in which they are to run.

  Seed by seed and mix by mix, so that a stop leaves whole rows of the table.

  Args:
    study: see configs/study.py.
    mixes: those wanted; all if none is named.
    methods: likewise.
    seeds: likewise; others than the study's may be given.

  Raises:
    UserError: if there is no such mix or method, or a cell changes a key that
      the base has not, or to a value of another type.
  """
  for kind, wanted, known in (
    ('mix', mixes, study.mixes),
    ('method', methods, study.methods),
  ):
    for name in wanted:
      errors.choose(f'{kind} in this part of the study', name, known)
  return [
    _training(study, mix, method, seed)
    for seed in seeds or study.seeds
    for mix in keys.written_order(study.mixes)
    for method in keys.written_order(study.methods)
    if mix in (mixes or study.mixes) and method in (methods or study.methods)
    if method in study.cells[mix]
  ]


def _training(study, mix, method, seed):
  base = configfile.load(study.base.format(seed=seed, mix=mix)).unlock()
  base.seed = int(seed)
  config = base.copy_and_resolve_references().lock()
  for title, changes in (
    ('every', study.every),
    (f'mixes.{mix}.changes', study.mixes[mix].changes),
    (f'cells.{mix}.{method}', study.cells[mix][method]),
  ):
    keys.change(config, changes, title)
  changes = differences(config, base)
  return Training(mix, method, seed, config, changes, digest(config))


def differences(config, base) -> dict[str, Any]:
  """'head.m' -> value, of all keys whose value is not that of `base`."""
  before = dict(keys.flat(base))
  return {
    key: value
    for key, value in keys.flat(config)
    if not keys.is_group(value)  # one without keys
    and (key not in before or before[key] != value)
  }


def digest(config) -> str:
  """Eight hexadecimal digits of whatever has a part in what a run learns.

  Only what differs from the defaults is looked at, so a key that is new, and
  off by default, makes no run another one.
  """
  found = {
    key: value
    for key, value in differences(config, defaults.get_config()).items()
    if key.split('.')[0] not in _GROUPS and key.split('.')[-1] not in _NAMES
  }
  text = json.dumps(found, sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()[:8]
