"""Some of the classes, drawn anew at every step, that a softmax is taken over.

Partial FC (An et al., CVPR 2022): the loss of a step looks at the classes that
its rows are trained with and at a random part of the others. The published code
draws an exact number on each device; here each class is in or out by itself,
by a hash of seed, step and its number, so that the same are drawn on any number
of devices.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Sampling(NamedTuple):
  """How classes are drawn.

  Attributes:
    rate: the probability of a class to be in.
    seed: of the draw.
    rule_sees: what the rule looks at, 'all' classes or the 'sampled' ones.
  """

  rate: float
  seed: int
  rule_sees: str = 'all'

  def draw(self, draw, mine, num_classes: int, positives):
    """Where the classes drawn lie among those of a device, ascending.

    Args:
      draw: int32 scalar, the number of the draw.
      mine: the classes of this device.
      num_classes: of all devices; those beyond are padding and never drawn.
      positives: a list of int32 [n], classes that are in whatever is drawn;
        those of other devices have no influence.

    Returns:
      int32 [m]; after the last one, the number of classes of the device. m is
      what more than one draw in a thousand million does not exceed, with the
      positives, all of which are always in.
    """
    key = jax.random.fold_in(jax.random.key(self.seed), draw)
    number = mine.first + jnp.arange(mine.count, dtype=jnp.int32)
    chance = jax.vmap(
      lambda i: jax.random.uniform(jax.random.fold_in(key, i), (), jnp.float32)
    )(number)
    is_in = (chance < self.rate) & (number < num_classes)
    most = self._most(mine.count)
    is_in &= jnp.cumsum(is_in) <= most
    for label in positives:
      is_in = is_in.at[mine.place(label)].set(True, mode='drop')
    size = min(mine.count, most + sum(map(len, positives)))
    (index,) = jnp.nonzero(is_in, size=size, fill_value=mine.count)
    return index.astype(jnp.int32)

  def _most(self, count):
    """Of `count` classes, six standard deviations over the mean."""
    mean = self.rate * count
    return math.ceil(mean + 6 * math.sqrt(mean * (1 - self.rate)))


def new_state():
  """Rows for which it was looked whether the rule says otherwise, and did."""
  return {'rows': jnp.zeros(()), 'differing': jnp.zeros(())}


def tell(state):
  """The share of them."""
  return state['differing'] / jnp.maximum(state['rows'], 1)
