"""The boundary rule and its penalty at values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from bfjax import labels
from bfjax.heads import penalties, rules


def test_rule_counts_negative_values_as_zero():
  decide = rules.build('boundary').decide
  other_phi = jnp.float32([0.3, 0.2, 0.3, -0.1, 0.1, 0.0])
  target_cosine = jnp.float32([0.2, 0.3, 0.3, -0.5, -0.5, -0.5])
  want = [True, False, False, False, True, False]
  seen = rules.Seen(
    given=None,
    given_cosine=target_cosine,
    nearest=None,
    nearest_cosine=other_phi,
    nearest_phi=other_phi,
    margin=None,
    mask=np.ones(6, bool),
    log_sum_exp=None,
    cosine_of=None,
    times=None,
  )
  decision, state = decide(seen, {}, 9)
  np.testing.assert_array_equal(decision.accept, want)
  np.testing.assert_array_equal(decision.weight, 1)
  assert state == {}


def test_labels_change_there_and_back_after_agreeing_visits():
  past = labels.Past(*jnp.int32([[7] * 2, [0, 0], [0, 0]]))
  seen = []
  # The second row's visits do not agree until the end.
  for proposed in ([3, 3], [3, 4], [7, 4], [7, 9], [9, 9]):
    past = labels.settle(past, jnp.int32(proposed), 2)
    seen.append(past.label.tolist())
  assert seen == [[7, 7], [3, 7], [3, 4], [7, 4], [7, 9]]
  past = labels.settle(past, jnp.int32([5, 5]), 1)
  assert past.label.tolist() == [5, 5]


def test_repface_splits_rows_by_the_gap_of_generated_noise():
  rule = rules.build('repface')

  def cosine_of(label):
    assert label.tolist() == [8, 4, 5, 6, 6, 7]  # of the rows before
    return np.float32([0.1, 0.2, 0, 9, 0.1, 9])

  seen = rules.Seen(
    given=np.int32([4, 5, 6, 6, 7, 8]),
    given_cosine=np.float32([0.7, 0.1, 0.5, 0.5, 0.6, 0.0]),
    nearest=None,
    nearest_cosine=np.float32([0.7, 0.7, 0.6, 0.6, 0.6, 0.7]),
    nearest_phi=None,
    margin=None,
    mask=np.arange(6) < 5,
    log_sum_exp=None,
    cosine_of=cosine_of,
    times=np.int32([3, 0, 0, 2, 0, 0]),
  )
  decision, state = rule.decide(seen, rule.init_state(), 9)
  # Neither the fourth row, whose label is the third's, nor the last counts.
  assert state['rows'] == 4
  np.testing.assert_allclose(state['gap'], 0.6 + 0.5 + 0.6 + 0.5, rtol=1e-6)
  np.testing.assert_allclose(rule.tell(state, 9)['rule_margin'], 0.275)
  # Clean, noisy, ambiguous with one vote and with three, a tie, noisy.
  np.testing.assert_allclose(decision.mix, [0, 0.9, 0.5, 0.75, 0, 0.9])
  np.testing.assert_array_equal(decision.accept, [0, 1, 0, 1, 0, 1])
  np.testing.assert_array_equal(decision.weight, 1)
  _, later = rule.decide(seen, state, 9)
  np.testing.assert_allclose(later['rows'], 4 * (1 - 4 / 6400) + 4)


def test_penalty_is_the_gap_of_the_positive_parts():
  penalty = penalties.PENALTIES['boundary']
  other_cosine = jnp.float32([0.5, 0.5, 0.2, -0.3, -0.3])
  target_phi = jnp.float32([0.2, -0.4, 0.5, -0.8, 0.4])
  want = [0.3, 0.5, 0, 0, 0]
  np.testing.assert_allclose(penalty(other_cosine, target_phi), want, rtol=1e-6)


def test_penalty_has_no_gradient_at_its_kinks():
  gradient = jax.grad(penalties.boundary, (0, 1))
  assert gradient(jnp.float32(0), jnp.float32(0)) == (0, 0)
  assert gradient(jnp.float32(0.4), jnp.float32(0.4)) == (0, 0)
  assert gradient(jnp.float32(0.5), jnp.float32(0.4)) == (1, -1)


def test_none_is_nothing():
  assert rules.build('none') is None
  assert penalties.PENALTIES['none'] is None
