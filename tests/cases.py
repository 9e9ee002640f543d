"""Embeddings, centres and labels that heads are tried on; no PyTorch."""

import numpy as np


def noisy(rows: int, dim: int, num_classes: int):
  """Rows near their true centre; every second label is flipped."""
  rng = np.random.default_rng(2)
  centres = rng.normal(size=(num_classes, dim))
  label = rng.integers(0, num_classes, rows)
  embedding = centres[label] + 0.8 * rng.normal(size=(rows, dim))
  shift = 1 + rng.integers(0, num_classes - 1)
  label[::2] = (label[::2] + shift) % num_classes
  return 9 * embedding, centres, label.astype('i4')
