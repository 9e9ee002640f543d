"""Cleaning: how long, how much memory, how that grows, and what is found.

A pass over all rows is timed on made-up features of more rows and of more
classes; a whole cleaning takes 3 to 5 of them, and as many again for each
trial of planted errors. BFJAX_CLEAN_ROWS=1000000 times a pass over so many
rows, of 512 numbers and a class for every 70, from a memory-mapped file.

Then wrong labels are looked for in made-up features by us, by cleanlab
(pip install cleanlab) with the posteriors of the nearest neighbours, and by the
vote of these neighbours: the share found while 99 of 100 are right.
"""

import os
import pathlib
import tempfile
import time

import numpy as np
import psutil

from benchmarks import timing
from bfjax import runtime

DIM, GROWTH = 128, ((20_000, 400), (40_000, 400), (20_000, 800))
NEIGHBOURS, PRECISION = 10, 0.99


def run(*, repeats: int = 5) -> list[timing.Row]:
  """Rows of time and memory, and one a method of finding wrong labels."""
  runtime.start()
  rows = [_pass_row(*size, DIM, repeats) for size in GROWTH]
  large = int(os.environ.get('BFJAX_CLEAN_ROWS', '0'))
  if large:
    rows.append(_pass_row(large, large // 70, 512, 1))
  return rows + _found_rows()


def _pass_row(num_rows, num_classes, dim, repeats) -> timing.Row:
  from bfjax.cleaning import classmeans

  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'features.npy'
    label = _write(path, num_rows, num_classes, dim)
    features = np.load(path, mmap_mode='r')
    now = classmeans.Labelling(label, np.ones(num_rows, np.float32))

    def once():
      classmeans.nearest(features, label, now, num_classes)

    warmup = int(num_rows < 100_000)
    secs = timing.interleaved({'': once}, repeats, warmup)['']
    used = psutil.Process().memory_info()
  return timing.Row(
    f'a pass over {num_rows:,} rows x {num_classes:,} classes x {dim}',
    'bfjax',
    '',
    secs,
    [],
    '',
    f'{used.rss / 2**30:.1f} GiB in all',
  )


def _write(path, num_rows, num_classes, dim) -> np.ndarray:
  """Features around the directions of classes; returns int32 labels."""
  draw = np.random.default_rng(0)
  centres = draw.normal(size=(num_classes, dim)).astype(np.float32)
  label = draw.integers(num_classes, size=num_rows).astype(np.int32)
  features = np.lib.format.open_memmap(path, 'w+', 'f4', (num_rows, dim))
  for start in range(0, num_rows, 1 << 14):
    rows = slice(start, start + (1 << 14))
    some = centres[label[rows]]
    some = some + 0.8 * draw.normal(size=some.shape).astype(np.float32)
    features[rows] = some / np.linalg.norm(some, axis=1, keepdims=True)
  return label


def _found_rows() -> list[timing.Row]:
  """What each method finds of 20 % wrong labels."""
  draw = np.random.default_rng(0)
  num_classes, each = 200, 20
  true = np.repeat(np.arange(num_classes), each)
  centres = draw.normal(size=(num_classes, 32))
  features = centres[true] + draw.normal(size=(len(true), 32)) * 1.3
  features /= np.linalg.norm(features, axis=1, keepdims=True)
  features = features.astype(np.float32)
  given = true.copy()
  wrong = draw.random(len(true)) < 0.2
  steps = draw.integers(1, num_classes, wrong.sum())
  given[wrong] = (true[wrong] + steps) % num_classes
  given = given.astype(np.int32)
  out = []
  for name, method in METHODS.items():
    start = time.perf_counter()
    doubt = method(features, given, num_classes)
    secs = time.perf_counter() - start
    share = found_at(doubt, given != true, PRECISION)
    what = f'{len(true):,} rows, 20 % wrong: {100 * share:.1f} % found'
    note = f'{100 * PRECISION:.0f} of 100 right'
    out.append(timing.Row(what, name, '', [secs], [], '', note))
  return out


def found_at(doubt, is_wrong, precision: float) -> float:
  """The share of wrong labels among the most doubtful rows, so many right."""
  order = np.argsort(-doubt, kind='stable')
  hits = np.cumsum(is_wrong[order])
  right = hits / np.arange(1, len(order) + 1)
  return float(hits[right >= precision].max(initial=0) / is_wrong.sum())


def ours(features, given, num_classes) -> np.ndarray:
  """How doubtful each label is, by a second look."""
  from bfjax.cleaning import secondlook

  seen = secondlook.look(features, given, num_classes)
  return 1 - seen.probability[:, secondlook.KEEP]


def _votes(features, given, num_classes) -> np.ndarray:
  """Shares of the nearest rows that carry each label, [n, classes]."""
  cosine = features @ features.T
  np.fill_diagonal(cosine, -2)
  near = np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
  votes = np.zeros((len(given), num_classes))
  rows = np.repeat(np.arange(len(given)), NEIGHBOURS)
  np.add.at(votes, (rows, given[near].ravel()), 1 / NEIGHBOURS)
  return votes


def voting(features, given, num_classes) -> np.ndarray:
  """The share of the best other label less that of the given one."""
  votes, rows = _votes(features, given, num_classes), np.arange(len(given))
  own = votes[rows, given].copy()
  votes[rows, given] = -1
  return votes.max(1) - own


def cleanlab(features, given, num_classes) -> np.ndarray:
  """cleanlab's label quality, of the neighbours' votes, turned round."""
  from cleanlab import rank

  votes = _votes(features, given, num_classes) + 1e-3
  votes /= votes.sum(1, keepdims=True)
  return -rank.get_label_quality_scores(
    given, votes, method='normalized_margin'
  )


METHODS = {'bfjax': ours, 'cleanlab': cleanlab, 'neighbours vote': voting}
