"""What is one thing by way of others."""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph


def groups(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
  """The groups of `count` things of which some pairs are one.

  Args:
    first: int [n], one thing of each pair.
    second: int [n], the other.
    count: how many things.

  Returns:
    int32 [count], numbers 0, 1, ... of the groups, in order of their first
    things.
  """
  links = np.ones(len(first), bool), (first, second)
  graph = sparse.coo_array(links, (count, count))
  _, group = csgraph.connected_components(graph, directed=False)
  return group.astype(np.int32)
