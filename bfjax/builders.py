"""The parts that a config names, built without its data: network and head."""

import inspect

from bfjax import backbones, errors
from bfjax.config import settings
from bfjax.heads import corrections, margins


def check(config) -> None:
  """Builds them, of every entry of `config.compare`, and throws them away.

  Raises:
    UserError: for whatever these parts refuse.
  """
  for one in settings.run_configs(config).values() or [config]:
    open_backbone(one)
    open_margin(one.head)
    corrections.build_rule(one.head.rule)


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
  known = inspect.signature(make).parameters
  margin = margins.build(
    head.margin, **{k: head[k] for k in known if k in head}
  )
  return margins.filtered(margin, head.filter)
