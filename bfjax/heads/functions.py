"""A head for a training loop of one's own: two pure functions, `init`, `apply`.

As an optimiser of optax is `init` and `update`: the centres and the state are
yours, whatever makes the embeddings too.
"""

import dataclasses
import functools
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bfjax import errors, labels, sharding
from bfjax.heads import margins, penalties, rules, softmax

# Fields of `softmax.Head` that are made here, and those that `apply` would have
# to be told more for; the others are options of `make`.
_MADE = 'mesh', 'margin', 'rule', 'penalty', 'num_classes', 'scale', 'kept'
_NOT_HERE = 'sub_centres', 'sampling'


class Loss(NamedTuple):
  """What `apply` makes of n rows.

  Attributes:
    loss: [n], of each row: weight (cross-entropy + penalty_weight penalty).
    label: int32 [n], the label trained with: the given one, or its correction.
    weight: [n], how much the rule lets the row count, 0 to 1.
    correct: bool [n], whether the given label is the nearest class.
    state: for the next call.
    past: `labels.Past` for the next visit of these rows; None if the rule does
      not remember visits.
  """

  loss: jax.Array
  label: jax.Array
  weight: jax.Array
  correct: jax.Array
  state: Any
  past: labels.Past | None


@dataclasses.dataclass(frozen=True)
class HeadFunctions:
  """A head as two pure functions of arrays, `init` and `apply`; see `make`."""

  head: softmax.Head

  @property
  def mesh(self) -> jax.sharding.Mesh:
    """The devices that classes and rows lie over."""
    return self.head.mesh

  def init(self, key: jax.Array, embedding_dim: int) -> tuple[jax.Array, Any]:
    """New centres, parameters to be trained, and the state.

    Args:
      key: that the centres are drawn from.
      embedding_dim: d.

    Returns:
      (float32 [padded classes, d], a dict of arrays that go from call to call).
    """
    num_classes = self.head.num_classes
    padded = sharding.pad_to(num_classes, self.mesh)
    centres = draw_centres(key, (padded, embedding_dim), num_classes)
    # What is of classes lies over the devices, as it does after a step.
    return jax.tree.map(
      lambda x: jax.device_put(x, _place(x, padded, self.mesh)),
      (centres, self.head.init_state()),
    )

  @functools.partial(jax.jit, static_argnames='self')
  def apply(
    self,
    centres,
    state,
    embedding,
    label,
    *,
    mask=None,
    correcting=True,
    penalty_weight=0.0,
    past=None,
  ) -> Loss:
    """Losses of n rows, which the number of devices divides.

    Example:
      With a label table, which keeps what each row was trained with:

      >>> import bfjax, jax, numpy as np
      >>> head = bfjax.heads.make('cosface', num_classes=4, rule='boundary')
      >>> centres, state = head.init(jax.random.key(0), embedding_dim=4)
      >>> given, rows = np.arange(32) % 4, np.arange(0, 32, 2)
      >>> table = bfjax.labels.make(given, head.mesh)
      >>> near_3 = np.tile(centres[3], (16, 1))  # all rows are of class 3
      >>> out = head.apply(centres, state, near_3, given[rows])
      >>> table = bfjax.labels.update(
      ...   table, rows, out.label, rows >= 0, head.mesh
      ... )
      >>> print(bfjax.labels.look_up(table, np.arange(8), head.mesh))
      [3 1 3 3 3 1 3 3]

    Args:
      centres: float32 [padded classes, d].
      state: what `init` gave, or the call before.
      embedding: [n, d], any float type, of any length but 0.
      label: int32 [n], the given labels, in [0, num_classes).
      mask: bool [n], the rows that count in the state; None: all.
      correcting: whether the rule is in force yet; may be traced.
      penalty_weight: lambda; may be traced.
      past: of rules that remember visits, what the last one left.

    Raises:
      UserError: if the rule remembers visits and there is no `past`.
    """
    if self.head.remembers and past is None:
      raise errors.UserError(
        'This head remembers visits: give past, a bfjax.labels.Past of the'
        ' rows, at first (label, label, zeros).'
      )
    mask = jnp.ones(len(label), bool) if mask is None else mask
    now = softmax.Now(jnp.asarray(correcting))
    out = self.head(embedding, centres, label, mask, state, now, past)
    loss = out.weight * (out.loss + penalty_weight * out.penalty)
    return Loss(loss, out.label, out.weight, out.correct, out.state, out.past)


