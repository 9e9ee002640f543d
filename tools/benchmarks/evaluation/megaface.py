"""A search as of MegaFace: 3,530 probes among a million distractors.

The gallery is a file that ours and the numpy side map into memory; faiss has a
copy of its own, whose making is not measured. Each side is a process.
"""

import pathlib
import tempfile

import numpy as np

from benchmarks import timing

PROBES, DISTRACTORS, DIM = 3530, 1_000_000, 512
K = 10
_ROWS = 16384
_GOAL = 'at least 1'


def rows(*, repeats: int, scale: float = 1.0) -> list[timing.Row]:
  """Times the search, and tells the memory of each side.

  Raises:
    AssertionError: if a side does not find the best.
  """
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    probes = max(round(scale * PROBES), 8)
    gallery = round(scale * DISTRACTORS)
    what = f'{K} best of {gallery} for {probes} probes, {DIM}-d'
    timing.tell(f'{what}: features are made')
    make(folder, probes, gallery)
    sides = {
      'ours': timing.Apart(_ours, folder),
      'numpy': timing.Apart(_numpy, folder),
      'faiss': timing.Apart(_faiss, folder),
    }
    calls = {name: apart.call('search') for name, apart in sides.items()}
    secs = timing.interleaved(calls, repeats, what=what)
    for apart in sides.values():
      apart.close()
    peaks = {name: [_peak(folder, name)] for name in sides}
    probes, gallery = _load(folder)
    found = {name: np.load(folder / f'{name}.npy') for name in sides}
    same = {
      name: _compared(probes, gallery, found['ours'], found[name])
      for name in sides
    }
  words = {
    'numpy': f'numpy: matmul and argpartition of {_ROWS} rows',
    'faiss': 'faiss IndexFlatIP',
  }
  return [
    timing.Row(
      what, 'search.top_k', words[name], secs['ours'], secs[name], _GOAL, note
    )
    for name, note in same.items()
    if name != 'ours'
  ] + [
    timing.Row(
      f'{what}: peak memory',
      'search.top_k, with the mapped gallery',
      words[name],
      peaks['ours'],
      peaks[name],
      'under 4 GiB',
      unit='B',
    )
    for name in words
  ]


def make(folder: pathlib.Path, num_probes: int, num_rows: int) -> None:
  """Writes probes and a gallery: normalised, a cosine of 0.04 by chance."""
  rng = np.random.default_rng(0)
  for name, n in (('probes', num_probes), ('gallery', num_rows)):
    out = np.lib.format.open_memmap(
      folder / f'{name}_features.npy', 'w+', np.float32, (n, DIM)
    )
    for start in range(0, n, _ROWS):
      block = out[start : start + _ROWS]
      block[:] = rng.standard_normal(block.shape, dtype=np.float32)
      block /= np.linalg.norm(block, axis=1, keepdims=True)


def _load(folder):
  return (
    np.load(folder / 'probes_features.npy'),
    np.load(folder / 'gallery_features.npy', mmap_mode='r'),
  )


def _ours(folder):
  from bfjax import runtime

  runtime.start()
  from bfjax.evaluation import search

  probes, gallery = _load(folder)
  return _leaving(folder, 'ours', lambda: search.top_k(probes, gallery, K)[1])


def _numpy(folder):
  probes, gallery = _load(folder)
  return _leaving(folder, 'numpy', lambda: best_by_blocks(probes, gallery))


def _faiss(folder):
  import faiss

  probes, gallery = _load(folder)
  index = faiss.IndexFlatIP(DIM)
  for start in range(0, len(gallery), _ROWS):
    index.add(gallery[start : start + _ROWS])
  return _leaving(folder, 'faiss', lambda: index.search(probes, K)[1])


def best_by_blocks(probes, gallery):
  """int [probes, K]: the best rows, by partition of blocks of products."""
  best = np.empty((len(probes), 0), np.float32)
  rows = np.empty((len(probes), 0), int)
  for start in range(0, len(gallery), _ROWS):
    scores = probes @ gallery[start : start + _ROWS].T
    k = min(K, scores.shape[1])
    part = np.argpartition(scores, -k, axis=1)[:, -k:]
    best = np.hstack([best, np.take_along_axis(scores, part, axis=1)])
    rows = np.hstack([rows, start + part])
    order = np.argsort(-best, axis=1, kind='stable')[:, :K]
    best = np.take_along_axis(best, order, axis=1)
    rows = np.take_along_axis(rows, order, axis=1)
  return rows


def _leaving(folder, name, find):
  """The call `search`, which leaves what it found and its memory in files."""

  def search():
    rows = find()
    np.save(folder / f'{name}.npy', rows)
    (folder / f'{name}.peak').write_text(_status('VmHWM'))

  return {'search': search}


def _status(key: str) -> str:
  """Of this process, as Linux tells it; 'nan kB' elsewhere."""
  status = pathlib.Path('/proc/self/status')
  lines = status.read_text().splitlines() if status.exists() else []
  found = [line.split(':')[1] for line in lines if line.startswith(key)]
  return found[0] if found else 'nan kB'


def _peak(folder, name) -> float:
  return 1024 * float((folder / f'{name}.peak').read_text().split()[0])


def _compared(probes, gallery, ours, theirs) -> str:
  """'the same rows', or how many differ where float32 cannot tell them apart.

  Raises:
    AssertionError: if theirs are better by float64, or worse by more than the
      rounding of float32 explains.
  """
  probe, place = np.nonzero(ours != theirs)
  if not len(probe):
    return 'the same rows'
  left = probes[probe].astype(np.float64)
  ahead = np.sum(
    left
    * (
      gallery[ours[probe, place]]
      - gallery[theirs[probe, place]].astype(np.float64)
    ),
    axis=1,
  )
  assert np.abs(ahead).max() < 1e-6, np.abs(ahead).max()
  return (
    f'the same rows but {len(probe)} of {ours.size}, of scores that are equal '
    f'within {np.abs(ahead).max():.0e}: theirs are ordered by float32'
  )
