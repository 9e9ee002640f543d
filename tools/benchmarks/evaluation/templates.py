"""1:1 verification of templates, as many as in IJB-C, beside the usual way.

The other side is what the published evaluation scripts do: they gather the
templates of some pairs at a time, multiply and sum them, and sort all scores
for the ROC.
"""

import pathlib
import tempfile

import numpy as np

from benchmarks import timing
from bfjax.evaluation.protocols import pair_scores, products, roc

# Of IJB-C: templates that are enrolled, templates to verify, pairs, of these
# of one person.
SIZES = (3_531, 19_593, 15_658_489, 19_557)
DIM = 512
_BATCH = 100_000


def rows(*, repeats: int, scale: float = 1.0) -> list[timing.Row]:
  """Times the scores of all pairs, and the true accept rates.

  Raises:
    AssertionError: if the two sides do not find the same.
  """
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    timing.tell('templates and pairs are made')
    make(folder, scale)
    same = np.load(folder / 'same.npy')
    what = f'{len(same) / 1e6:.3g} M pairs of {DIM}-d templates'
    sides = {
      'ours': timing.Apart(_ours, folder),
      'theirs': timing.Apart(_theirs, folder),
    }
    calls = {name: apart.call('scores') for name, apart in sides.items()}
    secs = timing.interleaved(calls, repeats, what=f'scores of {what}')
    for apart in sides.values():
      apart.close()
    ours = np.load(folder / 'ours.npy')
    np.testing.assert_allclose(
      ours, np.load(folder / 'theirs.npy'), rtol=0, atol=1e-6
    )
    rates = _rates(ours, same, _load(folder), what, repeats)
  return [
    timing.Row(
      f'scores of {what}',
      'pair_scores.rounded',
      f'gathered, {_BATCH} pairs at a time, numpy',
      secs['ours'],
      secs['theirs'],
      'at least 10',
      'the same up to the rounding of float32',
    ),
    rates,
  ]


def make(folder: pathlib.Path, scale: float) -> None:
  """Writes templates, pairs of them and which are of one person."""
  rng = np.random.default_rng(0)
  num_enrolled, num_others, num_pairs, num_same = (
    max(round(size * scale ** (0.5 if i < 2 else 1)), 30)
    for i, size in enumerate(SIZES)
  )
  num_templates = num_enrolled + num_others
  templates = rng.standard_normal((num_templates, DIM), dtype=np.float32)
  person = rng.integers(0, num_enrolled, num_others)
  templates[num_enrolled:] += np.float32(0.5) * templates[person]
  templates /= np.linalg.norm(templates, axis=1, keepdims=True)
  # The first ones are of one person; no pair occurs twice, as in IJB.
  mates = np.unique(rng.integers(0, num_others, 2 * num_same))[:num_same]
  cells = rng.integers(0, num_enrolled * num_others, num_pairs - len(mates))
  left = np.r_[person[mates], cells // num_others]
  right = num_enrolled + np.r_[mates, cells % num_others]
  same = np.r_[
    np.ones(len(mates), bool), person[cells % num_others] == left[len(mates) :]
  ]
  order = rng.permutation(len(same))
  np.save(folder / 'templates.npy', templates)
  for name, values in (('left', left), ('right', right), ('same', same)):
    np.save(folder / f'{name}.npy', values[order])


def _load(folder):
  names = ('templates', 'left', 'right')
  return [np.load(folder / f'{name}.npy') for name in names]


def _ours(folder):
  return {'scores': _saving(pair_scores.rounded, folder / 'ours.npy', folder)}


def _theirs(folder):
  return {'scores': _saving(gathered, folder / 'theirs.npy', folder)}


def _saving(score, path, folder):
  """A call of `score` that leaves the result of the first call at `path`."""
  given = _load(folder)

  def call():
    scores = score(*given)
    if not path.exists():  # in the call that warms up
      np.save(path, scores)

  return call


def gathered(templates, left, right):
  """Scores of pairs, some at a time."""
  scores = np.zeros(len(left), np.float32)
  for start in range(0, len(left), _BATCH):
    pairs = slice(start, start + _BATCH)
    products = templates[left[pairs]] * templates[right[pairs]]
    scores[pairs] = np.sum(products, axis=1)
  return scores


def _rates(rounded, same, given, what, repeats):
  """The row of the true accept rates, as of scores in float64."""
  templates, left, right = given

  def exact(pairs):
    return products.exact(templates, templates, left[pairs], right[pairs])

  def ours():
    slack = pair_scores.slack(DIM)
    return roc.rates(rounded, same, exact=exact, slack=slack)

  line = f'TAR at {len(roc.FARS)} FARs of {what}'
  timing.tell(f'{line}: the same on both sides?')
  scores = exact(np.arange(len(same)))
  found, expected = ours(), rates_by_sort(scores, same)
  assert [(x.nearest.tar, x.conservative.tar) for x in found] == expected
  sides = {'ours': ours, 'theirs': lambda: rates_by_sort(scores, same)}
  secs = timing.interleaved(sides, repeats, 0, line)
  return timing.Row(
    line,
    'roc.rates: the highest float32 sorted, exact where it counts',
    'all float64 scores sorted, numpy',
    secs['ours'],
    secs['theirs'],
    'at least 8',
    'the same digits, nearest and conservative',
  )


def rates_by_sort(scores, same) -> list[tuple[float, float]]:
  """[(TAR at the FAR nearest to a target, the highest TAR at most there)].

  The ROC is that of scikit-learn's `roc_curve`, with its points dropped where
  a straight piece goes on; the conservative rate sees all points.
  """
  order = np.argsort(scores, kind='stable')[::-1]
  last_of_tie = np.r_[np.flatnonzero(np.diff(scores[order])), len(order) - 1]
  true = np.cumsum(same[order])[last_of_tie]
  false = 1 + last_of_tie - true
  far, tar = np.r_[0, false / false[-1]], np.r_[0, true / true[-1]]
  kept = np.r_[True, (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), True]
  kept = np.r_[True, kept]
  near_far, near_tar = far[kept][::-1], tar[kept][::-1]
  return [
    (near_tar[np.argmin(np.abs(near_far - x))], tar[far <= x].max())
    for x in roc.FARS
  ]
