"""Templates and their scores: the same as media by media, pair by pair."""

import itertools

import jax
import numpy as np
import pytest

from bfjax import errors
from bfjax.evaluation.protocols import pair_scores, products, roc, templates

FLAGS = list(
  itertools.product(
    ('sum', 'none'), ('kept', 'removed'), ('weighted', 'ignored')
  )
)


def literal(features, template, media, detector, pooling, num_templates):
  """Template by template, medium by medium, as the scripts do it."""
  features = features.astype(np.float64)
  vectors = features[:, 0]
  if pooling.flip == 'sum':
    vectors = features[:, 0] + features[:, 1]
  if pooling.norm == 'removed':
    length = np.sqrt(np.sum(vectors**2, axis=1, keepdims=True))
    vectors = vectors / np.where(length > 0, length, 1)
  if pooling.detector == 'weighted':
    vectors = vectors * detector[:, None]
  out = np.zeros((num_templates, features.shape[2]))
  for t in range(num_templates):
    of_template = []
    for m in np.unique(media[template == t]):
      of_media = vectors[(template == t) & (media == m)]
      of_template.append(np.mean(of_media, axis=0))
    out[t] = np.sum(of_template, axis=0)
    length = np.sqrt(np.sum(out[t] ** 2))
    if length > 0:
      out[t] /= length
  return out


def make(rng, num_templates=30, num_rows=200, dim=16):
  template = np.r_[
    np.arange(num_templates),
    rng.integers(0, num_templates, num_rows - num_templates),
  ]
  media = rng.integers(5, 9, num_rows)
  features = rng.normal(size=(num_rows, 2, dim)).astype(np.float32)
  features *= rng.uniform(0.1, 30, (num_rows, 1, 1)).astype(np.float32)
  return features, template, media, rng.uniform(0, 1, num_rows)


@pytest.fixture(params=[1, 7, 4096])
def rows_at_a_time(request, monkeypatch):
  monkeypatch.setattr(templates, '_ROWS', request.param)


@pytest.mark.parametrize('flags', FLAGS, ids='-'.join)
def test_pooling_equals_media_by_media(flags, rows_at_a_time):
  images = make(np.random.default_rng(0))
  pooling = templates.Pooling(*flags)
  found = templates.pool(*images, pooling=pooling, num_templates=30)
  assert found.dtype == np.float64
  expected = literal(*images, pooling, 30)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_flags_matter():
  images = make(np.random.default_rng(0))
  found = [
    templates.pool(*images, pooling=templates.Pooling(*flags), num_templates=30)
    for flags in FLAGS
  ]
  for a, b in itertools.combinations(found, 2):
    assert np.abs(a - b).max() > 0.01


def test_coarse_features_are_pooled_to_the_same_bits():
  """Ties among scores are those of the literal code."""
  rng = np.random.default_rng(0)
  features, template, media, _ = make(rng)
  features = rng.integers(-1, 2, features.shape).astype(np.float32)
  pooling = templates.Pooling(detector='ignored')
  found = templates.pool(
    features, template, media, None, pooling=pooling, num_templates=30
  )
  expected = literal(features, template, media, None, pooling, 30)
  np.testing.assert_array_equal(found, expected)


def test_the_order_of_rows_does_not_matter():
  rng = np.random.default_rng(0)
  features, template, media, detector = make(rng)
  rank, pooling = rng.permutation(200), templates.Pooling(norm='removed')

  def pool(rows):
    return templates.pool(
      features[rows],
      template[rows],
      media[rows],
      detector[rows],
      rank=rank[rows],
      pooling=pooling,
      num_templates=30,
    )

  expected = pool(np.arange(200))
  for _ in range(5):
    np.testing.assert_array_equal(pool(rng.permutation(200)), expected)


def test_features_that_are_fused_already_are_taken_as_they_are(tmp_path):
  features, *lists = make(np.random.default_rng(0))
  both = templates.pool(
    features, *lists, pooling=templates.Pooling('none'), num_templates=30
  )
  np.save(tmp_path / 'one.npy', features[:, 0])
  one = np.load(tmp_path / 'one.npy', mmap_mode='r')
  for flip in ('sum', 'none'):
    pooling = templates.Pooling(flip)
    found = templates.pool(one, *lists, pooling=pooling, num_templates=30)
    np.testing.assert_array_equal(found, both)


def test_vectors_without_a_length_stay_zero():
  features, template, media, detector = make(np.random.default_rng(0))
  features[template == 3] = 0
  features[7, 1] = -features[7, 0]
  for norm in ('kept', 'removed'):
    found = templates.pool(
      features,
      template,
      media,
      detector,
      pooling=templates.Pooling(norm=norm),
      num_templates=31,
    )
    assert np.isfinite(found).all()
    assert not found[[3, 30]].any()
    np.testing.assert_allclose(np.linalg.norm(found[:3], axis=1), 1)


