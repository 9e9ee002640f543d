import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bfjax import errors, optim


def schedule(name, **options):
  return optim.make_schedule(
    **{
      'peak': 0.2,
      'schedule': name,
      'total_steps': 100,
      'steps_per_epoch': 10,
    }
    | options
  )


@pytest.mark.parametrize('nesterov', [True, False])
def test_sgd_is_that_of_torch(nesterov):
  """As PyTorch documents it, in float64.

  Its own optimisers load a compiler that does not get on with TensorFlow's in
  one process.
  """
  rng = np.random.default_rng(0)
  target = rng.normal(size=(5, 3)).astype(np.float32)
  start = rng.normal(size=(5, 3)).astype(np.float32)
  rates = [0.1] * 10 + [0.01] * 10
  momentum, decay = 0.9, 5e-4

  theirs, velocity = start.astype(np.float64), 0.0
  for rate in rates:
    slope = 4 * (theirs - target) ** 3 / theirs.size + decay * theirs
    velocity = momentum * velocity + slope
    theirs -= rate * (slope + momentum * velocity if nesterov else velocity)

  ours = optim.sgd(
    lambda step: jnp.array(rates)[step],
    momentum=momentum,
    nesterov=nesterov,
    weight_decay=decay,
  )
  value, state = jnp.array(start), ours.init(jnp.array(start))
  gradient = jax.grad(lambda p: jnp.mean((p - target) ** 4))
  for _ in rates:
    updates, state = ours.update(gradient(value), state, value)
    value = optax.apply_updates(value, updates)
  np.testing.assert_allclose(value, theirs, atol=1e-6)


def test_momentum_is_kept_in_bfloat16_and_steps_like_that_of_float32():
  rng = np.random.default_rng(1)
  slopes = rng.normal(size=(20, 64)).astype(np.float32)
  values = {}
  for dtype in ('float32', 'bfloat16'):
    ours = optim.sgd(lambda step: 0.1, momentum_dtype=dtype)
    value = jnp.zeros(64)
    state = ours.init(value)
    for slope in slopes:
      updates, state = ours.update(jnp.asarray(slope), state, value)
      value = optax.apply_updates(value, updates)
    kept = {x.dtype.name for x in jax.tree.leaves(state) if x.size == 64}
    assert kept == {dtype}
    assert value.dtype == np.float32
    values[dtype] = value
  largest = abs(values['float32']).max()
  np.testing.assert_allclose(*values.values(), atol=0.02 * largest)
  assert (values['float32'] != values['bfloat16']).any()


def test_clipping_bounds_the_norm_of_the_whole_gradient():
  sgd = optim.sgd(
    lambda step: 1.0,
    momentum=0.0,
    nesterov=False,
    weight_decay=0.0,
    clip_norm=1.0,
  )
  params = {'a': jnp.zeros(3), 'b': jnp.zeros(4)}
  grads = jax.tree.map(lambda x: x + 5, params)
  updates, _ = sgd.update(grads, sgd.init(params), params)
  np.testing.assert_allclose(optax.tree.norm(updates), 1.0, rtol=1e-6)


def test_a_milestone_holds_from_the_first_step_of_its_epoch():
  rate = schedule('multistep', milestones=(2, 4))
  found = [float(rate(step)) for step in (0, 9, 10, 29, 30, 99)]
  np.testing.assert_allclose(
    found, [0.2, 0.2, 0.02, 0.02, 0.002, 0.002], rtol=1e-6
  )


def test_warm_up_rises_linearly_to_the_scaled_rate():
  rate = schedule('constant', warmup_epochs=2)
  np.testing.assert_allclose(rate(0), 0.2 / 20, rtol=1e-6)
  np.testing.assert_allclose(rate(9), 0.1, rtol=1e-6)
  np.testing.assert_allclose([rate(19), rate(50)], 0.2, rtol=1e-6)


@pytest.mark.parametrize(
  ('name', 'middle'), [('cosine', 0.1), ('polynomial', 0.2 * 0.5**2)]
)
def test_smooth_schedules_go_from_the_peak_to_zero(name, middle):
  rate = schedule(name, warmup_epochs=2, total_steps=120)
  np.testing.assert_allclose(
    [float(rate(s)) for s in (20, 70, 120)], [0.2, middle, 0], atol=1e-7
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'schedule': 'step'}, 'constant, cosine, multistep, polynomial'),
    ({'warmup_epochs': 10}, 'warmup_epochs=10 is 100 steps'),
    ({'milestones': (4, 2)}, 'milestones'),
    ({'milestones': (0,)}, 'counted from 1'),
  ],
)
def test_an_impossible_schedule_is_refused(options, message):
  with pytest.raises(errors.UserError, match=message):
    schedule(options.pop('schedule', 'multistep'), **options)


def test_lambda_follows_its_schedule():
  weight = optim.scheduled('head.lambda_schedule', ((2, 0.0), (4, 1.0)))
  found = [float(weight(jnp.float32(epoch))) for epoch in (1, 2, 3, 4, 9)]
  np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1])
  assert optim.scheduled('head.lambda_schedule', 3.0)(jnp.float32(5)) == 3


@pytest.mark.parametrize('schedule', [(1, 2), ((3, 1.0), (2, 1.0)), (), 'x'])
def test_a_schedule_that_is_none_is_refused(schedule):
  with pytest.raises(errors.UserError, match='rule_margin'):
    optim.scheduled('head.rule_margin', schedule)
