"""Logs of corrections against the truth, as the reference counts them."""

import json
import math
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

import verify_corrections
from bfjax import errors, labels
from bfjax.data import correctionlog, selection

ROOT = pathlib.Path(__file__).parents[1]


def oracle(log, truth):
  """The reference's definition, on sets of pairs."""
  both = set(log.items()) & set(truth.items())
  return len(both) / len(log), len(both) / len(truth)


def test_precision_and_recall_are_the_reference_ones(tmp_path):
  rng = np.random.default_rng(0)
  truth = {b'i%d.jpg' % i: str(rng.integers(3)) for i in range(60)}
  log = {b'i%d.jpg' % i: str(rng.integers(3)) for i in range(30, 100)}
  found = correctionlog.score(log.items(), truth)
  assert (found.precision, found.recall) == oracle(log, truth)
  assert found.logged == 70
  assert found.flipped == 60


def test_an_empty_log_has_no_precision():
  found = correctionlog.score([], {b'a': '1'})
  assert math.isnan(found.precision)
  assert found.recall == 0


def test_pairs_count_once_and_an_image_may_have_two():
  log = [(b'a', '1'), (b'a', '1'), (b'a', '2'), (b'b', '5')]
  found = correctionlog.score(log, {b'a': '2', b'c': '1'})
  assert found == (3, 1, 2)


class Source:
  class_names = ('10', '20', '30')

  def name(self, row):
    return ('a b.jpg', 'tab\there.jpg', 'x\udcff.jpg')[row]


def write(path, given, known):
  parts = [correctionlog.corrected(given, known)]
  correctionlog.write(path, Source(), given, parts)


def test_reads_the_logs_of_our_runs(tmp_path):
  path = tmp_path / 'corrections' / 'epoch_003.tsv'
  given, table = np.array([0, 1, 2]), np.array([2, 0, 1])
  write(path, given, labels.History(table, None, None, None, 3))
  assert correctionlog.read_log(path) == {
    b'a b.jpg': '30',
    b'tab\there.jpg': '10',
    b'x\xff.jpg': '20',
  }


def test_a_history_adds_columns_that_readers_of_pairs_pass_over(tmp_path):
  given, table = np.array([0, 1, 2]), np.array([2, 0, 1])
  known = labels.History(
    label=table,
    agreed=np.array([3, 1, 0], np.uint16),
    own=np.array([-0.25, 0.5, np.nan], np.float16),
    other=np.array([0.75, 1.0, np.nan], np.float16),
    epoch=7,
  )
  old, path = tmp_path / 'epoch_006.tsv', tmp_path / 'epoch_007.tsv'
  write(old, given, labels.History(table, None, None, None, 6))
  write(path, given, known)
  lines = path.read_bytes().split(b'\n')
  assert lines[0].split(b'\t')[4:] == [
    *(b'given_cosine', b'new_cosine', b'since_epoch', b'visits')
  ]
  assert lines[1] == b'0\ta b.jpg\t10\t30\t-0.2500\t0.7500\t5\t3'
  assert lines[2] == b'1\ttab\there.jpg\t20\t10\t0.5000\t1.0000\t7\t1'
  assert lines[3] == b'2\tx\xff.jpg\t30\t20\t\t\t\t'  # not known
  pairs = [*correctionlog.log_pairs(path)]
  assert pairs == [*correctionlog.log_pairs(old)]
  assert dict(pairs) == {
    b'a b.jpg': '30',
    b'tab\there.jpg': '10',
    b'x\xff.jpg': '20',
  }
  for log in (old, path):
    names = [*selection.read_names(log)]
    assert names == ['a b.jpg', 'tab\there.jpg', 'x\udcff.jpg']
  path.write_bytes(lines[0] + b'\n0\ta b.jpg\t10\t30\n')
  with pytest.raises(
    errors.UserError, match=r'007.tsv:2: expected row, .*visits'
  ):
    correctionlog.read_log(path)


def test_reads_the_logs_of_the_reference(tmp_path):
  path = tmp_path / 'savedPath_6.txt'
  path.write_text('D:\\web face\\1.jpg\t17\nb.jpg\t3\n')
  assert correctionlog.read_log(path) == {
    b'D:\\web face\\1.jpg': '17',
    b'b.jpg': '3',
  }


