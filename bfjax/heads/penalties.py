"""Penalties: the term beside a row's loss; None for no such term.

A penalty is elementwise, (other_cosine, target_phi) -> [n], f32 or f64 [n]
each: the cosine of the nearest class other than the label that is used, and
phi of the label's cosine.
"""

import jax


def boundary(other_cosine, target_phi):
  """How far a row is from its own side of the boundary, not below 0.

  relu(max(c_k, 0) - max(phi(c_y), 0)), where y is the label after correction
  and k the nearest class other than it (BoundaryFace, Wu and Gong, ECCV 2022,
  as its published code computes it). The gradient at a kink is that of the
  flat side.
  """
  relu = jax.nn.relu  # derivative 0 at 0, where jnp.maximum's is 1/2
  return relu(relu(other_cosine) - relu(target_phi))


PENALTIES = {'none': None, 'boundary': boundary}