def make(
  margin: str = 'arcface',
  *,
  num_classes: int,
  rule: str = 'none',
  penalty: str = 'none',
  s: float = 64.0,
  steps_per_epoch: int = 0,
  mesh: jax.sharding.Mesh | None = None,
  **options,
) -> HeadFunctions:
  """A class-parallel softmax with a margin, and a rule that corrects labels.

  Its gradients are exact. A label that the rule does not correct at this visit
  comes back as it was given: who wants a correction to stay keeps a label
  table, see `bfjax.labels`.

  Example:
    >>> import bfjax, jax
    >>> head = bfjax.heads.make(
    ...   'arcface', num_classes=10, rule='boundary', m=0.5, s=32.0
    ... )
    >>> centres, state = head.init(jax.random.key(0), embedding_dim=4)
    >>> embedding = jax.random.normal(jax.random.key(1), (16, 4))
    >>> label = jax.numpy.arange(16) % 10
    >>> def objective(centres, embedding, state):
    ...   out = head.apply(centres, state, embedding, label, correcting=False)
    ...   return out.loss.mean(), out
    >>> gradient = jax.jit(jax.grad(objective, argnums=(0, 1), has_aux=True))
    >>> (of_centres, of_embedding), out = gradient(centres, embedding, state)
    >>> out.loss.shape, of_embedding.shape, bool((out.label == label).all())
    ((16,), (16, 4), True)

  Args:
    margin: 'softmax', 'arcface', 'cosface', 'adaface' and the others of
      `margins.MARGINS`.
    num_classes: the number of classes.
    rule: 'none', 'boundary' (BoundaryFace), 'posterior' (ours) and the others
      of `rules.RULES`.
    penalty: 'none' or 'boundary'.
    s: the scale, that cosines are multiplied with.
    steps_per_epoch: how often `apply` is called in an epoch; for rules that
      look back an epoch ('posterior', 'repface').
    mesh: the devices, along one axis as `bfjax.sharding.make_mesh` has it; all
      that there are if left out.
    **options: the margin's own numbers, such as m, in radians; and what else
      `softmax.Head` can be told by name, such as visits.

  Raises:
    UserError: if there is no such margin, rule, penalty or option, a number is
      out of range, there are fewer than two classes, or the rule needs
      steps_per_epoch.
  """
  of_margin, of_head = _sorted(margin, options)
  chosen = rules.build(rule)
  if chosen and chosen.guarded and steps_per_epoch < 1:
    raise errors.UserError(
      f'The rule {rule!r} looks back an epoch: give steps_per_epoch, how often'
      f' the head is called in one, not {steps_per_epoch}.'
    )
  head = softmax.Head(
    sharding.make_mesh() if mesh is None else mesh,
    margin=margins.build(margin, **of_margin),
    rule=chosen,
    penalty=errors.choose('penalty', penalty, penalties.PENALTIES),
    num_classes=num_classes,
    scale=s,
    kept=0.5 ** (1 / steps_per_epoch) if steps_per_epoch else 0.0,
    **of_head,
  )
  return HeadFunctions(head)


def draw_centres(key, shape, num_centres: int, how: str = 'xavier'):
  """New class centres, float32.

  Args:
    key: that they are drawn from.
    shape: [centres, with some to fill up the devices; embedding_dim].
    num_centres: without those.
    how: 'xavier' (uniform), or 'normal' (deviation 0.01, as CurricularFace's).
  """
  if how == 'normal':
    return 0.01 * jax.random.normal(key, shape, jnp.float32)
  bound = (6 / (num_centres + shape[1])) ** 0.5
  return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


def _sorted(margin, options):
  """The margin's own options, and those of `softmax.Head`."""
  make_margin = errors.choose('margin', margin, margins.MARGINS)
  of_margin = inspect.signature(make_margin).parameters
  fields = {x.name for x in dataclasses.fields(softmax.Head)} - {
    *_MADE,
    *_NOT_HERE,
  }
  for option in options:
    known = dict.fromkeys([*of_margin, *fields])
    errors.choose(f'option of a head with {margin!r}', option, known)
  own = {k: v for k, v in options.items() if k in of_margin}
  return own, {k: v for k, v in options.items() if k not in own}


def _place(array, padded_classes, mesh):
  is_split = array.ndim and len(array) == padded_classes
  return sharding.rows(mesh) if is_split else sharding.replicated(mesh)
