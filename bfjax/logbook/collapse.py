"""Whether a training learns, as its own log lines tell.

A net that gives every class the same cosine c to an image tells no classes
apart, and its cross-entropy is

    chance(c) = log(1 + (C - 1) exp(s (o(c) - phi(c))))

of C classes at the scale s, with phi of the margin and o its logit of the
other classes, which is c in most. Every training begins there, near c = 0. It
collapses where it lowers chance(c) instead of telling classes apart: with an
angular margin o - phi falls as c does, so the embeddings turn away from all
centres, to where no gradient leads back and no label is ever corrected.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from bfjax.heads import margins

# What a run's metrics file calls the verdicts.
COLLAPSED, STRUGGLING = 'verdict/collapsed', 'verdict/struggling'

# Turned away: both cosines, of the own class and of the nearest other, whose
# mean is above 0 in any training that learns, are less than that.
_AWAY = -0.2
# Learning nothing is no symptom before so many epochs, and steps, after the
# warm-up.
_GRACE_EPOCHS = 2
_GRACE_STEPS = 100
# Learning nothing: so few rows more than by chance are told rightly, at a loss
# that is hardly below that of chance, unless they grow by such a factor in an
# epoch and are so many times those of chance.
_HARDLY = 0.05
_NEAR = 0.95
_GROWTH = 1.5
_ABOVE = 3
# Fallen back: to such a share of the rows that were once told rightly, if these
# were so many.
_FALLEN = 0.4
_LEARNED = 0.2
# Learning again: so many rows are nearest to the given label.
_RECOVERED = 0.4
# Struggling: fewer of the rows with right labels are told rightly at the end.
_ATTAINABLE = 0.8


class Task(NamedTuple):
  """What a training is about, as far as chance goes.

  Attributes:
    margin: of the head.
    scale: of its logits.
    num_classes: C.
    first_epoch: the first, from 1, by which something must have been learned.
    noise: the share of rows with a wrong label that is not to be corrected;
      None where that is not known.
    cures: what to say of how to do better.
  """

  margin: margins.Margin
  scale: float
  num_classes: int
  first_epoch: int = 1
  noise: float | None = None
  cures: str = ''


def first_epoch(warmup_epochs: float, steps_per_epoch: int) -> int:
  """The `Task.first_epoch` of a training with such a warm-up."""
  grace = max(_GRACE_EPOCHS, _GRACE_STEPS / steps_per_epoch)
  return math.ceil(warmup_epochs + grace)


def chance_loss(task: Task, cosine: float) -> float:
  """The cross-entropy of a net that gives all classes the same cosine."""
  margin = task.margin
  state = {k: jnp.float32(v) for k, v in margin.init_state().items()}
  cosines = jnp.full(1, cosine, jnp.float32)
  target = float(margin.phi(cosines, jnp.ones(1), state)[0])
  other = cosine
  if margin.others is not None:
    other = float(margin.others(cosines[None], cosines, state)[0, 0])
  excess = math.log(task.num_classes - 1) + task.scale * (other - target)
  return float(np.logaddexp(0, excess))


class Watch:
  """Follows a training line by line, and speaks once of what it sees.

  Attributes:
    has_collapsed: whether the training has, and has not recovered.
  """

  def __init__(self, task: Task, lines: Sequence[Mapping[str, float]]):
    """Goes on from the lines of the metrics file that there are."""
    self._task = task
    self._last = {x['epoch']: x for x in lines if 'train/loss' in x}
    self.has_collapsed = COLLAPSED in verdicts(lines)

  def see(
    self, line: Mapping[str, float], is_last: bool
  ) -> tuple[dict[str, float], str]:
    """Judges the newest training line.

    Args:
      line: 'epoch' and the averages of `averages.TrainMetrics`: 'train/loss',
        ...
      is_last: whether the training ends with it.

    Returns:
      (what is new, for the metrics file; the same in words). COLLAPSED is the
      epoch, or 0 after a recovery; STRUGGLING the share told rightly.
    """
    epoch, cures = line['epoch'], self._task.cures
    before = [x for k, x in self._last.items() if k < epoch]
    self._last[epoch] = line
    if self.has_collapsed:
      if line['train/accuracy'] <= _RECOVERED or _turns_away(line):
        return {}, ''
      self.has_collapsed = False
      return {COLLAPSED: 0.0}, 'The training has recovered from its collapse.'
    if found := _symptom(before, line, self._task):
      self.has_collapsed = True
      said = f'The training has collapsed: {found}. {cures}'
      return {COLLAPSED: float(epoch)}, said
    if is_last and (found := _shortfall(line, self._task.noise)):
      said = (
        f'The training has struggled: {found}. More epochs may do, or a larger'
        f' optim.lr where the loss was still falling. {cures}'
      )
      return {STRUGGLING: _told_rightly(line)}, said
    return {}, ''


def verdicts(
  lines: Iterable[Mapping[str, float]], last_step: float = math.inf
) -> dict[str, float]:
  """What holds of a training by the lines of its metrics file up to a step.

  Returns:
    COLLAPSED -> the epoch after which that was plain, STRUGGLING -> the share
    of rows told rightly at the end; each only where it is so.
  """
  found = {}
  for line in lines:
    if line['step'] <= last_step:
      found |= {k: line[k] for k in (COLLAPSED, STRUGGLING) if k in line}
  return {name: value for name, value in found.items() if value}


def in_words(verdicts: Mapping[str, float]) -> str:
  """What the training did, by the verdict among some scores; '' if none is."""
  if COLLAPSED in verdicts:
    return f'collapsed in epoch {verdicts[COLLAPSED]:.0f}'
  if STRUGGLING in verdicts:
    told = 100 * verdicts[STRUGGLING]
    return f'struggled: {told:.0f} % of the rows told rightly'
  return ''


def _symptom(before, now, task) -> str:
  """What shows that a training has collapsed, in words; '' if nothing does.

  `before` has the last training line of every epoch before the newest, `now`.
  """
  own, other = now['train/cosine_target'], now['train/cosine_other']
  if _turns_away(now):
    return (
      'the embeddings have turned away from all class centres (cosine'
      f' {own:.2f} to the own, {other:.2f} to the nearest other)'
    )
  told, best = _told_rightly(now), max(map(_told_rightly, before), default=0.0)
  if best > _LEARNED and told < _FALLEN * best:
    return (
      f'{100 * told:.1f} % of the rows are told rightly, after'
      f' {100 * best:.1f} % before'
    )
  # Corrections count for nothing here: at chance they are at random too.
  accuracy, by_chance = now['train/accuracy'], 1 / task.num_classes
  known = before[-1]['train/accuracy'] if before else math.inf
  is_learning = accuracy >= min(
    by_chance + _HARDLY, 1, max(_GROWTH * known, _ABOVE * by_chance)
  )
  if now['epoch'] < task.first_epoch or is_learning:
    return ''
  loss, at_chance = now['train/loss'], chance_loss(task, own)
  if loss <= _NEAR * at_chance:
    return ''
  return (
    f'{100 * accuracy:.1f} % of the rows are told rightly'
    f' ({100 * by_chance:.1f} % by chance) at a loss of'
    f' {loss:.2f} ({at_chance:.2f} by chance)'
  )


def _turns_away(line) -> bool:
  return max(line['train/cosine_target'], line['train/cosine_other']) < _AWAY


def _told_rightly(line) -> float:
  """The share of rows nearest to the given label, or to its correction."""
  return line['train/accuracy'] + line['train/corrected']


def _shortfall(line, noise) -> str:
  """What shows that a training ends short of what can be had; '' if nothing."""
  told = _told_rightly(line)
  if told >= _ATTAINABLE * (1 - (noise or 0.0)):
    return ''
  found = (
    f'it ends with {100 * told:.0f} % of the rows told rightly, at a loss of'
    f' {line["train/loss"]:.2f}'
  )
  if noise is None:
    return (
      f'{found}; unless some {100 * (1 - told):.0f} % of the labels are wrong,'
      ' more can be had'
    )
  return f'{found}, where up to {100 * (1 - noise):.0f} % can be'
