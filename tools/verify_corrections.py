"""Precision and recall of a run's corrections against the known flips.

    python tools/verify_corrections.py --truth flips.txt runs/mine
    python tools/verify_corrections.py --truth flips.txt savedPath_6.txt

The truth has lines `path  TRUE label`, as flip_labels.py writes it. A run (its
workdir) is told epoch by epoch, with a plot, `corrections/verified.png`; a file
is one log: of ours (corrections/epoch_007.tsv) or of the reference's code
(lines `path<TAB>new label`). A pair is an image with a label:

    precision = |logged pairs in the truth| / |logged pairs|
    recall    = |logged pairs in the truth| / |pairs of the truth|
"""

import argparse
import json
import math
import os
import pathlib
from collections.abc import Iterable

import numpy as np
from matplotlib import figure, ticker

from bfjax import atomic, command, defaults, errors
from bfjax.data import correctionlog, places


def parse_arguments() -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('log', nargs='+', type=pathlib.Path, help='logs, or the workdir of a run')
  add('--truth', required=True, help='the flipped images with their true label')
  add('--root', default='', help='the folder of the images (that of the run)')
  add('--plot', type=pathlib.Path, help='draw the epochs there: .png or .svg')
  add('--json', action='store_true', help='print JSON instead of a table')
  return parser.parse_args()


def verify(arguments: argparse.Namespace) -> None:
  """Prints the scores and draws them.

  Raises:
    UserError: if a file cannot be read or a run has no logs.
  """
  root = arguments.root or _root(arguments.log[0])
  truth = correctionlog.read_truth(
    places.find_list(arguments.truth, root, '--truth'), root
  )
  logs, plot = _find_logs(arguments.log)
  scores = [
    correctionlog.score(correctionlog.log_pairs(path), truth) for path in logs
  ]
  if arguments.json:
    print(
      json.dumps([_record(*pair) for pair in zip(logs, scores, strict=True)])
    )
  else:
    print(_table(logs, scores))
  plot = arguments.plot or plot
  if plot:
    epochs = [_epoch(path) for path in logs]
    if None in epochs:
      epochs = range(1, len(logs) + 1)
    draw(plot, epochs, scores, _epoch_start(arguments.log[0]))
    if not arguments.json:
      print(f'\nPlotted in {plot}')


def _root(workdir) -> str:
  """The folder of the images of a run; '' where that is not known."""
  root = _config(workdir, 'data').get('root', '')
  return root if os.path.isdir(root) else os.path.dirname(root)


def _find_logs(paths):
  """The logs, and where their plot goes unless the user says."""
  if len(paths) > 1 or not paths[0].is_dir():
    return paths, None
  folder = paths[0] / 'corrections'
  folder = folder if folder.is_dir() else paths[0]
  logs = sorted(folder.glob('epoch_*.tsv'))
  if not logs:
    raise errors.UserError(
      f'{paths[0]} has no corrections/epoch_*.tsv: give the workdir of a run'
      ' that corrects labels, or its logs.'
    )
  return logs, folder / 'verified.png'


def _epoch_start(workdir):
  """After which epoch a run begins to correct; 0 where that is not known."""
  return _config(workdir, 'head').get('epoch_start', 0)


def _config(workdir, group):
  """A group of the config of a run; empty where there is none."""
  if not (workdir / 'config.json').is_file():
    return {}
  return defaults.read_config(workdir / 'config.json').get(group, {})


def _epoch(path):
  number = path.stem.rpartition('_')[2]
  return int(number) if number.isdigit() else None


def _record(path, score):
  precision = None if math.isnan(score.precision) else score.precision
  return {
    'log': str(path),
    'epoch': _epoch(path),
    **score._asdict(),
    'precision': precision,
    'recall': score.recall,
  }


def _table(logs, scores):
  width = max(len('log'), *(len(path.name) for path in logs))
  lines = [f'{"log":{width}}   logged    right  precision   recall']
  for path, score in zip(logs, scores, strict=True):
    precision = '-' if not score.logged else f'{100 * score.precision:.2f} %'
    lines.append(
      f'{path.name:{width}} {score.logged:8} {score.right:8} {precision:>10}'
      f' {100 * score.recall:6.2f} %'
    )
  lines.append(f'({scores[0].flipped} flipped images in the truth)')
  return '\n'.join(lines)


def draw(
  path: pathlib.Path,
  epochs: Iterable[int],
  scores: Iterable[correctionlog.Score],
  epoch_start: int = 0,
) -> None:
  """Draws precision and recall over the epochs.

  Args:
    path: of the picture; its ending says the format, .png or .svg.
    epochs: of each score, ascending.
    scores: of each epoch.
    epoch_start: labels are corrected in later epochs than this; those before
      have no scores, and where they end is marked.
  """
  epochs, scores = np.array(list(epochs)), list(scores)
  correcting = epochs > epoch_start
  sheet = figure.Figure(figsize=(7, 4), dpi=120, layout='constrained')
  axis = sheet.subplots()
  for name, colour, marker in (
    ('precision', '#0072b2', 'o'),
    ('recall', '#d55e00', 's'),
  ):
    values = 100 * np.array([getattr(s, name) for s in scores])
    axis.plot(
      epochs[correcting],
      values[correcting],
      color=colour,
      marker=marker,
      ms=4,
      label=name,
    )
  if not correcting.all():
    axis.axvline(epoch_start + 0.5, color='grey', linestyle='--')
    axis.annotate(
      'correction begins',
      (epoch_start + 0.5, 50),
      (-4, 0),
      textcoords='offset points',
      rotation=90,
      ha='right',
      va='center',
      color='grey',
    )
    axis.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
  axis.set(xlabel='epoch', ylabel='per cent', ylim=(0, 102))
  axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  axis.grid(alpha=0.3)
  axis.legend(loc='lower right')
  axis.set_title('Corrected labels against the truth')
  with atomic.writing(path) as draft:
    sheet.savefig(draft, format=path.suffix[1:] or 'png')


if __name__ == '__main__':
  command.run('verify_corrections', lambda: verify(parse_arguments()))
