"""The tables of a study, from what came out of its trainings."""

import collections
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bfjax import text
from bfjax.logbook import collapse
from studies import outcomes

_LEGEND = """\
In per cent: the mean over the seeds +- their standard deviation (how many
seeds). What a collapsed training scores is no result of its method, but is
counted all the same; `†k`: so many of these trainings collapsed."""


class Spread(NamedTuple):
  """Attributes: mean, sample deviation (NaN of one value) and count."""

  mean: float
  deviation: float
  count: int


def spread(values: Sequence[float]) -> Spread:
  """Of one value or more."""
  deviation = statistics.stdev(values) if len(values) > 1 else math.nan
  return Spread(statistics.fmean(values), deviation, len(values))


def verification(scores, protocol: str) -> float | None:
  """The mean accuracy over all benchmarks; None if there is none."""
  found = accuracies(scores, protocol).values()
  return statistics.fmean(found) if found else None


def accuracies(scores, protocol: str) -> dict[str, float]:
  """Benchmark -> its accuracy by one protocol."""
  end = f'/{protocol}/accuracy'
  return {k.removesuffix(end): v for k, v in scores.items() if k.endswith(end)}


def by_cell(
  found: Iterable[outcomes.Outcome],
) -> dict[tuple[str, str], list[outcomes.Outcome]]:
  """(mix, method) -> the finished ones, by seed."""
  cells = collections.defaultdict(list)
  for outcome in sorted(found, key=lambda x: x.seed):
    if outcome.scores:
      cells[outcome.mix, outcome.method].append(outcome)
  return cells


def render(results: outcomes.Results) -> str:
  """All tables as one Markdown page."""
  parts = [f'# {results.title}', _LEGEND]
  protocol = results.protocol
  grids = (
    (
      f'Verification accuracy (protocol {protocol})',
      '',
      lambda x: verification(x.scores, protocol),
    ),
    (
      'Labels left wrong',
      'Of the rows whose true label is in the set; without corrections it is'
      ' the share of wrong labels itself.',
      score('wrong_labels'),
    ),
    (
      'Right labels corrected all the same',
      'Of the rows whose given label is the true one.',
      score('unjust'),
    ),
    (
      'Strangers relabelled',
      'Of the images of nobody in the set.',
      score('relabelled_strangers'),
    ),
    ('Precision of the corrections', '', score('precision')),
    ('Recall of the corrections', '', score('recall')),
    (
      'Noise rate told',
      'At the end of training, by rules that learn it.',
      told,
    ),
  )
  for title, about, of in grids:
    if table := grid(results, of, noise=of is told):
      parts += [f'## {title}', about, table]
  for pair in results.compare:
    if table := paired(results, *pair):
      first, second = (results.methods[x] for x in pair)
      parts += [f'## {first} against {second}', _PAIRED, table]
  parts += _by_benchmark(results)
  parts += _not_there(results.outcomes)
  return '\n\n'.join(filter(None, parts)) + '\n'


def told(outcome: outcomes.Outcome) -> float | None:
  """The noise rate that a rule has learned; None if it learns none."""
  return outcome.scores.get('rule/noise_rate')


def score(name: str) -> Callable:
  """Outcome -> a score of its corrections; None if it corrects no labels."""
  return lambda x: (
    x.scores.get(f'corrections/{name}')
    if 'corrections/share' in x.scores
    else None
  )


def grid(results: outcomes.Results, of: Callable, noise: bool = False) -> str:
  """A table of mixes by methods; '' if it would be empty.

  Args:
    results: of a study.
    of: outcome -> a number, or None.
    noise: whether the true noise of the mixes has columns.
  """
  cells = {
    key: summary
    for key, found in by_cell(results.outcomes).items()
    if (summary := _summary(found, of))
  }
  methods = [x for x in results.methods if any(m == x for _, m in cells)]
  mixes = [x for x in results.mixes if any(m == x for m, _ in cells)]
  heading = ['mix', *(['flipped', 'strangers'] if noise else [])]
  rows = [[*heading, *(results.methods[x] for x in methods)]]
  for mix in mixes:
    of_mix = results.mixes[mix]
    shares = [f'{100 * of_mix[k]:.0f}' for k in ('closed', 'open')]
    rows.append(
      [mix, *(shares if noise else [])]
      + [cells.get((mix, method), '-') for method in methods]
    )
  return text.table(rows) if cells else ''


