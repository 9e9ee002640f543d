"""SGD as in the reference, gradients of micro-batches, schedules.

Epochs are counted from 1 in every setting of this project: a drop at epoch 6
holds from the first step of the sixth epoch.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from bfjax import errors
from bfjax.config import limits


def scheduled(key: str, value: float | Sequence | None) -> Callable:
  """Returns epoch -> value: constant, or piecewise linear.

  Args:
    key: of the config, for the message.
    value: a number, None, or pairs (epoch, number), epochs (from 1, fractions
      allowed) ascending; constant before the first and after the last.

  Raises:
    UserError: if it is none of these.
  """
  limits.check(key, value)
  if not isinstance(value, Sequence):
    return lambda epoch: value
  epochs, values = zip(*value, strict=True)
  return lambda epoch: jnp.interp(
    epoch, jnp.array(epochs, jnp.float32), jnp.array(values, jnp.float32)
  )


# Shapes of the learning rate: (steps, drops, power) -> step -> factor.
SCHEDULES = {
  'constant': lambda steps, drops, power: optax.constant_schedule(1.0),
  # Falls at the steps of `drops`, by their factors.
  'multistep': lambda steps, drops, power: optax.piecewise_constant_schedule(
    1.0, drops
  ),
  # (1 - step / steps) ^ power.
  'polynomial': lambda steps, drops, power: optax.polynomial_schedule(
    1.0, 0.0, power, steps
  ),
  # (1 + cos(pi step / steps)) / 2.
  'cosine': lambda steps, drops, power: optax.cosine_decay_schedule(1.0, steps),
}


def make_schedule(
  *,
  peak: float,
  schedule: str,
  total_steps: int,
  steps_per_epoch: int,
  warmup_epochs: float = 0.0,
  milestones: Sequence[float] = (),
  factor: float = 0.1,
  power: float = 2.0,
) -> Callable:
  """Returns step -> learning rate.

  Args:
    peak: the learning rate once it is warm.
    schedule: one of SCHEDULES. The smooth ones begin when it is warm.
    total_steps: updates in the whole run.
    steps_per_epoch: updates in an epoch.
    warmup_epochs: for so long, fractions allowed, it rises linearly, as
      peak * (step + 1) / warmup_steps.
    milestones: epochs (from 1) at whose first step 'multistep' drops.
    factor: what a drop multiplies the rate by.
    power: of the polynomial.

  Raises:
    UserError: for an unknown schedule or one that cannot be.
  """
  decay = errors.choose('schedule', schedule, SCHEDULES)
  limits.check('optim.milestones', milestones)
  warmup_steps = round(warmup_epochs * steps_per_epoch)
  if warmup_steps >= total_steps:
    raise errors.UserError(
      f'optim.warmup_epochs={warmup_epochs} is {warmup_steps} steps, but the'
      f' whole run has {total_steps}. Shorten the warm-up or train longer.'
    )
  drops = {round((epoch - 1) * steps_per_epoch): factor for epoch in milestones}
  begin = 0 if schedule == 'multistep' else warmup_steps
  shape = decay(total_steps - begin, drops, power)

  def learning_rate(step):
    rise = jnp.minimum(1.0, (step + 1) / max(warmup_steps, 1))
    return peak * rise * shape(jnp.maximum(step - begin, 0))

  return learning_rate


def sgd(
  learning_rate: Callable,
  *,
  momentum: float = 0.9,
  nesterov: bool = True,
  weight_decay: float = 5e-4,
  clip_norm: float = 0.0,
  momentum_dtype: str = 'float32',
) -> optax.GradientTransformation:
  """SGD with coupled weight decay on every parameter, as torch.optim.SGD.

      g <- clip(grad) + weight_decay p;   v <- momentum v + g
      p <- p - lr (g + momentum v)   (Nesterov; else p - lr v)

  The gradient's global norm is clipped to `clip_norm`; 0 for none. v is kept as
  `momentum_dtype`, 'float32' or 'bfloat16'.
  `learning_rate` is step -> lr.
  """
  limits.check('optim.momentum_dtype', momentum_dtype)
  clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
  return optax.chain(
    clip,
    optax.add_decayed_weights(weight_decay),
    optax.trace(momentum, nesterov, jnp.dtype(momentum_dtype)),
    optax.scale_by_learning_rate(learning_rate),
  )


def freeze(
  optimizer: optax.GradientTransformation, frozen: str
) -> optax.GradientTransformation:
  """The optimiser for all but one part of the parameters.

  That part, 'backbone' or 'centres', keeps no momentum, has no weight decay and
  does not count in the norm that is clipped; with '' nothing is frozen.
  """
  limits.check('freeze', frozen)
  if not frozen:
    return optimizer

  def kinds(params):
    return {k: 'frozen' if k == frozen else 'trained' for k in params}

  each = {'trained': optimizer, 'frozen': optax.set_to_zero()}
  return optax.partition(each, kinds)


def accumulated_gradient(objective: Callable, k: int) -> Callable:
  """The gradient of a sum over k micro-batches, one after another.

  Micro-batch j takes the rows j, j + k, j + 2k, ..., so that each has its
  share of rows on every device and nothing moves between them.

  Args:
    objective: (params, carried, j, rows) -> (scalar, (carried, out)): what is
      carried goes from one micro-batch to the next, and `out` is of each row.
    k: how many there are.

  Returns:
    (params, carried, rows) -> (gradient, (carried, out)).
  """
  gradient = jax.grad(objective, has_aux=True)

  def split(x):
    return jnp.moveaxis(x.reshape(-1, k, *x.shape[1:]), 1, 0)

  def join(x):
    return jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:])

  def accumulated(params, carried, rows):
    if k == 1:
      return gradient(params, carried, 0, rows)

    def body(done, micro):
      total, carried = done
      grads, (carried, out) = gradient(params, carried, *micro)
      return (jax.tree.map(jnp.add, total, grads), carried), out

    begin = jax.tree.map(jnp.zeros_like, params), carried
    micros = jnp.arange(k), jax.tree.map(split, rows)
    (total, carried), out = jax.lax.scan(body, begin, micros)
    return total, (carried, jax.tree.map(join, out))

  return accumulated
