"""The class-parallel softmax: embeddings and centres in, losses out.

The one module with collectives. Each device holds some of the batch's rows
and some of the class centres. Embeddings and labels are gathered, every
device computes the cosines of all rows with its own classes, and what then
crosses the devices is a few numbers a row: maxima, sums, and the cosines that
are read at one class. On the way back the gradients of the embeddings are
reduce-scattered. Nothing as long as the classes ever leaves its device.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from bfjax import errors, margins, sharding

AXIS = sharding.AXIS


class HeadOutput(NamedTuple):
  """Per-row results, split over the devices by row, and the margin's state.

  Attributes:
    loss: [n], cross-entropy of scale * logit at the label used.
    penalty: [n], the penalty, not yet weighted by lambda; 0 without one.
    label: int32 [n], the label used: the given one, or its correction.
    target_cosine: [n], cosine of the label used.
    other_cosine: [n], cosine of the nearest class other than the label used.
    correct: bool [n], the given label is the nearest class; a tie is not.
    state: dict of scalars, replicated.
  """

  loss: jax.Array
  penalty: jax.Array
  label: jax.Array
  target_cosine: jax.Array
  other_cosine: jax.Array
  correct: jax.Array
  state: dict


def make_head(
  mesh: Mesh,
  *,
  margin: margins.Margin,
  rule: Callable | None,
  penalty: Callable | None,
  num_classes: int,
  scale: float,
) -> Callable:
  """Returns the head for this mesh, a pure function of arrays.

    head(embedding, centres, label, mask, state, correcting) -> HeadOutput

  With c_j = <e, w_j> / (|e| |w_j|) and y' the label after the rule,

    loss = log sum_j exp(scale * z_j) - scale * z_y',
    z_y' = phi(c_y'),  z_j = others(c_j).

  The decision of the rule and the state have no gradient. Ties go to the
  lowest class. An embedding or a centre of length 0 has cosine 0 with
  everything and gets no gradient.

  Arguments of the head:
    embedding: [n, d], any float type, computed with in the centres' type;
      n divisible by the devices. Rows lie over them.
    centres: f32 or f64 [padded_classes, d], classes lie over the devices;
      padded_classes = sharding.pad_to(num_classes, mesh). What the rows beyond
      num_classes hold has no influence, and they get no gradient.
    label: int32 [n], the given labels, in [0, num_classes).
    mask: bool [n], the rows that count in the state.
    state: what margin.init_state() gave, or the previous step's.
    correcting: bool scalar, whether the rule is in force yet.

  Args:
    mesh: from sharding.make_mesh.
    margin: from margins.build.
    rule: from corrections.RULES; with None nothing of it is computed.
    penalty: from corrections.PENALTIES, likewise.
    num_classes: the number of real classes.
    scale: s.

  Raises:
    UserError: if there are fewer than two classes.
  """
  if num_classes < 2:
    raise errors.UserError(
      f'A softmax needs at least 2 classes, not {num_classes}: the data set '
      'has images of one person only.'
    )
  split, whole = PartitionSpec(AXIS), PartitionSpec()
  per_device = functools.partial(
    _head,
    margin=margin,
    rule=rule,
    penalty=penalty,
    num_classes=num_classes,
    scale=scale,
  )
  return jax.shard_map(
    per_device,
    mesh=mesh,
    in_specs=(split, split, split, split, whole, whole),
    out_specs=HeadOutput(*[split] * 6, state=whole),
  )


def _head(
  embedding,
  centres,
  label,
  mask,
  state,
  correcting,
  *,
  margin,
  rule,
  penalty,
  num_classes,
  scale,
):
  """One device's part: its own rows and classes in, its own rows out."""
  unit, norm = _normalise(embedding.astype(centres.dtype))
  state = jax.tree.map(lambda x: jnp.asarray(x, centres.dtype), state)
  unit = jax.lax.all_gather(unit, AXIS, tiled=True)
  norm, given, mask = (
    jax.lax.all_gather(
      jax.lax.stop_gradient(x), AXIS, tiled=True, to='invarying'
    )
    for x in (norm, label, mask)
  )
  classes = jax.lax.axis_index(AXIS) * len(centres) + jnp.arange(len(centres))
  classes = classes.astype(given.dtype)
  real = classes < num_classes
  # A padded class is as far as can be, and after every real one in a tie.
  cosine = jnp.where(real[None], _cosines(unit, centres), -1)

  given_cosine = _read(cosine, classes, given)
  other_cosine = _nearest_other(cosine, classes, given)
  correct = jax.lax.stop_gradient(given_cosine) > other_cosine
  state = margin.see_norms(norm, mask, state)
  label, target_cosine = given, given_cosine
  if rule is not None:
    other = _lowest_equal(cosine, classes, given, other_cosine)
    other_phi = margin.phi(other_cosine, norm, state)
    accept = rule(other_phi, jax.lax.stop_gradient(given_cosine))
    label = jnp.where(correcting & accept, other, given)
    target_cosine = _read(cosine, classes, label)
    other_cosine = _nearest_other(cosine, classes, label)
  state = margin.see_targets(jax.lax.stop_gradient(target_cosine), mask, state)

  target_phi = margin.phi(target_cosine, norm, state)
  # Cast before it is broadcast: the transpose of the cast is a sum over the
  # devices, which is to be of [n] numbers and not of [n, c].
  local_phi = jax.lax.pcast(target_phi, AXIS, to='varying')
  logits = scale * jnp.where(
    classes[None] == label[:, None],
    local_phi[:, None],
    margin.others(cosine, target_cosine[:, None], state),
  )
  loss = _log_sum_exp(logits, real) - scale * target_phi
  extra = jnp.zeros_like(loss)
  if penalty is not None:
    other = _lowest_equal(cosine, classes, label, other_cosine)
    extra = penalty(_read(cosine, classes, other), target_phi)

  mine = (loss, extra, label, target_cosine, other_cosine, correct)
  return HeadOutput(*map(_own_rows, mine), state=state)


