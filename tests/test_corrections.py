"""The boundary rule and its penalty at values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from bfjax import corrections


def test_rule_counts_negative_values_as_zero():
  decide = corrections.build_rule('boundary').decide
  other_phi = jnp.float32([0.3, 0.2, 0.3, -0.1, 0.1, 0.0])
  target_cosine = jnp.float32([0.2, 0.3, 0.3, -0.5, -0.5, -0.5])
  want = [True, False, False, False, True, False]
  seen = corrections.Seen(
    given_cosine=target_cosine,
    nearest_cosine=other_phi,
    nearest_phi=other_phi,
    margin=None,
    mask=np.ones(6, bool),
    log_sum_exp=None,
  )
  decision, state = decide(seen, {}, 9)
  np.testing.assert_array_equal(decision.accept, want)
  np.testing.assert_array_equal(decision.weight, 1)
  assert state == {}


def test_penalty_is_the_gap_of_the_positive_parts():
  penalty = corrections.PENALTIES['boundary']
  other_cosine = jnp.float32([0.5, 0.5, 0.2, -0.3, -0.3])
  target_phi = jnp.float32([0.2, -0.4, 0.5, -0.8, 0.4])
  want = [0.3, 0.5, 0, 0, 0]
  np.testing.assert_allclose(penalty(other_cosine, target_phi), want, rtol=1e-6)


def test_penalty_has_no_gradient_at_its_kinks():
  gradient = jax.grad(corrections.boundary_penalty, (0, 1))
  assert gradient(jnp.float32(0), jnp.float32(0)) == (0, 0)
  assert gradient(jnp.float32(0.4), jnp.float32(0.4)) == (0, 0)
  assert gradient(jnp.float32(0.5), jnp.float32(0.4)) == (1, -1)


def test_none_is_nothing():
  assert corrections.build_rule('none') is None
  assert corrections.PENALTIES['none'] is None
