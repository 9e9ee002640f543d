"""SGD as in the reference, and its learning-rate schedules.

Epochs are counted from 1 in every setting of this project: a drop at epoch 6
holds from the first step of the sixth epoch.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import optax

from bfjax import errors
from bfjax.config import limits


def multistep(total_steps, steps_per_epoch, *, milestones, factor):
  """x`factor` at the start of each epoch in `milestones` (from 1)."""
  del total_steps
  drops = {round((epoch - 1) * steps_per_epoch): factor for epoch in milestones}
  return optax.piecewise_constant_schedule(1.0, drops)


def polynomial(total_steps, steps_per_epoch, *, power):
  """(1 - step / total_steps) ^ power."""
  del steps_per_epoch
  return optax.polynomial_schedule(1.0, 0.0, power, total_steps)


def cosine(total_steps, steps_per_epoch):
  """(1 + cos(pi step / total_steps)) / 2."""
  del steps_per_epoch
  return optax.cosine_decay_schedule(1.0, total_steps)


def constant(total_steps, steps_per_epoch):
  """1 throughout."""
  del total_steps, steps_per_epoch
  return optax.constant_schedule(1.0)


SCHEDULES = {
  'constant': constant,
  'multistep': multistep,
  'polynomial': polynomial,
  'cosine': cosine,
}


def make_schedule(
  *,
  lr: float,
  batch: int,
  lr_batch: int,
  schedule: str,
  total_steps: int,
  steps_per_epoch: int,
  warmup_epochs: float = 0.0,
  milestones: Sequence[float] = (),
  factor: float = 0.1,
  power: float = 2.0,
) -> Callable:
  """Returns step -> learning rate.

  The peak is `lr * batch / lr_batch` (linear scaling). For `warmup_epochs`
  the rate rises linearly, peak * (step + 1) / warmup_steps. Milestones are
  epochs of the run; the smooth schedules begin after the warm-up.

  Args:
    lr: learning rate at a batch of `lr_batch` samples.
    batch: samples an update, over all devices and accumulated batches.
    lr_batch: the batch that `lr` was chosen for.
    schedule: 'constant', 'multistep', 'polynomial' or 'cosine'.
    total_steps: updates in the whole run.
    steps_per_epoch: updates in an epoch.
    warmup_epochs: length of the warm-up, fractions allowed.
    milestones: epochs (from 1) at which a multistep schedule drops.
    factor: what a drop multiplies the rate by.
    power: of the polynomial.

  Raises:
    UserError: for an unknown schedule or one that cannot be.
  """
  decay = errors.choose('schedule', schedule, SCHEDULES)
  warmup_steps = round(warmup_epochs * steps_per_epoch)
  if warmup_steps >= total_steps:
    raise errors.UserError(
      f'optim.warmup_epochs={warmup_epochs} is {warmup_steps} steps, but the'
      f' whole run has {total_steps}. Shorten the warm-up or train longer.'
    )
  limits.check('optim.milestones', milestones)
  if schedule == 'multistep':
    begin = 0
    shape = decay(
      total_steps, steps_per_epoch, milestones=milestones, factor=factor
    )
  else:
    begin = warmup_steps
    options = {'power': power} if schedule == 'polynomial' else {}
    shape = decay(total_steps - warmup_steps, steps_per_epoch, **options)
  peak = lr * batch / lr_batch

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
) -> optax.GradientTransformation:
  """SGD with coupled weight decay on every parameter, as torch.optim.SGD.

      g <- clip(grad) + weight_decay p;   v <- momentum v + g
      p <- p - lr (g + momentum v)   (Nesterov; else p - lr v)

  Args:
    learning_rate: step -> learning rate.
    momentum: of the velocity v.
    nesterov: whether to look ahead.
    weight_decay: added to the gradient before the momentum.
    clip_norm: the gradient's global norm is clipped to this; 0 for none.
  """
  clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
  return optax.chain(
    clip,
    optax.add_decayed_weights(weight_decay),
    optax.trace(momentum, nesterov),
    optax.scale_by_learning_rate(learning_rate),
  )


def freeze(
  optimizer: optax.GradientTransformation, frozen: str
) -> optax.GradientTransformation:
  """The optimiser for all but one part of the parameters.

  The part keeps no momentum, has no weight decay and does not count in the
  norm that is clipped.

  Args:
    optimizer: of the parameters {'backbone': ..., 'centres': ...}.
    frozen: 'backbone' or 'centres'; '' returns the optimiser as it is.
  """
  limits.check('freeze', frozen)
  if not frozen:
    return optimizer
  kinds = {'trained': optimizer, 'frozen': optax.set_to_zero()}
  return optax.partition(
    kinds,
    lambda params: {
      name: 'frozen' if name == frozen else 'trained' for name in params
    },
  )
