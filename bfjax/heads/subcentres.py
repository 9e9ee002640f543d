"""Several centres a class, of which the minor ones are dropped in the end.

Source: Sub-center ArcFace (Deng et al., ECCV 2020). There, the dropping ends
a first training and a second one begins, on the rows that are left; here it
is an epoch of one training.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bfjax.heads import classes


class SubCentres(NamedTuple):
  """What a head needs to know of them.

  Attributes:
    count: K of a class; those of a class lie one after another.
    drop_angle: rows further from their class's dominant sub-centre, in
      radians, have no loss once the others are dropped.
  """

  count: int  # type: ignore[assignment]
  drop_angle: float

  def new_use(self, padded_classes: int):
    """How often each was the nearest of its class, as yet: f32 [classes K]."""
    return jnp.zeros(self.count * padded_classes)

  def split(self, cosine, use, dropping):
    """Cosines [c, K, n] from [c K, n]; minus infinity where one is dropped.

    Args:
      cosine: of this device's sub-centres.
      use: [c K], see `new_use`: the dominant one of a class has the most.
      dropping: whether all but the dominant ones are.
    """
    use = use.reshape(-1, self.count)
    dominant = jax.nn.one_hot(use.argmax(1), self.count, dtype=bool)
    minor = dropping & ~dominant
    each = cosine.reshape(*use.shape, -1)
    return jnp.where(minor[:, :, None], -jnp.inf, each)

  def count_nearest(self, each, label, mask, mine):
    """How many rows of their label's class each is nearest to: [c K].

    Args:
      each: [c, K, n], from `split`.
      label: int32 [n]; those of other devices' classes count there.
      mask: bool [n], the rows that count.
      mine: the classes of this device.
    """
    place, rows = mine.place(label)
    own = each.at[place, :, rows].get(mode='fill', fill_value=-jnp.inf)
    nearest = place * self.count + own.argmax(1)
    use = classes.no_counts(mine.count * self.count)
    return use.at[nearest].add(mask.astype(use.dtype), mode='drop')

  def is_far(self, target_cosine):
    """Whether a row is left out once the minor ones are dropped: bool [n]."""
    return target_cosine < math.cos(self.drop_angle)