def test_an_image_that_is_not_finite_is_named(rows_at_a_time):
  features, *lists = make(np.random.default_rng(0))
  for row, value in ((150, np.nan), (40, np.inf)):
    features[:, 1, 3] = 1
    features[row, 1, 3] = value
    with pytest.raises(errors.UserError, match=f'the image no {row} are not'):
      templates.pool(
        features,
        *lists,
        pooling=templates.Pooling(),
        num_templates=30,
        name='no {}'.format,
      )


@pytest.mark.parametrize(
  ('flags', 'what'),
  [
    ({'flip': 'joined'}, "No flip called 'joined'. There are: none, sum"),
    ({'norm': True}, 'No norm called True. There are: kept, removed'),
    ({'detector': ''}, "No detector called ''. There are: ignored, weighted"),
  ],
)
def test_flags_are_checked(flags, what):
  with pytest.raises(errors.UserError, match=what):
    templates.Pooling(**flags).check()


def test_flags_are_told():
  text = templates.Pooling('none', 'removed', 'ignored').describe()
  for word in ("flip 'none'", "norm 'removed'", "detector 'ignored'"):
    assert word in text


def make_templates(rng, n=300, dim=24):
  found = rng.normal(size=(n, dim))
  return found / np.linalg.norm(found, axis=1, keepdims=True)


def literal_scores(unit, left, right):
  return np.sum(unit[left] * unit[right], axis=-1)


@pytest.mark.parametrize('dim', [1, 2, 24, 512])
@pytest.mark.parametrize(
  ('block', 'buffer', 'cost'),
  [
    ((512, 2048), 1 << 27, 128),
    ((16, 64), 1 << 27, 128),
    ((16, 64), 1, 128),
    ((16, 64), 1 << 13, 128),
    ((16, 64), 1 << 27, 0),
  ],
  ids=['one block', 'blocks', 'strips', 'some strips', 'exact'],
)
def test_scores_in_any_way(block, buffer, cost, dim, monkeypatch):
  monkeypatch.setattr(pair_scores, '_BLOCK', block)
  monkeypatch.setattr(pair_scores, '_BUFFER_SCORES', buffer)
  monkeypatch.setattr(pair_scores, '_EXACT_COST', cost)
  monkeypatch.setattr(pair_scores, '_PAIRS', 1000)
  rng = np.random.default_rng(dim)
  unit = make_templates(rng, dim=dim)
  left, right = rng.integers(0, 100, 5000), rng.integers(50, 299, 5000)
  expected = literal_scores(unit, left, right)
  found = pair_scores.rounded(unit, left, right)
  assert found.dtype == np.float32
  assert np.abs(found - expected).max() <= pair_scores.slack(dim) < 1e-4
  np.testing.assert_array_equal(
    products.exact(unit, unit, left, right), expected
  )


def test_few_pairs_of_many_templates():
  rng = np.random.default_rng(0)
  unit = make_templates(rng, 30_000, 4)
  left, right = rng.integers(0, 30_000, (2, 9000))
  found = pair_scores.rounded(unit, left, right)
  expected = literal_scores(unit, left, right)
  assert np.abs(found - expected).max() <= pair_scores.slack(4)


def rates(unit, left, right, same):
  return roc.rates(
    pair_scores.rounded(unit, left, right),
    same,
    exact=lambda pairs: products.exact(unit, unit, left[pairs], right[pairs]),
    slack=pair_scores.slack(unit.shape[1]),
  )


@pytest.mark.parametrize('kind', ['random', 'repeated', 'close', 'constant'])
def test_rates_are_those_of_exact_scores(kind):
  """In any order, on any device, however blocks are laid out."""
  rng = np.random.default_rng(0)
  unit = make_templates(rng)
  if kind == 'repeated':
    unit = unit[rng.integers(0, 20, 300)]
  elif kind == 'close':
    # Scores that differ by less than float32 can tell.
    unit = unit[:1] + 1e-9 * unit
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
  elif kind == 'constant':
    unit = np.broadcast_to(unit[:1], unit.shape)
  left, right = np.divmod(rng.choice(90_000, 20_000, replace=False), 300)
  same = left % 25 == right % 25
  expected = roc.rates(literal_scores(unit, left, right), same)
  assert rates(unit, left, right, same) == expected
  order = rng.permutation(len(left))
  assert rates(unit, left[order], right[order], same[order]) == expected
  assert rates(unit, right, left, same) == expected
  with jax.default_device(jax.devices()[5]):
    assert rates(unit, left, right, same) == expected
