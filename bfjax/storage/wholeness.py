"""Which checkpoints of a run are whole, and which of them is meant.

Training goes on from the last whole one; those that are damaged are renamed
`STEP.damaged` first, so that nobody takes them for whole. Whoever else reads
a checkpoint gets the one asked for or an error, never another one.
"""

import json
import logging
import math
import os
import pathlib
import re

import jax

from bfjax import errors, peers
from bfjax.storage import digests

_log = logging.getLogger(__name__)
_STEP = re.compile(r'[1-9][0-9]*')
_DAMAGED = re.compile(r'(\d+)\.damaged(-\d+)?')


def folder_of(workdir: pathlib.Path, step: int) -> pathlib.Path:
  """Where the checkpoint of a step lies."""
  return workdir / 'checkpoints' / str(step)


def steps(workdir: pathlib.Path) -> list[int]:
  """The steps of the checkpoints in a workdir, ascending, whole or not."""
  return sorted(int(n) for n in _names(workdir) if _STEP.fullmatch(n))


def has_begun(workdir: pathlib.Path) -> bool:
  """Whether a run's workdir holds a checkpoint, whole or not."""
  return bool(steps(workdir) or _set_aside(workdir))


def check(folder: pathlib.Path, remedy: str) -> None:
  """Compares a folder with its digests; all processes share the work.

  Raises:
    UserError: if it is damaged, on every process.
  """
  if wrong := _problems(folder):
    raise errors.UserError(f'{folder} is damaged: {_few(wrong)}. {remedy}')


def last_whole_step(workdir: pathlib.Path) -> int:
  """The step that training goes on from, the same on every process.

  Every checkpoint is compared with its digests. A damaged one is renamed, and
  a warning says what is lost.

  Returns:
    0 if there is no checkpoint.

  Raises:
    UserError: if there are checkpoints, but none is whole; if a damaged one
      cannot be renamed.
  """
  # Those that the first process has.
  found = peers.exchange('looked for checkpoints', steps(workdir))[0]
  wrong = {step: _problems(folder_of(workdir, step)) for step in found}
  last = max((step for step in found if not wrong[step]), default=0)
  for step in found:
    if wrong[step] and jax.process_index() == 0:
      name = _rename(folder_of(workdir, step))
      if last:
        _log.warning(
          'The checkpoint of step %d is damaged (%s) and is kept as %s. Going'
          ' on from step %d: %d steps are lost.',
          *(step, _few(wrong[step]), name, last, max(step - last, 0)),
        )
  peers.exchange('set damaged checkpoints aside')
  if not last and has_begun(workdir):
    left = '; '.join(
      f'{name} ({_few(wrong[step])})' if step in wrong else name
      for name, step in _set_aside(workdir).items()
    )
    raise errors.UserError(
      f'No whole checkpoint is left in {workdir / "checkpoints"}, only {left}.'
      ' Put a whole copy of one there, under the number of its step, or train'
      ' anew in another --workdir.'
    )
  return last


def choose_step(
  workdir: pathlib.Path, wanted: str, best_metric: str = ''
) -> int:
  """The step of the checkpoint that is asked for, once it is found whole.

  Args:
    workdir: of a run.
    wanted: 'last', 'best' or a step number.
    best_metric: the score that tells the best; '' for the last.

  Raises:
    UserError: if there is no such checkpoint (those there are are listed), it
      is damaged, or damage leaves open which one it is.
  """
  there, aside = steps(workdir), _set_aside(workdir)
  by_score = wanted == 'best' and best_metric
  if by_score:
    candidates = there
    open_ones = [name for name, step in aside.items() if step not in there]
  elif wanted in ('last', 'best'):
    candidates, last = there[-1:], max(there, default=0)
    open_ones = [name for name, step in aside.items() if step > last]
  else:
    candidates, open_ones = [s for s in there if str(s) == wanted], []
  listed = ', '.join([*map(str, there), *aside]) or 'none'
  if open_ones and there:
    raise errors.UserError(
      f'It is open which checkpoint in {workdir / "checkpoints"} is the'
      f' {wanted} one: {", ".join(open_ones)} may have been it. Ask for a step,'
      f' or remove what is damaged. There are: {listed}.'
    )
  for step in candidates:
    check(folder_of(workdir, step), f'Ask for another step of: {listed}.')
  if by_score:
    candidates = _best(workdir, there, best_metric)
  if not candidates:
    raise errors.UserError(
      f'No checkpoint {wanted!r} in {workdir / "checkpoints"}. There are steps:'
      f' {listed}.'
    )
  return candidates[-1]


def superseded(
  workdir: pathlib.Path, latest: int, best_metric: str
) -> list[pathlib.Path]:
  """The checkpoints that are not wanted any more.

  Wanted are the `latest` ones, and the best by a score, if `best_metric` names
  one.
  """
  there = steps(workdir)
  wanted = {*there[-latest:], *_best(workdir, there, best_metric)[-1:]}
  return [folder_of(workdir, step) for step in there if step not in wanted]


def _best(workdir, steps, metric) -> list[int]:
  """Those of some steps with the highest score; none if none has any."""
  scores = {step: _score(workdir, step, metric) for step in steps}
  best = max(scores.values(), default=-math.inf)
  return [step for step in steps if scores[step] == best > -math.inf]


def _score(workdir, step, metric) -> float:
  """What a checkpoint was evaluated to; -inf if it was not."""
  path = folder_of(workdir, step) / 'metrics' / 'metrics'
  if not path.exists():
    return -math.inf
  return json.loads(path.read_text()).get(metric, -math.inf)


def _names(workdir) -> list[str]:
  folder = workdir / 'checkpoints'
  return sorted(os.listdir(folder)) if folder.is_dir() else []


def _set_aside(workdir) -> dict[str, int]:
  """Name -> step of the checkpoints that were found damaged."""
  matches = map(_DAMAGED.fullmatch, _names(workdir))
  return {match[0]: int(match[1]) for match in matches if match}


def _rename(folder: pathlib.Path) -> str:
  """Sets a damaged checkpoint aside and returns its new name."""
  target = folder.with_name(f'{folder.name}.damaged')
  number = 1
  while target.exists():
    number += 1
    target = folder.with_name(f'{folder.name}.damaged-{number}')
  try:
    os.rename(folder, target)
  except OSError as error:
    raise errors.UserError(
      f'{folder} is damaged, and cannot be renamed: {error.strerror}.'
    ) from error
  return target.name


def _problems(folder) -> list[str]:
  """What all processes together find wrong: something on each, or on none."""
  found = digests.problems(folder, jax.process_index(), jax.process_count())
  counts = peers.exchange('read its part of a checkpoint', len(found))
  if any(counts) and not found:
    found = [f'as process {counts.index(max(counts))} finds']
  return found


def _few(problems: list[str]) -> str:
  """The first of what is wrong, and how much more there is."""
  more = f', and {len(problems) - 1} more' if len(problems) > 1 else ''
  return problems[0] + more
