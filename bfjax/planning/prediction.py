"""How long a step takes, from a card's limits: a roofline of its kernels.

Each kernel takes what its memory traffic or its products need, whichever is
more, at the shares of the card's limits named here, but never less than a
launch; each collective what a ring needs at the slowest link in its way. They
are added up: nothing is taken to overlap.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from bfjax.planning import cards, costs

MATRIX_SHARE = 0.5
MEMORY_SHARE = 0.8
LINK_SHARE = 0.7
LAUNCH_SECS = 3e-6
COLLECTIVE_SECS = 10e-6  # for each doubling of the devices

ASSUMPTIONS = (
  f'products and convolutions run at {MATRIX_SHARE:.0%} of the peak of their'
  ' precision',
  f'memory at {MEMORY_SHARE:.0%} and links at {LINK_SHARE:.0%} of what the'
  ' maker states',
  f'a kernel takes at least {1e6 * LAUNCH_SECS:.0f} us, a collective'
  f' {1e6 * COLLECTIVE_SECS:.0f} us for each doubling of the cards and a ring',
  'nothing overlaps, and the input keeps up',
)


class Prediction(NamedTuple):
  """Seconds of a step.

  Attributes:
    backbone: kernels of the backbone, and all else but the head and updates.
    head: kernels of the head.
    collectives: what crosses the cards.
    bound: all of it at the card's limits themselves, with nothing but them.
  """

  backbone: float
  head: float
  collectives: float
  bound: float

  @property
  def total(self) -> float:
    """Of a whole step."""
    return self.backbone + self.head + self.collectives


def predict(
  kernels: Iterable[costs.Kernel],
  collectives: Iterable[costs.Collective],
  card: cards.Card,
  devices: int,
) -> Prediction:
  """The time of a step that launches these on so many cards."""
  secs = {False: 0.0, True: 0.0}
  bound = 0.0
  for x in kernels:
    peak = _peak(card, x.precision)
    own = max(
      x.bytes / (MEMORY_SHARE * card.bandwidth),
      x.operations / (MATRIX_SHARE * peak),
      LAUNCH_SECS,
    )
    secs[is_head(x.op_name)] += x.times * own
    bound += x.times * max(x.bytes / card.bandwidth, x.operations / peak)
  link = card.link
  if devices > card.cards_a_host:
    link = min(card.link, card.network)
  crossing = 0.0
  for x in collectives:
    wait = COLLECTIVE_SECS * math.log2(max(devices, 2))
    crossing += x.times * (wait + x.wire_bytes / (LINK_SHARE * link))
    bound += x.times * x.wire_bytes / link
  return Prediction(secs[False], secs[True], crossing, bound)


def is_head(op_name: str) -> bool:
  """Whether a kernel is of the head or the label table."""
  return any(word in op_name for word in ('(head)', '/head/', 'shard_map'))


def _peak(card, precision) -> float:
  """Operations a second; of a precision that is not stated, as float32."""
  return card.matrix.get(precision, card.matrix['float32'])
