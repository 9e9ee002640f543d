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

  def dropped(self, use, dropping):
    """Which are left out, all but the dominant ones or none: bool [c, K].

    Args:
      use: [c K], see `new_use`: the dominant one of a class has the most.
      dropping: whether the others are.
    """
    use = use.reshape(-1, self.count)
    dominant = jax.nn.one_hot(use.argmax(1), self.count, dtype=bool)
    return dropping & ~dominant

  def count_nearest(self, own, place, mask, classes_here: int):
    """How many rows of their label's class each is nearest to: [c K].

    Args:
      own: [n, K], cosines with the sub-centres of the label's class.
      place: int32 [n], that class; others than this device's count there.
      mask: bool [n], the rows that count.
      classes_here: c.
    """
    nearest = place * self.count + own.argmax(1)
    use = classes.no_counts(classes_here * self.count)
    return use.at[nearest].add(mask.astype(use.dtype), mode='drop')

  def is_far(self, target_cosine):
    """Whether a row is left out once the minor ones are dropped: bool [n]."""
    return target_cosine < math.cos(self.drop_angle)
