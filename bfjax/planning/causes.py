"""Why memory is held: state, activations, gradients, logits."""

import math
from collections import Counter

import jax

from bfjax import step
from bfjax.planning import compiling, costs, memory, prediction

# How the state is told: of which of its leaves, by a name in their path.
_OF_STATE = {
  'centres': 'class centres and momentum',
  'table': 'label table',
  'past': 'label table',
}
_BACKBONE = 'backbone and momentum'
ACTIVATIONS, GRADIENTS = 'activations', 'gradients'
LOGITS, PACKING = "logits and the head's own", 'packing'
BATCH = 'batch'
STATE = (*dict.fromkeys(_OF_STATE.values()), _BACKBONE)


def by_cause(compiled: compiling.Compiled) -> dict[str, int]:
  """Bytes of one device by cause; they add up to what the compiler says."""
  found = _state(compiled.state)
  sizes = compiled.memory
  found[BATCH] = sizes['arguments'] - found.total()
  small, wide = _gradient_sizes(compiled.state)

  def cause_of(x, computation) -> str:
    op_name = costs.op_name(computation, x)
    shapes = [array.dims for array in x.arrays]
    is_back = 'transpose(' in op_name
    if any(math.prod(shape) == wide for shape in shapes):
      return GRADIENTS
    if prediction.is_head(op_name):
      return LOGITS
    # Those that are reduced together lie in one long array.
    is_long = any(len(shape) == 1 and shape[0] >= small for shape in shapes)
    is_weight = 'BackwardFilter' in x.attributes or is_long
    return GRADIENTS if is_back and is_weight else ACTIVATIONS

  both = [
    memory.peak(compiled.program, cause_of, in_place)
    for in_place in (True, False)
  ]
  # As the compiler has done it.
  temporary = min(both, key=lambda x: abs(x.total() - sizes['temporary']))
  found += temporary
  found[PACKING] = sizes['temporary'] + sizes['results'] - temporary.total()
  return dict(found)


def in_all(compiled: compiling.Compiled) -> int:
  """Bytes of one device that a step holds at most."""
  return sum(compiled.memory.values())


def _state(state: step.TrainState) -> Counter:
  found = Counter(dict.fromkeys(STATE, 0))
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    names = [str(getattr(k, 'key', getattr(k, 'name', ''))) for k in path]
    cause = next((_OF_STATE[n] for n in names if n in _OF_STATE), _BACKBONE)
    found[cause] += compiling.bytes_of(leaf)
  return found


def _gradient_sizes(state) -> tuple[int, int]:
  """The elements of the least weight, and of a device's centres."""
  weights = jax.tree.leaves(state.params['backbone'])
  elements = [math.prod(x.shape) for x in weights if len(x.shape) > 1]
  centres = state.params['centres']
  return min(elements), math.prod(centres.sharding.shard_shape(centres.shape))


def logits_shape(config, state: step.TrainState) -> tuple[int, int]:
  """Rows of a micro-batch of all devices, and classes of one."""
  centres = state.params['centres']
  mine = centres.sharding.shard_shape(centres.shape)[0]
  return config.batch, mine // config.head.sub_centres


def passes(compiled: compiling.Compiled, config) -> list[str]:
  """The kernels that go over all logits of a device; see `costs.passes`."""
  return costs.passes(compiled.program, *logits_shape(config, compiled.state))
