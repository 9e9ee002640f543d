"""Cosines of angles, with values and gradients that are finite everywhere.

Of f32 or f64 arrays of any shape; results are of the same kind, in 64-bit mode
too. Angles are in radians.
"""

import math

import jax
import jax.numpy as jnp


def clip(values, low: float, high: float):
  """Clips, with derivative 0 at and beyond the ends (jnp.clip: 1/2 at them)."""
  return jax.lax.clamp(
    jnp.asarray(low, values.dtype), values, jnp.asarray(high, values.dtype)
  )


def sine(cosine):
  """sqrt(1 - c^2), exact at |c| = 1, where its derivative is taken as 0."""
  square = (1 - cosine) * (1 + cosine)
  inside = square > 0
  # The inner `where` keeps the infinite derivative at 0 out of the gradient,
  # which the outer one would turn into 0 * inf.
  return jnp.where(inside, jnp.sqrt(jnp.where(inside, square, 1)), 0)


def angle(cosine):
  """theta = arccos(c), whose derivative at |c| = 1 is taken as 0."""
  return jnp.arctan2(sine(cosine), cosine)


def cos_of_sum(cosine, m):
  """cos(theta + m); m is a number, or a traced one."""
  of = math if isinstance(m, int | float) else jnp
  return cosine * of.cos(m) - sine(cosine) * of.sin(m)


def add(cosine, m):
  """cos(theta + m), and c - m sin(pi - m) where theta + m >= pi.

  Beyond the angle pi, the cosine of the sum would rise again.
  """
  of = math if isinstance(m, int | float) else jnp
  return jnp.where(
    cosine > of.cos(math.pi - m),
    cos_of_sum(cosine, m),
    cosine - m * of.sin(math.pi - m),
  )
