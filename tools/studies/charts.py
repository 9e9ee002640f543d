"""The charts of a study."""

from collections.abc import Callable

from bfjax.report import charts
from studies import outcomes, tables

_MARKERS = 'osD^vPX*'
_SIZE = 7, 3.6  # inches, the legend beside the axes


def draw(results: outcomes.Results) -> dict[str, bytes]:
  """File name -> PNG, of all charts for which there is something to draw."""
  drawn = {}
  for name in dict.fromkeys(mix['set'] for mix in results.mixes.values()):
    mixes = [m for m, mix in results.mixes.items() if mix['set'] == name]
    closed = [m for m in mixes if not results.mixes[m]['open']]
    stem = name.lower().replace(' ', '_')

    def accuracy(outcome):
      return tables.verification(outcome.scores, results.protocol)

    if points := _points(results, closed, accuracy):
      drawn[f'verification_{stem}.png'] = _lines(results, closed, points, name)
    if left := _points(results, mixes, tables.score('wrong_labels')):
      drawn[f'left_wrong_{stem}.png'] = _bars(results, mixes, left, name)
  if told := _points(results, results.mixes, tables.told):
    drawn['noise_rate.png'] = _told_against_true(results, told)
  return drawn


def _points(results, mixes, of: Callable) -> dict[str, dict]:
  """method -> mix -> the spread of a number, in per cent."""
  cells = tables.by_cell(results.outcomes)
  points = {}
  for method in results.methods:
    for mix in mixes:
      values = [of(x) for x in cells.get((mix, method), ())]
      values = [100 * x for x in values if x is not None]
      if values:
        points.setdefault(method, {})[mix] = tables.spread(values)
  return points


def _style(results, method):
  i = list(results.methods).index(method)
  colours = charts.COLOURS
  return {
    'color': colours[i % len(colours)],
    'label': results.methods[method],
  }, _MARKERS[i % len(_MARKERS)]


def _errors(spreads):
  return [0 if x.count == 1 else x.deviation for x in spreads]


def _lines(results, mixes, points, name):
  sheet, axis = charts.new_chart(f'Verification, {name}', _SIZE)
  for method, of_mix in points.items():
    shown = [m for m in mixes if m in of_mix]
    style, marker = _style(results, method)
    rank = list(results.methods).index(method)
    axis.errorbar(
      [100 * results.mixes[m]['closed'] for m in shown],
      [of_mix[m].mean for m in shown],
      _errors(of_mix[m] for m in shown),
      marker=marker,
      markersize=4,
      capsize=2,
      linewidth=1.4,
      # Another where the colours begin again.
      linestyle=charts.DASHES[rank // len(charts.COLOURS)],
      **style,
    )
  axis.set_xlabel('labels flipped, per cent')
  axis.set_ylabel('accuracy, per cent')
  return _with_legend(sheet, axis)


def _bars(results, mixes, points, name):
  sheet, axis = charts.new_chart(f'Labels left wrong, {name}', _SIZE)
  mixes = [m for m in mixes if any(m in of_mix for of_mix in points.values())]
  width = 0.8 / len(points)
  for i, (method, of_mix) in enumerate(points.items()):
    shown = [(x, of_mix[m]) for x, m in enumerate(mixes) if m in of_mix]
    axis.bar(
      [x + (i - (len(points) - 1) / 2) * width for x, _ in shown],
      [y.mean for _, y in shown],
      width,
      yerr=_errors(y for _, y in shown),
      error_kw={'linewidth': 0.8},
      **_style(results, method)[0],
    )
  axis.set_xticks(range(len(mixes)), mixes, rotation=30, ha='right', fontsize=8)
  axis.set_ylabel('per cent')
  return _with_legend(sheet, axis)


def _told_against_true(results, points):
  sheet, axis = charts.new_chart('Noise rate told by the rule', _SIZE)
  true = {
    m: 100 * (mix['closed'] + mix['open']) for m, mix in results.mixes.items()
  }
  highest = max(true.values())
  axis.plot([0, highest], [0, highest], color='#888888', linewidth=1)
  for method, of_mix in points.items():
    style, marker = _style(results, method)
    for is_open, fill in ((False, 'full'), (True, 'none')):
      shown = [m for m in of_mix if bool(results.mixes[m]['open']) == is_open]
      if not shown:
        continue
      label = style['label'] + (', strangers too' if is_open else '')
      axis.errorbar(
        [true[m] for m in shown],
        [of_mix[m].mean for m in shown],
        _errors(of_mix[m] for m in shown),
        marker=marker,
        fillstyle=fill,
        linestyle='none',
        **(style | {'label': label}),
      )
  axis.set_xlabel('wrong labels, flipped or of strangers, per cent')
  axis.set_ylabel('told, per cent')
  return _with_legend(sheet, axis)


def _with_legend(sheet, axis):
  axis.legend(fontsize=8, loc='center left', bbox_to_anchor=(1, 0.5))
  return charts.png(sheet)
