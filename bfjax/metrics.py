"""What a training run measures, and where the numbers are written."""

import json
import math
import pathlib

import flax
from clu import metric_writers
from clu import metrics as clu_metrics

from bfjax import atomic, errors


@flax.struct.dataclass
class TrainMetrics(clu_metrics.Collection):
  """Averages since the last log line, over the real rows of the batches.

  It is part of the training state and of the checkpoint, so a resumed run
  logs what an uninterrupted one does, to the last bit.

  Attributes:
    loss: cross-entropy plus lambda times the penalty, a row.
    penalty: the boundary term before lambda, a row.
    accuracy: share of rows whose label has the largest cosine.
    cosine_target: cosine between the embedding and the label's centre.
    cosine_other: the largest cosine to any other centre.
    corrected: share of rows trained with a label that is not the given one, by
      the weight that the rule gives the row's loss.
    unsure: one minus that weight.
    skipped: unreadable images replaced, a batch.
  """

  loss: clu_metrics.Average.from_output('loss')
  penalty: clu_metrics.Average.from_output('penalty')
  accuracy: clu_metrics.Average.from_output('accuracy')
  cosine_target: clu_metrics.Average.from_output('cosine_target')
  cosine_other: clu_metrics.Average.from_output('cosine_other')
  corrected: clu_metrics.Average.from_output('corrected')
  unsure: clu_metrics.Average.from_output('unsure')
  skipped: clu_metrics.Average.from_output('skipped')


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
