"""Made-up embeddings: rows around the directions of people, on the sphere."""

import numpy as np

DIM = 24


class People:
  """People as directions; rows of them are drawn with a spread."""

  def __init__(self, count, seed=0, spread=0.5, dim=DIM):
    self._draw = np.random.default_rng(seed)
    self.centres = unit(self._draw.normal(size=(count, dim)))
    self._spread = spread

  def rows(self, who):
    """float32 [n, DIM], one row of each of `who`, int [n]."""
    noise = self._draw.normal(size=(len(who), self.centres.shape[1]))
    noise *= self._spread / np.sqrt(self.centres.shape[1])
    return unit(self.centres[np.asarray(who)] + noise).astype(np.float32)

  def nobody(self, count):
    """float32 [count, DIM], each of somebody else."""
    return unit(self._draw.normal(size=(count, self.centres.shape[1]))).astype(
      np.float32
    )


def unit(x):
  return x / np.linalg.norm(x, axis=1, keepdims=True)