def _normalise(vectors):
  """Vectors [n, d] of length 1, and their lengths [n]; zero stays zero."""
  square = (vectors * vectors).sum(-1)
  norm = jnp.sqrt(jnp.where(square > 0, square, 1))
  unit = jnp.where((square > 0)[:, None], vectors / norm[:, None], 0)
  return unit, jnp.where(square > 0, norm, 0)


def _cosines(unit, centres):
  """Cosines [n, c] of unit vectors [n, d] with centres [c, d].

  The products are divided by the centres' lengths, rather than the centres,
  which saves two arrays of the centres' size.
  """
  square = (centres * centres).sum(-1)
  inverse = jnp.where(
    square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0
  )
  product = jnp.matmul(unit, centres.T, precision=jax.lax.Precision.HIGHEST)
  return jax.lax.clamp(-1.0, product * inverse[None], 1.0)


def _read(values, classes, label):
  """values[i, label[i]], wherever that class lies: [n]; has a gradient."""
  at_label = classes[None] == label[:, None]
  return jax.lax.psum(jnp.where(at_label, values, 0).sum(-1), AXIS)


def _nearest_other(cosine, classes, label):
  """The largest cosine but for that of `label`: [n], no gradient."""
  cosine = jax.lax.stop_gradient(cosine)
  others = jnp.where(classes[None] == label[:, None], -jnp.inf, cosine)
  return jax.lax.pmax(others.max(-1), AXIS)


def _lowest_equal(cosine, classes, label, value):
  """The lowest class but `label` whose cosine equals `value`: int32 [n]."""
  # An arg-max carries two numbers along, which XLA:CPU does not vectorise.
  found = (cosine == value[:, None]) & (classes[None] != label[:, None])
  last = jnp.iinfo(classes.dtype).max
  return jax.lax.pmin(jnp.where(found, classes[None], last).min(-1), AXIS)


def _log_sum_exp(logits, real):
  """log(sum(exp(logits))) over the real classes of all devices: [n]."""
  logits = jnp.where(real[None], logits, -jnp.inf)
  top = jax.lax.pmax(jax.lax.stop_gradient(logits).max(-1), AXIS)
  total = jax.lax.psum(jnp.exp(logits - top[:, None]).sum(-1), AXIS)
  return jnp.log(total) + top


def _own_rows(values):
  """This device's rows of an array that every device has in full."""
  rows = len(values) // jax.lax.axis_size(AXIS)
  first = jax.lax.axis_index(AXIS) * rows
  return jax.lax.dynamic_slice_in_dim(values, first, rows)
