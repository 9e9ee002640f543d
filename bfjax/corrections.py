"""Label correction: when a label is replaced, and the term beside the loss.

Both look at one number of the target class and one of the nearest other, and
know nothing of devices. `None` stands for "do nothing of the kind".

Source: BoundaryFace, Wu and Xue, ECCV 2022 (arXiv 2210.04567), as its
published code computes it: negative values count as 0 there.
"""

import jax
import jax.numpy as jnp


def accept_boundary(other_phi, target_cosine):
  """Whether the row lies beyond the boundary, inside another class.

  max(phi(c_k), 0) > max(c_y, 0), where k is the nearest class other than the
  given label y: even with the margin against it, k is nearer than y. Then k
  is taken for the row's label.

  Args:
    other_phi: f32 or f64 [n], phi of the nearest other class.
    target_cosine: [n], cosine of the given label.

  Returns:
    bool [n].
  """
  return jnp.maximum(other_phi, 0) > jnp.maximum(target_cosine, 0)


def boundary_penalty(other_cosine, target_phi):
  """How far a row is from its own side of the boundary.

  relu(max(c_k, 0) - max(phi(c_y), 0)), where y is the label after correction
  and k the nearest class other than it.

  Args:
    other_cosine: f32 or f64 [n], cosine of the nearest other class.
    target_phi: [n], phi of the label's cosine.

  Returns:
    [n], not below 0. Has a gradient; at a kink it is that of the flat side.
  """
  relu = jax.nn.relu  # derivative 0 at 0, where jnp.maximum's is 1/2
  return relu(relu(other_cosine) - relu(target_phi))


RULES = {'none': None, 'boundary': accept_boundary}
PENALTIES = {'none': None, 'boundary': boundary_penalty}