def test_bad_files_are_refused(tmp_path):
  log, empty = tmp_path / 'log.tsv', tmp_path / 'empty.txt'
  log.write_text('row\tpath\tgiven_label\tnew_label\n5\ta.jpg\n')
  empty.write_text('')
  with pytest.raises(errors.UserError, match=r'log.tsv:2: expected row'):
    correctionlog.read_log(log)
  with pytest.raises(errors.UserError, match='Cannot read'):
    correctionlog.read_log(tmp_path / 'none')
  with pytest.raises(errors.UserError, match='no truth'):
    correctionlog.read_truth(str(empty))


def tool(*arguments):
  command = [sys.executable, ROOT / 'tools' / 'verify_corrections.py']
  return subprocess.run(
    [*command, *map(str, arguments)],
    capture_output=True,
    text=True,
    check=False,
  )


def test_the_tool_tells_a_run_epoch_by_epoch_with_a_plot(tmp_path):
  (tmp_path / 'flips.txt').write_text('a.jpg  1\nb.jpg  2\n')
  logs = tmp_path / 'run' / 'corrections'
  logs.mkdir(parents=True)
  header = 'row\tpath\tgiven_label\tnew_label\n'
  (logs / 'epoch_001.tsv').write_text(header)
  (logs / 'epoch_002.tsv').write_text(
    header + '0\ta.jpg\t0\t1\n7\tc.jpg\t0\t1\n'
  )
  run = tool('--truth', tmp_path / 'flips.txt', tmp_path / 'run')
  assert run.returncode == 0, run.stderr
  lines = run.stdout.splitlines()
  first, second = (' '.join(line.split()) for line in lines[1:3])
  assert first == 'epoch_001.tsv 0 0 - 0.00 %'
  assert second == 'epoch_002.tsv 2 1 50.00 % 50.00 %'
  picture = cv2.imread(str(logs / 'verified.png'))
  assert picture.std() > 10
  run = tool('--truth', tmp_path / 'flips.txt', tmp_path / 'run', '--json')
  first, second = json.loads(run.stdout)
  assert first['precision'] is None
  assert (second['epoch'], second['precision'], second['recall']) == (
    2,
    0.5,
    0.5,
  )


def test_the_truth_may_lie_in_the_folder_of_the_run_s_images(tmp_path):
  """And is read as training reads it: from Windows, say."""
  logs = tmp_path / 'run' / 'corrections'
  logs.mkdir(parents=True)
  (tmp_path / 'images/a').mkdir(parents=True)
  (tmp_path / 'images/a/1.jpg').write_bytes(b'x')
  (tmp_path / 'images/flips.txt').write_text('a\\1.jpg  1\n')
  config = {'data': {'root': str(tmp_path / 'images')}}
  (tmp_path / 'run/config.json').write_text(json.dumps(config))
  header = 'row\tpath\tgiven_label\tnew_label\n'
  (logs / 'epoch_001.tsv').write_text(header + '0\ta/1.jpg\t0\t1\n')
  run = tool('--truth', 'flips.txt', tmp_path / 'run', '--json')
  assert run.returncode == 0, run.stderr
  [score] = json.loads(run.stdout)
  assert (score['precision'], score['recall']) == (1, 1)


def test_epochs_before_the_correction_are_marked_not_drawn(
  tmp_path, monkeypatch
):
  drawn = []
  plot = verify_corrections.figure.Axes.plot
  monkeypatch.setattr(
    verify_corrections.figure.Axes,
    'plot',
    lambda axis, x, y, **kwargs: (
      drawn.append(list(x)) or plot(axis, x, y, **kwargs)
    ),
  )
  scores = [correctionlog.Score(0, 0, 4)] * 2 + [correctionlog.Score(2, 1, 4)]
  verify_corrections.draw(
    tmp_path / 'plot.png', [1, 2, 3], scores, epoch_start=1
  )
  assert drawn == [[2, 3], [2, 3]]


def test_the_tool_refuses_a_folder_without_logs(tmp_path):
  (tmp_path / 'flips.txt').write_text('a.jpg  1\n')
  run = tool('--truth', tmp_path / 'flips.txt', tmp_path)
  assert run.returncode == 2
  assert 'has no corrections' in run.stderr
