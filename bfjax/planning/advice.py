"""What to change where a plan does not fit its cards."""

import math

from bfjax.planning import causes

# What of a card's memory JAX takes by itself, and what it can be given.
USUAL_SHARE, LARGEST_SHARE = 0.75, 0.95
# Of a card's memory, for the logits of one chunk and their gradient.
_CHUNK_SHARE = 1 / 40
_TELLING_SHARE = 0.1  # of all that is held: less is not worth a change


def verdict(held: int, memory_bytes: int) -> str:
  """Whether so many bytes fit a card, in words; '' where there is no limit."""
  if not memory_bytes:
    return ''
  of = f'of {memory_bytes / 1e9:.1f} GB'
  if held <= USUAL_SHARE * memory_bytes:
    return f'{of}: fits'
  if held <= LARGEST_SHARE * memory_bytes:
    return (
      f'{of}: fits with XLA_PYTHON_CLIENT_MEM_FRACTION={LARGEST_SHARE}, since'
      f' JAX takes {USUAL_SHARE:.0%} of a card by itself'
    )
  return f'{of}: does not fit'


def remedies(
  by_cause: dict[str, int], config, devices: int, memory_bytes: int
) -> list[str]:
  """What would make it fit, the most effective first; [] if it fits.

  Args:
    by_cause: of `causes.by_cause`.
    config: of the run.
    devices: cards.
    memory_bytes: of a card; 0 for no limit.
  """
  held = sum(by_cause.values())
  if not memory_bytes or held <= USUAL_SHARE * memory_bytes:
    return []
  logits = by_cause.get(causes.LOGITS, 0)
  activations = by_cause.get(causes.ACTIVATIONS, 0)
  state = sum(by_cause[name] for name in causes.STATE)
  state += by_cause.get(causes.GRADIENTS, 0)
  parts = [
    (logits, _of_logits(logits, config, devices, memory_bytes)),
    (activations, _of_activations(activations, config, devices)),
    (state, _of_state(state, config, devices)),
  ]
  return [
    say
    for size, said in sorted(parts, reverse=True)
    for say in said
    if size > _TELLING_SHARE * held
  ]


def _of_logits(held, config, devices, memory_bytes):
  half = f'{held / 2e9:.1f} GB'
  found = []
  if not config.head.get('chunk_classes', True):
    room = _CHUNK_SHARE * memory_bytes / (8 * config.batch)
    chunk = 2 ** max(10, int(math.log2(max(room, 1))))
    less = max(held - 8 * config.batch * chunk, 0) / 1e9
    found.append(
      f'--config.head.chunk_classes={chunk}: logits of so many classes at a'
      f' time, about {less:.1f} GB less'
    )
  found.append(
    f'a smaller config.batch: every card holds logits of all {config.batch:,}'
    f' rows with its classes; half of the rows are {half} less, and'
    f' config.accumulate={2 * config.accumulate} makes the update the same'
  )
  found.append(f'{2 * devices} cards with the same config.batch: {half} less')
  return found


def _of_activations(held, config, devices):
  half = f'{held / 2e9:.1f} GB'
  found = []
  if config.backbone.get('dtype') != 'bfloat16':
    found.append(f'--config.backbone.dtype=bfloat16: about {half} less')
  if not config.backbone.get('remat', True):
    found.append(
      '--config.backbone.remat=True: activations are computed again on the way'
      ' back'
    )
  if config.batch // devices > 1:
    found.append(
      f'fewer rows a card than {config.batch // devices}: half of them are'
      f' {half} less, and config.accumulate={2 * config.accumulate} makes the'
      ' update the same'
    )
  return found


def _of_state(held, config, devices):
  found = [f'{2 * devices} cards: {held / 2e9:.1f} GB less of centres on each']
  if config.optim.get('momentum_dtype', 'bfloat16') != 'bfloat16':
    found.append('--config.optim.momentum_dtype=bfloat16: a quarter less')
  if config.head.sub_centres > 1:
    found.append(
      f'fewer sub-centres than {config.head.sub_centres} (head.sub_centres)'
    )
  return found
