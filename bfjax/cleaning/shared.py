"""Images that stand in two classes: the same file, or nearly the same image.

Rows whose embeddings nearly coincide are found in time that grows as the rows
do, by random hyperplanes (Charikar, 2002): each of some tables cuts space by
some of them, and rows that lie on the same side of all are compared with their
next neighbours there.
"""

from collections.abc import Callable

import numpy as np

from bfjax.cleaning import chance, means
from bfjax.cleaning.findings import SHOWN, Finding

FALSE_RATE = 0.01  # of all that is found, the share that may be wrong
_TABLES, _NEIGHBOURS = 12, 8
_MOST_PLANES = 26
_BLOCK = 8192
_SAMPLE = 200_000  # pairs of one person, whose cosines tell what is usual
# Of pairs of one person, at most so many are copies of one image.
_COPIES = 0.001
_ROUNDING = 1e-5  # by which embeddings of equal files differ, at most


def find(
  features,
  given: np.ndarray,
  by_class: means.ByClass,
  *,
  read: Callable[[np.ndarray], list[bytes]] | None = None,
  progress: str = '',
) -> list[Finding]:
  """Pairs of classes that have an image, or nearly the same one, in common.

  It is that if two rows are closer than different images of one person ever
  are, whose cosines are distributed as `chance` has it. Every copy of a file is
  found; of copies with cosine .99 about 98 in 100.

  Evidence: `images`, how many; `cosine`, the highest; `threshold`, which it has
  to reach; and, where files are read, `same_files`, how many are the same to
  the byte. The k-th rows of the two classes are a pair.

  Args:
    features: [n, d], float32 or float16, memory-mapped or not.
    given: int32 [n], labels as given; -1 for rows to leave out.
    by_class: rows by their labels after the second look.
    read: rows -> encoded images; None to leave the bytes alone.
    progress: what a progress bar is headed; '' for none.

  Returns:
    the findings, the surest first.

  Raises:
    UserError: if an image cannot be read.
  """
  features = means.Unit(features)
  usual, count = _usual(features, by_class)
  pairs = _candidates(features, given, progress)
  cosines = _cosines(features, pairs)
  # As many as there are in all classes: no more can be of one person and under
  # two labels by chance.
  by_chance = np.where(cosines < 1 - _ROUNDING, usual.exceeding(cosines), 0.0)
  rates = chance.false_rates(by_chance, count)
  found = np.flatnonzero(rates <= FALSE_RATE)
  if not len(found):
    return []
  threshold = float(cosines[found].min())
  order = found[np.argsort(-cosines[found], kind='stable')]
  of_classes = {}
  for i in order:
    first, second = sorted(pairs[i].tolist(), key=lambda row: given[row])
    classes = int(given[first]), int(given[second])
    of_classes.setdefault(classes, []).append((i, first, second))
  out = []
  for classes, images in of_classes.items():
    best, rows = images[0][0], np.array([image[1:] for image in images])
    evidence = {
      'images': len(images),
      'cosine': float(cosines[best]),
      'threshold': threshold,
    }
    if read is not None:
      both = zip(read(rows[:, 0]), read(rows[:, 1]), strict=True)
      evidence['same_files'] = sum(a == b for a, b in both)
    shown = rows[:SHOWN, 0], rows[:SHOWN, 1]
    out.append(Finding('shared', classes, float(rates[best]), evidence, shown))
  return out


def _usual(features, by_class) -> tuple[chance.Chance, float]:
  """Cosines of different images of one person, and how many pairs there are."""
  rows, label = by_class.sorted()
  same = np.flatnonzero((label[1:] == label[:-1]) & (label[1:] >= 0))
  sizes = np.unique(label[label >= 0], return_counts=True)[1].astype(float)
  same = same[chance.sample(len(same), _SAMPLE)]
  cosines = _cosines(features, np.stack([rows[same], rows[same + 1]], axis=1))
  return chance.fit(cosines, _COPIES), np.sum(sizes * (sizes - 1)) / 2


def _candidates(features, given, progress) -> np.ndarray:
  """int64 [p, 2]: pairs of rows of two classes that may nearly coincide."""
  num_rows, dim = features.shape
  planes = int(np.clip(np.log2(max(num_rows, 2)) + 4, 8, _MOST_PLANES))
  draw = np.random.default_rng(0)
  normals = draw.normal(size=(dim, _TABLES * planes)).astype(np.float32)
  line = draw.normal(size=dim).astype(np.float32)
  keys = np.empty((_TABLES, num_rows), np.int32)
  places = np.empty(num_rows, np.float32)
  powers = 1 << np.arange(planes, dtype=np.int32)
  for start in means.bar(range(0, num_rows, _BLOCK), progress):
    some = slice(start, start + _BLOCK)
    block = features[some]
    sides = (block @ normals > 0).reshape(len(block), _TABLES, planes)
    keys[:, some] = (sides @ powers).T
    places[some] = block @ line
  found = []
  for key in keys:
    order = np.lexsort((places, key))
    order = order[given[order] >= 0]
    for step in range(1, _NEIGHBOURS + 1):
      a, b = order[:-step], order[step:]
      some = (key[a] == key[b]) & (given[a] != given[b])
      pair = np.stack([a[some], b[some]], axis=1)
      found.append(np.sort(pair, axis=1))
  return np.unique(np.concatenate(found), axis=0)


def _cosines(features, pairs) -> np.ndarray:
  """float64 [p], of pairs of rows int [p, 2]."""
  out = np.empty(len(pairs))
  for start in range(0, len(pairs), _BLOCK):
    some = pairs[start : start + _BLOCK]
    rows, place = np.unique(some, return_inverse=True)
    found = features[rows][place.reshape(some.shape)]
    out[start : start + _BLOCK] = np.sum(found[:, 0] * found[:, 1], axis=1)
  return out
