"""Inner products of features: exactly, and how wrong float32 may be.

How float32 products of whole blocks round depends on the device and on the
shape of a block, so they only tell which pairs may count. What is reported and
compared is the exact product: summed in float64, in an order that only the
dimension of the features decides, and therefore the same on any machine.
"""

import numpy as np

_PAIRS = 1024  # exact products at a time: they stay in the cache


def exact(
  queries: np.ndarray, gallery, query: np.ndarray, row: np.ndarray
) -> np.ndarray:
  """float64 [n]: the products of pairs, each rounded to float64 like any other.

      product = sum over j of queries[query, j] gallery[row, j]

  Products of two float32 are exact in float64; numpy sums them pairwise. Equal
  features have equal products, wherever they stand.

  Args:
    queries: [q, d] float32 or float16.
    gallery: [m, d]; it gives rows by an array of ascending row numbers.
    query: int [n].
    row: int [n].
  """
  out = np.empty(len(query))
  order = np.argsort(row, kind='stable')  # rows of a part are near each other
  for start in range(0, len(order), _PAIRS):
    pairs = order[start : start + _PAIRS]
    found, where = np.unique(row[pairs], return_inverse=True)
    right = np.asarray(gallery[found], np.float64)[where]
    left = np.asarray(queries[query[pairs]], np.float64)
    out[pairs] = np.sum(left * right, axis=1)
  return out


def slack(length: np.ndarray, radius: float, dim: int) -> np.ndarray:
  """A bound on |rough - exact| of products, whatever the order of summation.

      dim 2^-23 |query| |row|

  which is twice the bound of error analysis (Higham, Accuracy and Stability
  of Numerical Algorithms, 3.1), and some more for numbers that underflow.

  Args:
    length: |query|, float64.
    radius: the largest |row|.
    dim: of the features.
  """
  return dim * (2.0**-23 * length * radius + 2.0**-120)
