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


def test_labels_change_there_and_back_after_agreeing_visits():
  past = corrections.Past(*jnp.int32([[7] * 2, [0, 0], [0, 0]]))
  seen = []
  # The second row's visits do not agree until the end.
  for proposed in ([3, 3], [3, 4], [7, 4], [7, 9], [9, 9]):
    past = corrections.settle(past, jnp.int32(proposed), 2)
    seen.append(past.label.tolist())
  assert seen == [[7, 7], [3, 7], [3, 4], [7, 4], [7, 9]]
  past = corrections.settle(past, jnp.int32([5, 5]), 1)
  assert past.label.tolist() == [5, 5]


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
