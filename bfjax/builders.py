"""The parts that a config names, built without its data: network and head."""

import inspect
from collections.abc import Callable

from bfjax import backbones, corrections, errors, margins, settings


def check(config) -> None:
  """Builds them, of every entry of `config.compare`, and throws them away.

  Raises:
    UserError: for whatever these parts refuse.
  """
  for one in settings.run_configs(config).values() or [config]:
    open_backbone(one)
    open_margin(one.head)
    open_rule(one.head)


def open_backbone(config) -> backbones.Backbone:
  """The backbone of `config.backbone`.

  Raises:
    UserError: if there is no such backbone, it has no such option or refuses
      an option's value.
  """
  return backbones.build(
    **settings.backbone_options(config), image_size=config.data.image_size
  )


def open_margin(head) -> margins.Margin:
  """The margin of `config.head`, with those of its numbers it has a use for.

  Raises:
    UserError: if there is no such margin or it refuses a number.
  """
  make = errors.choose('margin', head.margin, margins.MARGINS)
  margin = margins.build(head.margin, **_numbers_of(head, make))
  return margins.filtered(margin, head.filter)


def open_rule(head) -> corrections.Rule | None:
  """The rule of `config.head`, likewise.

  Raises:
    UserError: if there is no such rule or it refuses a number.
  """
  make = errors.choose('rule', head.rule, corrections.RULES)
  return corrections.build_rule(head.rule, **_numbers_of(head, make))


def _numbers_of(head, make: Callable):
  known = inspect.signature(make).parameters
  return {name: head[name] for name in known if name in head}
