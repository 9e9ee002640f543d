"""What is looked at once it is computed, so that no device waits for it."""

import collections
from collections.abc import Callable

import jax


def most_under_way() -> int:
  """How many steps may be under way beyond what has been looked at.

  The virtual devices of a CPU share its threads: of several steps, each may
  hold some of those that the collectives of another wait for, without end.
  """
  return 1 if jax.default_backend() == 'cpu' else 4


class Late:
  """Looks at results of the devices in their order, some steps late.

  They are looked at as soon as they are there; and in time that never more than
  a few steps are under way.
  """

  def __init__(self, steps: int):
    """Lets so many steps be under way."""
    self._looks = collections.deque()
    self._steps = steps

  def put(self, done: int, values, look: Callable[[], None]) -> None:
    """Has `look` called once `values`, arrays of step `done`, are there.

    They are on their way to the host from now on.
    """
    arrays = [x for x in jax.tree.leaves(values) if isinstance(x, jax.Array)]
    for array in arrays:
      array.copy_to_host_async()
    self._looks.append((done, arrays, look))

  def keep_up(self, done: int) -> None:
    """Looks at what is there; waits only for what is older than some steps."""
    self.settle(done - self._steps)
    while self._looks and all(x.is_ready() for x in self._looks[0][1]):
      self._looks.popleft()[2]()

  def settle(self, done: int) -> None:
    """Waits for, and looks at, all that is of steps up to `done`."""
    while self._looks and self._looks[0][0] <= done:
      self._looks.popleft()[2]()
