"""Where the numbers that a run measures are written."""

import json
import math
import pathlib

from clu import metric_writers

from bfjax import atomic, errors


class MetricsFile(metric_writers.SummaryWriter):
  """Writes TensorBoard events, and scalars as lines of `metrics.jsonl` too.

  A line is JSON: {"step": 100, "train/loss": 5.1, ...}. On opening, lines after
  `last_step` are dropped: they belong to steps that a resumed run is about to
  take again.
  """

  def __init__(self, workdir: pathlib.Path, last_step: int):
    path = workdir / 'metrics.jsonl'
    kept = [s for s in read_metrics(path) if s['step'] <= last_step]
    atomic.write_text(path, ''.join(json.dumps(x) + '\n' for x in kept))
    self._file = path.open('a')
    super().__init__(str(workdir / 'tensorboard'))

  def write_scalars(self, step, scalars):
    """See `metric_writers.MetricWriter`."""
    values = {name: float(value) for name, value in sorted(scalars.items())}
    values = {k: v if math.isfinite(v) else None for k, v in values.items()}
    self._file.write(json.dumps({'step': int(step), **values}) + '\n')
    self._file.flush()
    super().write_scalars(step, scalars)

  def close(self):
    """See `metric_writers.MetricWriter`."""
    self._file.close()
    super().close()


def read_metrics(path: pathlib.Path) -> list[dict]:
  """The lines of a metrics file; a last line cut short by a kill is dropped.

  Raises:
    UserError: if another line is damaged.
  """
  if not path.exists():
    return []
  lines = path.read_text(errors='replace').split('\n')
  found = []
  for number, line in enumerate(lines[:-1], 1):
    try:
      found += [json.loads(line)] if line else []
    except ValueError as error:
      raise errors.UserError(
        f'{path}:{number} is damaged. Remove that line: it is a log alone.'
      ) from error
  return found


def make_writer(
  workdir: pathlib.Path, last_step: int, is_first_process: bool
) -> metric_writers.MetricWriter:
  """The writer of a run that goes on from `last_step`; 0 for a new one.

  Only the first process of a run writes files.
  """
  if is_first_process:
    return MetricsFile(workdir, last_step)
  return metric_writers.MultiWriter([])
