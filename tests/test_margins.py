"""Margins at known values, at the edges, and how their numbers are given."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bfjax import errors
from bfjax.heads import margins

NORM = jnp.float32(20)
EDGES = np.float32([-1, np.nextafter(-1, 0, dtype='f'), 0, 1 - 6e-8, 1])


def phi(margin, cosine):
  return margin.phi(jnp.asarray(cosine), NORM, margin.init_state())


@pytest.mark.parametrize('name', margins.MARGINS)
def test_phi_never_falls_nor_exceeds_the_cosine_and_is_finite(name):
  margin = margins.build(name)
  cosine = np.sort(np.concatenate([np.linspace(-1, 1, 2001), EDGES]))
  cosine = np.float32(cosine)
  values = np.asarray(phi(margin, cosine))
  assert (np.diff(values) >= -2e-7).all()
  assert (values <= cosine + 1e-7).all()
  gradient = jax.jit(jax.vmap(jax.grad(lambda c: phi(margin, c))))(cosine)
  assert np.isfinite(gradient).all() and np.isfinite(values).all()


def test_sphere_like_angles_go_on_falling_beyond_pi():
  margin = margins.build('combined', m1=4, m2=0.0, m3=0.0)
  # SphereFace's own table: psi = 1, -1, -3, -5, -7 at theta = k pi / 4.
  cosine = np.cos(np.pi * np.arange(5) / 4).astype('f')
  np.testing.assert_allclose(
    phi(margin, cosine), [1, -1, -3, -5, -7], atol=1e-5
  )


def test_arcface_is_exact_where_the_angle_is_0_or_pi():
  m = 0.5
  values = phi(margins.build('arcface', m=m), np.float32([1, -1]))
  want = [math.cos(m), -1 - m * math.sin(math.pi - m)]
  np.testing.assert_allclose(values, want, rtol=1e-7)


def test_combined_margin_contains_the_simple_ones():
  cosine = np.linspace(-1, 1, 101, dtype='f')
  for name, numbers, same in [
    ('arcface', {'m': 0.3}, {'m1': 1, 'm2': 0.3, 'm3': 0}),
    ('cosface', {'m': 0.3}, {'m1': 1, 'm2': 0, 'm3': 0.3}),
    ('softmax', {}, {'m1': 1, 'm2': 0, 'm3': 0}),
  ]:
    np.testing.assert_array_equal(
      phi(margins.build(name, **numbers), cosine),
      phi(margins.build('combined', **same), cosine),
    )
  np.testing.assert_array_equal(phi(margins.build('softmax'), cosine), cosine)


def test_adaface_is_stricter_on_long_embeddings():
  """Known values of the paper's equations at quality -1, 0 and 1."""
  margin = margins.build('adaface', m=0.4, h=0.333)
  state = {'mean': jnp.float32(20), 'std': jnp.float32(1)}
  norm = jnp.float32([1, 20, 60])
  cosine = jnp.full(3, math.cos(1.0), 'f4')
  want = [math.cos(1.4), math.cos(1.0) - 0.4, math.cos(0.6) - 0.8]
  np.testing.assert_allclose(margin.phi(cosine, norm, state), want, rtol=1e-6)


def test_adaface_statistics_of_few_rows():
  margin = margins.build('adaface')
  state = margin.init_state()
  norm = jnp.float32([30, 200, 7])
  none = margin.see_norms(norm, jnp.array([False] * 3), state)
  one = margin.see_norms(norm, jnp.array([True, False, False]), state)
  two = margin.see_norms(norm, jnp.array([True, True, False]), state)
  assert none == state
  np.testing.assert_allclose([one['mean'], one['std']], [20.1, 100], rtol=1e-6)
  std = 0.01 * 70 / math.sqrt(2) + 99  # lengths above 100 count as 100
  np.testing.assert_allclose([two['mean'], two['std']], [20.45, std], rtol=1e-6)


def test_curricularface_remembers_the_mean_target_cosine():
  margin = margins.build('curricularface')
  state = margin.init_state()
  cosine = jnp.float32([0.5, 0.3, 9])
  state = margin.see_targets(cosine, jnp.array([True, True, False]), state)
  np.testing.assert_allclose(state['t'], 0.004, rtol=1e-6)
  same = margin.see_targets(cosine, jnp.array([False] * 3), state)
  assert same == state


def test_state_is_float32_scalars():
  for name in margins.MARGINS:
    for value in margins.build(name).init_state().values():
      assert value.dtype == jnp.float32 and value.shape == ()


@pytest.mark.parametrize(
  'name, numbers, message',
  [
    ('arc', {}, "No margin called 'arc'. There are: adaface, arcface,"),
    ('arcface', {'margin': 1}, "'arcface' called 'margin'. There are: m."),
    ('softmax', {'m': 1}, "'softmax' called 'm'. There are: none."),
    ('arcface', {'m': 28.6}, 'radians, not 28.6'),
    ('combined', {'m1': 0.5}, 'm1 must be at least 1, not 0.5'),
    ('cosface', {'m': -0.1}, 'm must be at least 0, not -0.1'),
  ],
)
def test_wrong_options_are_named(name, numbers, message):
  with pytest.raises(errors.UserError) as error:
    margins.build(name, **numbers)
  assert message in str(error.value)


def test_a_filter_that_is_no_cosine_is_refused():
  with pytest.raises(errors.UserError, match=r'filter=1\.5'):
    margins.filtered(margins.softmax(), 1.5)
