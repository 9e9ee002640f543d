"""The class-parallel softmax: embeddings and centres in, losses out.

Each device holds some of the batch's rows and some of the class centres.
Embeddings and labels are gathered, every device looks at the cosines of all
rows with its own classes, see `search`, and what then crosses the devices is a
few numbers a row. Nothing as long as the classes ever leaves its device.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from bfjax import errors, labels, sharding
from bfjax.heads import (
  classes,
  decisions,
  margins,
  rules,
  samples,
  search,
  subcentres,
)

_SPLIT, _WHOLE = PartitionSpec(classes.AXIS), PartitionSpec()


class HeadOutput(NamedTuple):
  """Per-row results, split over the devices by row, and the head's state.

  Attributes:
    loss: [n], cross-entropy at the label used; of soft labels, by their shares.
    penalty: [n], the penalty, not yet weighted by lambda; 0 without one.
    label: int32 [n], the label used: the given one, or its correction.
    weight: [n], of the row's loss and penalty, as the rule has it; else 1.
    target_cosine: [n], cosine of the label used.
    other_cosine: [n], cosine of the nearest class other than the label used.
    own_cosine: [n], cosine of the class `own`.
    correct: bool [n], the given label is the nearest class; a tie is not.
    past: `labels.Past` of the next visit, int32 [n] each; None without.
    state: see `init_state`; what is of classes lies as the centres do.
  """

  loss: jax.Array
  penalty: jax.Array
  label: jax.Array
  weight: jax.Array
  target_cosine: jax.Array
  other_cosine: jax.Array
  own_cosine: jax.Array
  correct: jax.Array
  past: labels.Past | None
  state: dict


class Now(NamedTuple):
  """What the epoch decides: scalars, which may be traced.

  Attributes:
    correcting: whether the rule is in force yet.
    rule_margin: the rule's own margin; None: the margin's phi.
    dropping: whether minor sub-centres are left out.
    draw: the number of the draw of classes, another one at each call.
  """

  correcting: jax.Array | bool
  rule_margin: jax.Array | float | None = None
  dropping: jax.Array | bool = False
  draw: jax.Array | int = 0


@dataclasses.dataclass(frozen=True)
class Head:
  """A head for a mesh; called, it is a pure function of arrays.

  Attributes:
    mesh: from sharding.make_mesh.
    margin: from margins.build.
    rule: from rules.build; with None nothing of it is computed.
    penalty: from penalties.PENALTIES, likewise.
    num_classes: the number of real classes.
    scale: s.
    kept: what each call keeps of the counts of rows in the state, below 1.
    sub_centres: None for one centre a class.
    visits: in a row that must agree for a label to change; unsure until then.
    chunk_classes: the most classes whose cosines with all rows a device has at
      once, which are then computed twice; 0: all it holds.
    precision: of the products, one of `classes.PRECISIONS`.
    sampling: of the classes that the loss is of; None: all.

  Raises:
    UserError: if there are fewer than two classes.
  """

  mesh: Mesh
  _: dataclasses.KW_ONLY
  margin: margins.Margin
  rule: rules.Rule | None
  penalty: Callable | None
  num_classes: int
  scale: float
  kept: float = 0.0
  sub_centres: subcentres.SubCentres | None = None
  visits: int = 1
  chunk_classes: int = 0
  precision: str = 'float32'
  sampling: samples.Sampling | None = None

  def __post_init__(self):
    if self.num_classes < 2:
      raise errors.UserError(
        f'A softmax needs at least 2 classes, not {self.num_classes}: the data'
        ' set has images of one person only.'
      )

  @property
  def looks_at_all_first(self) -> bool:
    """Whether the rule looks at classes that the loss is not of."""
    if self.sampling is None or self.rule is None:
      return False
    return self.sampling.rule_sees == 'all'

  @property
  def remembers(self) -> bool:
    """Whether it wants to be given what earlier visits have left."""
    return self.visits > 1 or bool(self.rule and self.rule.remembers)

  def init_state(self) -> dict:
    """What is carried along: float32 arrays; {} where there is no need.

    'margin' and 'rule' are theirs, 'class_rows' the guard's, 'sub_centre_use'
    is how often each sub-centre was the nearest of its class, and 'sampling',
    where the rule sees sampled classes, is `samples.new_state`.
    """
    padded = sharding.pad_to(self.num_classes, self.mesh)
    use = self.sub_centres.new_use(padded) if self.sub_centres else {}
    state = {
      'margin': self.margin.init_state(),
      'rule': self.rule.init_state() if self.rule else {},
      'class_rows': decisions.new_class_rows(self.rule, padded),
      'sub_centre_use': use,
    }
    if self.sampling and self.rule and not self.looks_at_all_first:
      state['sampling'] = samples.new_state()
    return state

  def tell(self, state: dict) -> dict:
    """Scalars worth logging of a state: what the rule has learned.

    And 'sampled_otherwise': of the rows that were looked at for that, in about
    the last epoch, the share whose label would be another if the rule saw all
    classes.
    """
    told = {}
    if self.rule:
      told = self.rule.tell(state['rule'], self.num_classes)
    if 'sampling' in state:
      told['sampled_otherwise'] = samples.tell(state['sampling'])
    return told

  def __call__(
    self, embedding, centres, label, mask, state, now: Now, past=None, own=None
  ) -> HeadOutput:
    """Losses of all rows and what a step needs to know of them.

    With c_j = <e, w_j> / (|e| |w_j|) and y' the label after the rule,

      loss = log sum_j exp(scale * z_j) - scale * z_y',
      z_y' = phi(c_y'),  z_j = others(c_j).

    With sub-centres, c_j is the largest of the class's. The decision of the
    rule and the state have no gradient. Ties go to the lowest class. An
    embedding or a centre of length 0 has cosine 0 with all and no gradient.

    Args:
      embedding: [n, d], any float type, computed with in the centres' type;
        n divisible by the devices. Rows lie over them.
      centres: f32 or f64 [padded_classes, d], classes lie over the devices;
        padded_classes = sharding.pad_to(num_classes, mesh). What the rows
        beyond num_classes hold has no influence, and they get no gradient.
        With K sub-centres [padded_classes K, d].
      label: int32 [n], the given labels, in [0, num_classes).
      mask: bool [n], the rows that count in the state.
      state: what `init_state` gave, or the call before.
      now: what the epoch decides.
      past: what earlier visits have left; None unless it `remembers`.
      own: int32 [n], whose cosines are told too; None for the given labels.
    """
    spread = 'class_rows', 'sub_centre_use'
    of_state = {name: _SPLIT if name in spread else _WHOLE for name in state}
    mapped = jax.shard_map(
      functools.partial(_on_device, self),
      mesh=self.mesh,
      in_specs=(*[_SPLIT] * 3, of_state, _WHOLE, _SPLIT),
      out_specs=HeadOutput(*[_SPLIT] * 9, of_state),  # type: ignore[arg-type,call-arg]
    )
    rows = label, mask, label if own is None else own
    return mapped(embedding, centres, rows, state, now, past)


def _on_device(head, embedding, centres, rows, state, now, past):
  """One device's part: its own rows and classes in, its own rows out."""
  unit, norm = classes.normalise(embedding.astype(centres.dtype))
  unit = classes.gather(unit)
  rows = decisions.Rows(*map(classes.all_rows, (norm, *rows)))
  past = jax.tree.map(classes.all_rows, past)
  state = jax.tree.map(lambda x: jnp.asarray(x, centres.dtype), state)
  state['margin'] = head.margin.see_norms(rows.norm, rows.mask, state['margin'])
  each = head.sub_centres.count if head.sub_centres else 1
  asked = search.Asked(rows, state, now, past)
  found, used, state, past, own = search.search(
    head, centres.reshape(-1, each * centres.shape[1]), unit, asked
  )
  out = _losses(head, found, used, rows, state['margin'])
  out |= dict(label=used.label, weight=used.weight, past=past, own_cosine=own)
  if head.sub_centres:
    is_out = now.dropping & head.sub_centres.is_far(out['target_cosine'])
    out['weight'] = jnp.where(is_out, 0, used.weight)
  return HeadOutput(**jax.tree.map(classes.own_rows, out), state=state)


def _losses(head, found, used, rows, state):
  """Losses, penalties and cosines, by their names; `state` is the margin's."""
  # log(1 + sum_j exp(s z_j) / exp(s z_y)): the cross-entropy, without a
  # difference of nearly equal numbers where the row is sure of its label.
  phi = [head.margin.phi(of.cosine, rows.norm, state) for of in found.of]
  loss, *of_second = (
    jax.nn.softplus(of.log_sum - head.scale * x)
    for of, x in zip(found.of, phi, strict=True)
  )
  if of_second:
    loss = (1 - used.share) * loss + used.share * of_second[0]
  penalty = jnp.zeros_like(loss)
  if head.penalty is not None:
    penalty = head.penalty(found.other_cosine, phi[0])
  target_cosine = found.of[0].cosine
  return dict(
    loss=loss,
    penalty=penalty,
    target_cosine=target_cosine,
    other_cosine=found.other_cosine,
    correct=(used.label == rows.given) & (target_cosine > found.other_cosine),
  )
