"""Tables of scores, laid out as those of the paper."""

import math
from collections.abc import Container, Mapping, Sequence

from bfjax import errors
from bfjax.report import bootstrap, page, results

# The paper's columns in its order, then what the field calls other sets.
TITLES = {
  'lfw': 'LFW',
  'agedb_30': 'AgeDB-30',
  'cfp_fp': 'CFP-FP',
  'calfw': 'CALFW',
  'cplfw': 'CPLFW',
  'sllfw': 'SLLFW',
  'rfw_asian': 'RFW Asian',
  'rfw_caucasian': 'RFW Caucasian',
  'rfw_indian': 'RFW Indian',
  'rfw_african': 'RFW African',
  'xqlfw': 'XQLFW',
  'megaface': 'MegaFace',
  'ijbb': 'IJB-B',
  'ijbc': 'IJB-C',
  'tinyface': 'TinyFace',
}
_ACCURACY = '/accuracy'
# What is shown of the scores at the end of a training besides accuracies.
_OF_TRAININGS = {
  'corrections/precision': 'precision of corrections',
  'corrections/recall': 'recall',
  'corrections/wrong_labels': 'wrong labels left',
  'rule/noise_rate': 'noise rate told',
}


def title(name: str) -> str:
  """What the field calls a benchmark; one of one's own by its name."""
  return TITLES.get(name, name)


def of_models(several: Sequence[results.Evaluation]) -> page.Table:
  """The headline scores of some models.

  Benchmarks of pairs have a column each, and a model a row for each protocol
  of theirs; headline scores of others have a column each, in the first row of
  a model. With several models the best of a column and protocol is marked.

  Raises:
    UserError: if a benchmark was not run on the same images by the same
      protocol for all models.
  """
  _check_comparable(several)
  protocols = _protocols(several) or ['']
  headings, columns = ['model', 'protocol'], []
  for name in benchmarks(several):
    for kind in _headlines(several, name):
      if kind == _ACCURACY:
        headings.append(title(name))
        scores = {protocol: protocol + kind for protocol in protocols}
      else:
        headings.append(f'{title(name)} {kind}')
        scores = {protocols[0]: kind}
      columns.append({k: _cells(several, name, x) for k, x in scores.items()})
  blank = [page.Cell('')] * len(several)
  rows: list[Sequence[str | page.Cell]] = [
    (one.name, protocol, *(x.get(protocol, blank)[i] for x in columns))
    for i, one in enumerate(several)
    for protocol in protocols
  ]
  return page.Table(headings, rows)


def of_trainings(
  scores_of: Mapping[str, Mapping[str, float]], collapsed: Container[str] = ()
) -> page.Table:
  """Some trainings, a line each: verification accuracy, corrections.

  '-' where one has no such score, and no column where none has. The
  corrections of a training that corrects nothing have no precision.

  Args:
    scores_of: name of each -> its scores, see `training.train_and_evaluate`.
    collapsed: those of them whose scores are no result, and not shown.
  """
  known = {name: None for scores in scores_of.values() for name in scores}
  columns = {
    name: 'accuracy on {} ({})'.format(*name.split('/'))
    for name in known
    if name.endswith(_ACCURACY)
  }
  columns |= {k: v for k, v in _OF_TRAININGS.items() if k in known}
  rows = []
  for run, scores in scores_of.items():
    cells: list[str | page.Cell] = [run]
    for name in columns:
      shown, is_accuracy = '-', name.endswith(_ACCURACY)
      if run in collapsed:
        shown = 'collapsed' if is_accuracy else '-'
      elif name in scores:
        shown = per_cent(scores[name])
        if is_accuracy:
          shown += f' +- {per_cent(scores[name.replace(_ACCURACY, "/std")])}'
      cells.append(page.Cell(shown))
    rows.append(cells)
  return page.Table(['run', *columns.values()], rows)


def of_scores(analysis: results.Analysis) -> page.Table:
  """All scores of a model on a benchmark, with their intervals."""
  intervals = bootstrap.score_intervals(analysis.outcomes)
  rows = []
  for score, value in analysis.scores.items():
    is_rate = not score.endswith('threshold')
    shown = f'{per_cent(value)} %' if is_rate else f'{value:.4f}'
    interval = _span(*intervals[score]) if score in intervals else ''
    rows.append((score, page.Cell(shown), page.Cell(interval)))
  return page.Table(('score', 'value', '95 % interval'), rows)


def benchmarks(several: Sequence[results.Evaluation]) -> list[str]:
  """All there are, absent ones too: the paper's in its order, then others."""
  names = dict.fromkeys(x for one in several for x in [*one.found, *one.absent])
  return sorted(names, key=lambda x: [*TITLES, x].index(x))


def per_cent(rate: float) -> str:
  """A rate in per cent, to two places."""
  return f'{100 * rate:.2f}'


def _span(low, high) -> str:
  return f'{per_cent(low)} .. {per_cent(high)}'


def _cells(several, name, score) -> list[page.Cell]:
  """One score of each model, with its interval, and the best marked."""
  found = [x.found[name].analysis if name in x.found else None for x in several]
  values = [x.scores.get(score, math.nan) if x else math.nan for x in found]
  known = [value for value in values if not math.isnan(value)]
  highest = max(known) if len(known) > 1 else None
  outcomes = {
    i: x.outcomes[score]
    for i, x in enumerate(found)
    if x and score in x.outcomes
  }
  drawn = list(outcomes)
  if drawn:
    intervals = bootstrap.intervals(list(outcomes.values()))
  cells = []
  for i, value in enumerate(values):
    if math.isnan(value):
      cells.append(page.Cell('absent' if name in several[i].absent else '-'))
      continue
    cell = page.Cell(per_cent(value), best=value == highest)
    if i in drawn:
      k = drawn.index(i)
      cell = cell._replace(interval=_span(intervals.low[k], intervals.high[k]))
      if highest is not None and not cell.best:
        cell = cell._replace(margin=_span(*intervals.below[k]))
    cells.append(cell)
  return cells


def _check_comparable(several) -> None:
  """Raises UserError if a benchmark is not one and the same for all."""
  first: dict = {}
  for one in several:
    for name, found in one.found.items():
      known, other = first.setdefault(name, (one.name, found))
      for what, a, b in (
        ('protocol', other.protocol, found.protocol),
        ('images', other.images_sha256, found.images_sha256),
      ):
        if a != b:
          raise errors.UserError(
            f'{title(name)} of {known} and of {one.name} cannot be compared: '
            f'the {what} differ: {a!r}, {b!r}. Evaluate both in one way.'
          )


def _headlines(several, name) -> list[str]:
  """Names of a benchmark's headline scores; _ACCURACY for all accuracies."""
  found = [x.found[name] for x in several if name in x.found]
  scores = dict.fromkeys(
    _ACCURACY if score.endswith(_ACCURACY) else score
    for x in found
    for score in x.headline
  )
  return list(scores or [_ACCURACY])


def _protocols(several) -> list[str]:
  """Those that accuracies are of, 'boundaryface'."""
  found = [x for one in several for x in one.found.values()]
  scores = dict.fromkeys(score for x in found for score in x.headline)
  return [x.removesuffix(_ACCURACY) for x in scores if x.endswith(_ACCURACY)]