def _summary(found, of):
  values = [(of(x), collapse.COLLAPSED in x.scores) for x in found]
  values = [(value, bad) for value, bad in values if value is not None]
  if not values:
    return ''
  return _shown(spread([v for v, _ in values]), sum(bad for _, bad in values))


def _shown(of: Spread, collapsed: int = 0) -> str:
  deviation = '' if of.count == 1 else f' +- {100 * of.deviation:.2f}'
  shown = f'{100 * of.mean:.2f}{deviation} ({of.count})'
  if collapsed == of.count:
    return f'collapsed: {shown}'
  return f'{shown} †{collapsed}' if collapsed else shown


_PAIRED = """\
The difference in verification, seed by seed: its mean +- its deviation over the
seeds. It is won or lost if the mean is further from 0 than that; even
otherwise. Then the labels that both leave wrong, and how many times as many the
second."""


def paired(results: outcomes.Results, first: str, second: str) -> str:
  """A table of one method against another, a mix a line; '' without any."""
  cells = by_cell(results.outcomes)
  rows = [['mix', 'difference', 'verdict', 'left wrong', 'second', 'factor']]
  for mix in results.mixes:
    ours, theirs = (
      {x.seed: x for x in cells.get((mix, method), ())}
      for method in (first, second)
    )
    pairs = [(ours[k], theirs[k]) for k in ours if k in theirs]
    scored = [
      [verification(x.scores, results.protocol) for x in pair] for pair in pairs
    ]
    differences = [a - b for a, b in scored if None not in (a, b)]
    if differences:
      gap = spread(differences)
      bad = sum(any(collapse.COLLAPSED in x.scores for x in p) for p in pairs)
      left = _left_wrong(pairs)
      rows.append([mix, _shown(gap, bad), verdict(gap), *left])
  return text.table(rows) if len(rows) > 1 else ''


def verdict(gap: Spread) -> str:
  """'won', 'even' or 'lost', by more than the spread; '-' of one seed."""
  if gap.count == 1:
    return '-'
  if abs(gap.mean) <= gap.deviation:
    return 'even'
  return 'won' if gap.mean > 0 else 'lost'


def _left_wrong(pairs):
  name = 'corrections/wrong_labels'
  both = [[x.scores.get(name) for x in pair] for pair in pairs]
  if any(None in x for x in both):
    return '-', '-', '-'
  ours, theirs = (statistics.fmean(x) for x in zip(*both, strict=True))
  ratio = f'{theirs / ours:.1f}' if ours else '-'
  return f'{100 * ours:.2f}', f'{100 * theirs:.2f}', ratio


def _by_benchmark(results):
  """The paper's tables, a mix each, where there are several benchmarks."""
  cells = by_cell(results.outcomes)
  for mix in results.mixes:
    of_mix = {m: cells[mix, m] for m in results.methods if (mix, m) in cells}
    names = dict.fromkeys(
      name
      for found in of_mix.values()
      for x in found
      for name in accuracies(x.scores, results.protocol)
    )
    if len(names) < 2:
      continue
    rows = [['method', *names]]
    for method, found in of_mix.items():
      ends = [f'{name}/{results.protocol}/accuracy' for name in names]
      shown = [_summary(found, lambda x, e=e: x.scores.get(e)) for e in ends]
      rows.append([results.methods[method], *(x or '-' for x in shown)])
    yield from (f'## {mix}', text.table(rows))


def _not_there(found):
  """What failed, and what was not run."""
  failed = [x for x in found if x.error]
  if failed:
    yield '## Failed'
    yield '\n'.join(
      f'- {x.mix}, {x.method}, seed {x.seed}: {" ".join(x.error.split())}'
      for x in failed
    )
  missing = collections.defaultdict(dict)
  for x in found:
    if not x.scores and not x.error:
      missing[x.method, x.seed][x.mix] = None
  if missing:
    yield '## Not run'
    yield '\n'.join(
      f'- {method}, seed {seed}: {", ".join(mixes)}'
      for (method, seed), mixes in missing.items()
    )
