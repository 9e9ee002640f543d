"""What a config alone says of a run, read without JAX or TensorFlow."""

from collections.abc import Mapping
from typing import Any

from bfjax import declared, errors, plugins
from bfjax.config import keys, limits

BACKBONES = 'bfjax.backbones'
SOURCES = 'bfjax.data.sources'
# Options of some sources that the training itself reads too.
_READ_ANYWAY = ('image_size', 'on_error')


def run_configs(config) -> dict[str, Any]:
  """Returns name -> config for every entry of `config.compare`, as written.

  Raises:
    UserError: if an entry changes a key that there is not, or to a value of
      another type, or its name cannot be that of a folder.
  """
  configs = {}
  for name in keys.written_order(config.compare):
    changes = config.compare[name]
    if name in ('', '.', '..') or '/' in name:
      raise errors.UserError(
        f'config.compare: {name!r} cannot be the name of a run, which is that'
        ' of its folder too.'
      )
    changed = config.copy_and_resolve_references().lock()
    keys.change(changed, changes, f'config.compare.{name}')
    check_source_options(changed.data, config.data)
    configs[name] = changed
  return configs


def backbone_options(config) -> dict[str, Any]:
  """The keys of `config.backbone`; what is None is as the backbone has it.

  Raises:
    UserError: if there is no such backbone.
  """
  known = plugins.options('backbone', BACKBONES, config.backbone.name)
  given = {k: v for k, v in config.backbone.items() if v is not None}
  usual = {
    k: p.default
    for k, p in known.items()
    if k != 'image_size' and p.default is not declared.COMPUTED
  }
  return usual | given


def source_options(data) -> dict[str, Any]:
  """The keys of `config.data` that are options of its source.

  Raises:
    UserError: if there is no such source.
  """
  own = plugins.options('source', SOURCES, data.source)
  return {name: data[name] for name in own if name in data}


def check_source_options(data, kept: Mapping[str, Any] | None = None) -> None:
  """Refuses an option of another source, which nothing would look at.

  Args:
    data: the group `data` of a config.
    kept: what the options of other sources may be besides their defaults: what
      they were before another source was chosen.

  Raises:
    UserError: names the option and those that the source has.
  """
  own = plugins.options('source', SOURCES, data.source)
  for other in plugins.names(SOURCES):
    for name, option in plugins.options('source', SOURCES, other).items():
      usual = '' if option.default is option.empty else option.default
      is_read = name in own or name in _READ_ANYWAY
      value = data.get(name, usual)
      if not is_read and value not in (usual, None, (kept or {}).get(name)):
        raise errors.UserError(
          f'config.data.{name}={value!r} is for the source {other!r};'
          f' {data.source!r} has no use for it, but takes: {", ".join(own)}.'
        )


def penalty_start(head) -> float:
  """The epoch after which the penalty counts: the correction's, or its own."""
  return head.epoch_start if head.penalty_start is None else head.penalty_start


def check(config) -> None:
  """Checks every value that can be wrong by itself or beside another one.

  Raises:
    UserError: names the key, the value and what is expected.
  """
  for key, value in keys.flat(config):
    limits.check(key, value)
  rows = config.backbone.batch_norm_rows
  if rows and config.batch % rows:
    raise errors.UserError(
      f'config.batch={config.batch} is no multiple of'
      f' config.backbone.batch_norm_rows={rows}.'
    )
  if not config.init_from:
    return
  wanted, sub_centres = config.init_centres, config.head.sub_centres
  if wanted == 'none' and not config.init_backbone:
    raise errors.UserError(
      f'Nothing of init_from={config.init_from} is to be taken:'
      " init_backbone=False and init_centres='none'."
    )
  if wanted != 'none' and sub_centres > 1:
    raise errors.UserError(
      f'init_centres={wanted!r} gives a class one centre, but'
      f' head.sub_centres={sub_centres}. Give'
      " init_centres='none', or head.sub_centres=1."
    )
