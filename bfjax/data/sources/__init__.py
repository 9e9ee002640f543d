"""Where training images and their labels come from.

A source is a file of this package with a function `build(**options)`; its name
is what `data.source` of a config says. A new one needs no other change.
"""

from bfjax import plugins
from bfjax.data import labelled


def build(name: str, /, **options) -> labelled.Source:
  """Returns the source called `name`, made by its `build(**options)`.

  Raises:
    UserError: if there is no such source, or it has no such option, or one
      that it needs is missing; and whatever the source finds wrong.
  """
  return plugins.build('source', __name__, name, **options)
