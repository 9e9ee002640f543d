"""A card: right, fast, and as large as planned.

On the first card that JAX finds, in under eight minutes: heads and the training
step against a float64 oracle; the labels that a head decides there against the
CPU's; the card's matrix peak; training steps of IR-50 and IR-100 in bfloat16
against the same in PyTorch (autocast, channels last, torch.compile, fused SGD);
the head alone; and the memory of a step against what tools/plan.py predicts.
It needs jax, flax, optax, numpy and torch, and no data. Each side has the card
for itself, in a process of its own. Where JAX has no card, all of it runs on
the CPU at toy sizes, which shows no more than that it runs.
"""

import concurrent.futures
import multiprocessing
import time

from benchmarks import timing
from benchmarks.accelerator import checks, heads, planned, sizes, training

BUDGET_SECS = 480
# When each must have ended, of the budget.
_OURS, _THEIRS, _HEADS = 0.5, 0.85, 0.95


def run(*, repeats: int = 5) -> list[timing.Row]:
  """All rows; what there was no time for is told as left out."""
  start = time.time()

  def until(share):
    return start + share * BUDGET_SECS

  found = _begin(sizes.of_this_machine).result()
  timing.tell(f'{found.device}: heads, step and labels')
  checked = _begin(checks.run, found).result()
  # Compiled on the CPU, while the card is at work.
  prediction = _begin(planned.peak_bytes, found)
  timing.tell('training steps, ours')
  ours = _begin(training.ours, found, repeats, until(_OURS)).result()
  planned_bytes = prediction.result()
  timing.tell('training steps, PyTorch')
  theirs = _begin(training.theirs, found, repeats, until(_THEIRS)).result()
  timing.tell('the head alone')
  alone = [
    _begin(side, found, repeats, until(_HEADS)).result()
    for side in (heads.ours, heads.theirs)
  ]
  rows = [_check_row(x, found) for x in checked]
  rows += [_matrix_row(ours), _peak_row(found, ours, planned_bytes)]
  rows += [_training_row(case, ours, theirs, found) for case in found.cases]
  rows += [
    _row(
      f'head, {found.head_rows} rows, {classes:,} classes, forward and'
      ' backward',
      *(side.get(classes, sizes.LEFT_OUT) for side in alone),
      'at least 1',
    )
    for classes in found.head_classes
  ]
  return rows


def _begin(function, *arguments) -> concurrent.futures.Future:
  """Calls a function in a process of its own, which then lets the card go."""
  context = multiprocessing.get_context('spawn')
  pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)
  future = pool.submit(function, *arguments)
  pool.shutdown(wait=False)
  return future


def _check_row(check, found) -> timing.Row:
  what = f'{check.what}, on {found.device}'
  values = [check.value]
  return timing.Row(
    what, check.ours, '', values, [], check.goal, check.note, unit=''
  )


def _matrix_row(ours) -> timing.Row:
  said = f'{ours.matrix_peak / 1e12:.3g} TFLOP/s'
  return timing.Row('measured matrix peak, bfloat16', said, '', [], [], '')


def _row(what, ours, theirs, goal, note='') -> timing.Row:
  """A line of two sides: the seconds of each, or words why there are none."""
  notes = [note]
  for side, secs in (('ours', ours), ('PyTorch', theirs)):
    if isinstance(secs, str):
      notes.append(f'{side}: {secs}')
  ours, theirs = ([] if isinstance(x, str) else x for x in (ours, theirs))
  note = '; '.join(filter(None, notes))
  return timing.Row(what, 'ours', 'PyTorch', ours, theirs, goal, note)


def _training_row(case, ours, theirs, found) -> timing.Row:
  mine = ours.secs.get(case, sizes.LEFT_OUT)
  other = theirs.get(case, sizes.LEFT_OUT)
  note = ''
  if not isinstance(mine, str):
    middle = timing.quartiles(mine)[1]
    share = ours.operations[case] / middle / ours.matrix_peak
    note = f'{case.batch / middle:,.0f} images/s, {share:.0%} of the peak'
  if not isinstance(other, str):
    rate = case.batch / timing.quartiles(other)[1]
    note += f'; PyTorch {rate:,.0f} images/s'
  what = (
    f'{found.net_names[case.net]} training step, bfloat16, batch {case.batch},'
    f' {case.classes:,} classes'
  )
  return _row(what, mine, other, 'at least 1', note.strip('; '))


def _peak_row(found, ours, planned_bytes) -> timing.Row:
  case = found.cases[0]
  what = (
    f'peak memory of {found.net_names[case.net]}, batch {case.batch},'
    f' {case.classes:,} classes'
  )
  measured = [ours.peak_bytes] if ours.peak_bytes else []
  notes = [] if measured else ['JAX does not tell the memory of this device']
  planned = []
  if isinstance(planned_bytes, str):
    notes.append(planned_bytes)
  else:
    planned.append(planned_bytes)
  sides = 'measured', 'planned'
  note, goal = '; '.join(notes), '0.9 to 1.1'
  return timing.Row(what, *sides, measured, planned, goal, note, unit='B')
