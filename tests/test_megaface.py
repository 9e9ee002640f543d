"""MegaFace: the literal protocol, lists, saved features, and what is wrong."""

import json

import jax
import numpy as np
import pytest

from bfjax import errors
from bfjax.evaluation import benchmarks, blocks
from bfjax.evaluation.benchmarks.parts import megaface_lists

PEOPLE, EACH, STRANGERS, DIM = 5, 4, 150, 6
PROBES = PEOPLE * EACH


def make_root(root, strangers=STRANGERS):
  """Lists and images, which nothing here decodes."""
  probes = [
    f'Person_{i // EACH}/Person_{i // EACH}_{i}.png' for i in range(PROBES)
  ]
  others = [f'{i % 7}/{i}@N00/{i}.jpg' for i in range(strangers)]
  ids = [f'Person_{i // EACH}' for i in range(PROBES)]
  for folder, paths in (('facescrub', probes), ('megaface', others)):
    for path in paths:
      (root / folder / path).parent.mkdir(parents=True, exist_ok=True)
      (root / folder / path).write_bytes(b'image')
  write_json(root / 'probes.json', {'path': probes, 'id': ids})
  write_json(root / 'others.json', {'path': others, 'id': others})
  return probes, others


def write_json(path, content):
  path.write_text(json.dumps(content, indent=1))


def build(root, **options):
  given = {
    'facescrub_list': 'probes.json',
    'distractor_list': 'others.json',
    'facescrub': 'facescrub',
    'distractors': 'megaface',
  }
  return benchmarks.build('megaface', root=str(root), **given | options)


def make_features(kind='normal', n=PROBES + STRANGERS, seed=0):
  rng = np.random.default_rng(seed)
  if kind == 'constant':
    return np.full((n, 2, DIM), 0.5, np.float32)
  if kind == 'ties':
    return rng.integers(-1, 2, (n, 2, 2)).astype(np.float32)
  features = rng.normal(size=(n, 2, DIM)).astype(np.float32)
  people = rng.normal(size=(PEOPLE, 1, DIM)).astype(np.float32)
  features[:PROBES] += 1.5 * people[np.arange(PROBES) // EACH]
  return features


def fused(features):
  total = features[:, 0].astype(np.float64) + features[:, 1]
  length = np.sqrt(np.sum(total**2, axis=1, keepdims=True))
  return (total / np.where(length == 0, 1, length)).astype(np.float32)


def literal(probes, strangers, far):
  """The scores by the rules of the protocol, pair by pair."""
  probes, strangers = probes.astype(np.float64), strangers.astype(np.float64)
  against = np.array([[np.sum(p * s) for s in strangers] for p in probes])
  highest = -np.sort(-against, axis=1)
  same = [
    (i, j, np.sum(probes[i] * probes[j]))
    for i in range(PROBES)
    for j in range(PROBES)
    if i != j and i // EACH == j // EACH
  ]
  scores = {}
  for n in range(1, 11):
    hits = [s >= highest[j, min(n, len(strangers)) - 1] for _, j, s in same]
    scores[f'rank{n}'] = np.mean(hits)
  positives = np.array([s for *_, s in same])
  tried = np.r_[np.unique(np.r_[against.ravel(), positives]), np.inf]
  rates = [(np.mean(against >= t), np.mean(positives >= t)) for t in tried]
  scores['tar@far<=1e-6' if far == 1e-6 else 'tar@far<=1e-2'] = max(
    tar for rate, tar in rates if rate <= far
  )
  return scores


def without_nearest(scores):
  return {key: x for key, x in scores.items() if '@far=' not in key}


@pytest.mark.parametrize('kind', ['normal', 'ties', 'constant'])
@pytest.mark.parametrize('far', [1e-6, 0.01])
def test_scores_are_those_of_the_literal_protocol(tmp_path, kind, far):
  make_root(tmp_path)
  benchmark = build(tmp_path, sizes=(20,), far=far)
  assert benchmark.files.num_rows == PROBES + STRANGERS
  assert benchmark.files.name(PROBES + 3) == 'megaface/3/3@N00/3.jpg'
  features = make_features(kind)
  x = fused(features)
  expected = literal(x[:PROBES], x[PROBES:], far)
  few = literal(x[:PROBES], x[PROBES : PROBES + 20], far)
  expected |= {f'20/{key}': value for key, value in few.items()}
  scores = benchmark.evaluate(features)
  assert without_nearest(scores) == expected
  assert set(benchmark.headline) <= set(scores)
  if kind == 'normal':
    assert 0.1 < scores['rank1'] < scores['rank10'] < 1


def test_refined_scores_replace_noise(tmp_path):
  _, others = make_root(tmp_path)
  # By name only, by path, with another suffix, and in a second field.
  (tmp_path / 'probe_noises.txt').write_text(
    '# noise\n\nPerson_0_1.jpg\nPerson_3/Person_3_13.png\nNo_One_1.png\n'
  )
  (tmp_path / 'other_noises.txt').write_text(
    f'# noise\n{others[5]}\r\n17\t{others[77]}\n'
  )
  benchmark = build(
    tmp_path,
    facescrub_noises='probe_noises.txt',
    distractor_noises='other_noises.txt',
  )
  features = make_features(seed=2)
  x = fused(features)
  # These win every search, until they are removed.
  features[PROBES + 5] = features[PROBES + 77] = 0
  features[PROBES + 5, 0], features[PROBES + 77, 0] = x[3], x[12]
  x = fused(features)
  plain = literal(x[:PROBES], x[PROBES:], 1e-6)
  x[PROBES + 5] = x[PROBES + 77] = 0
  for noisy, clean in ((1, [0, 2, 3]), (13, [12, 14, 15])):
    x[noisy] = fused(np.stack([x[clean], 0 * x[clean]], axis=1).sum(0)[None])
  refined = literal(x[:PROBES], x[PROBES:], 1e-6)
  assert refined['rank1'] > plain['rank1']
  expected = plain | {f'refined/{key}': value for key, value in refined.items()}
  assert without_nearest(benchmark.evaluate(features)) == expected
  assert benchmark.headline[0] == 'refined/rank1'
  assert '2 noisy probes' in benchmark.protocol


def test_nothing_depends_on_devices_or_order(tmp_path, monkeypatch):
  make_root(tmp_path)
  features = make_features('ties', seed=4)
  scores = build(tmp_path, far=0.01).evaluate(features)
  monkeypatch.setattr(blocks, '_CPU_BLOCK', (8, 32))
  monkeypatch.setattr(jax, 'local_devices', lambda: jax.devices()[:3])
  assert build(tmp_path, far=0.01).evaluate(features) == scores
  rng = np.random.default_rng(0)
  order = {'probes': rng.permutation(PROBES), 'others': rng.permutation(150)}
  for name, rows in order.items():
    content = json.loads((tmp_path / f'{name}.json').read_text())
    write_json(
      tmp_path / f'{name}.json',
      {key: [values[i] for i in rows] for key, values in content.items()},
    )
  rows = np.r_[order['probes'], PROBES + order['others']]
  assert build(tmp_path, far=0.01).evaluate(features[rows]) == scores


def test_analysis_tells_which_distractor_won(tmp_path):
  make_root(tmp_path)
  benchmark = build(tmp_path, examples=PROBES)
  features = make_features(seed=1)
  analysis = benchmark.analyse(features)
  assert analysis.scores == benchmark.evaluate(features)
  for name in benchmark.headline:
    assert analysis.outcomes[name].score() == analysis.scores[name]
  cmc = analysis.curves['CMC']
  assert len(cmc.x) == STRANGERS
  assert cmc.y[9] == analysis.scores['rank10']
  assert sum(analysis.histograms['scores'].counts['pairs of one person']) == 60
  x = fused(features).astype(np.float64)
  assert len(analysis.examples) == PROBES
  for example in analysis.examples:
    probe, mate, distractor = (row for row, _ in example.images)
    mates = [
      j for j in range(PROBES) if j != probe and j // EACH == probe // EACH
    ]
    assert mate == max(mates, key=lambda j: x[probe] @ x[j])
    assert distractor == PROBES + np.argmax(x[PROBES:] @ x[probe])
    ahead = x[probe] @ x[distractor] - x[probe] @ x[mate]
    assert example.score == pytest.approx(ahead)
    who = 'a distractor' if ahead > 0 else 'the mate'
    assert f'{who} wins' in example.caption
  scores = [example.score for example in analysis.examples]
  assert scores == sorted(scores, reverse=True)
  assert scores[0] > 0 > scores[-1]


def save_tree(root, paths, features, suffix):
  for path, x in zip(paths, features, strict=True):
    stem = path[:-4] if suffix == '.npy' else path
    file = root / f'{stem}.npy'
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, x)


def saved_root(root, suffix='.npy'):
  probes, others = make_root(root)
  features = fused(make_features())
  save_tree(root / 'saved/facescrub', probes, features[:PROBES], suffix)
  save_tree(root / 'saved/megaface', others, features[PROBES:], suffix)
  return probes, others


@pytest.mark.parametrize('suffix', ['.npy', '.jpg.npy'])
def test_saved_features_one_file_an_image(tmp_path, suffix):
  make_root(tmp_path)
  expected = build(tmp_path).evaluate(make_features())
  saved_root(tmp_path, suffix)
  benchmark = build(tmp_path, features='saved', normalise=False)
  assert benchmark.files is None
  assert benchmark.pictures.num_rows == PROBES + STRANGERS
  assert benchmark.evaluate(None) == expected
  assert 'one .npy an image, as saved' in benchmark.protocol
  # What tools/embed.py leaves beside a tree of both folders.
  write_json(tmp_path / 'saved' / 'meta.json', {'flip': 'sum'})
  benchmark = build(tmp_path, features='saved', normalise=False)
  assert 'f(x) + f(mirror x), as saved' in benchmark.protocol
  assert benchmark.evaluate(None) == expected


@pytest.mark.parametrize('together', [True, False])
def test_saved_features_in_stores(tmp_path, together):
  probes, others = make_root(tmp_path)
  features = make_features()
  expected = build(tmp_path).evaluate(features)
  parts = {'facescrub': (probes, features[:PROBES])}
  parts['megaface'] = others, features[PROBES:]
  if together:
    names = [f'{k}/{name}' for k, (paths, _) in parts.items() for name in paths]
    parts = {'': (names, features)}
  for folder, (paths, found) in parts.items():
    place = tmp_path / 'saved' / folder
    place.mkdir(parents=True, exist_ok=True)
    # In another order than the list's.
    np.save(place / 'features.npy', found[::-1])
    lines = [f'{i}\t{path}\t\n' for i, path in enumerate(paths[::-1])]
    (place / 'rows.tsv').write_text('row\tpath\tlabel\n' + ''.join(lines))
    write_json(place / 'meta.json', {'flip': 'both', 'normalised': False})
  benchmark = build(tmp_path, features='saved')
  assert benchmark.evaluate(None) == expected
  assert 'f(x) + f(mirror x)' in benchmark.protocol


def test_protocol_names_its_flags(tmp_path):
  make_root(tmp_path)
  text = build(tmp_path, flip='none', normalise=False).protocol
  for words in ('f(x), not normalised', '20 probes of 5 people', 'tar@far<=x'):
    assert words in text


def test_features_that_are_not_finite_name_the_image(tmp_path):
  _, others = make_root(tmp_path)
  for row, name in ((3, 'Person_0_3.png'), (PROBES + 9, others[9])):
    features = make_features()
    features[row, 1, 0] = np.nan
    with pytest.raises(errors.UserError, match=f'{name} are not finite'):
      build(tmp_path).evaluate(features)


def test_missing_lists_are_absent(tmp_path):
  with pytest.raises(benchmarks.Absent, match=r'no image list .*probes.json'):
    build(tmp_path)


@pytest.mark.parametrize(
  'text, message',
  [
    ('{"path": ["a.jpg",\n"b.jpg"\n"c.jpg"]}', r'others.json:3: no JSON'),
    ('[1]', 'a list `path`'),
    ('{"path": []}', 'a list `path`'),
    ('{"path": ["a.jpg", 7]}', 'entry 2 of `path` is 7'),
    ('{"path": ["a.jpg", "b.jpg", "a.jpg"]}', 'entry 3.*is entry 1 already'),
    ('{"path": ["a.jpg"], "id": []}', '1 of 21 images'),
    ('{"path": ["a.jpg"], "id": ["a", "b"]}', '`id` must be a list'),
  ],
)
def test_malformed_lists(tmp_path, text, message):
  make_root(tmp_path)
  (tmp_path / 'others.json').write_text(text)
  with pytest.raises(errors.UserError, match=message):
    build(tmp_path)


def test_probes_need_people_with_two_images(tmp_path):
  probes, _ = make_root(tmp_path)
  write_json(tmp_path / 'probes.json', {'path': probes})
  with pytest.raises(errors.UserError, match='needs `id`'):
    build(tmp_path)
  write_json(tmp_path / 'probes.json', {'path': probes, 'id': probes})
  with pytest.raises(errors.UserError, match='no person has two images'):
    build(tmp_path)


def test_missing_images_and_sizes(tmp_path):
  make_root(tmp_path)
  with pytest.raises(errors.UserError, match=r'sizes has 151, .* 150'):
    build(tmp_path, sizes=(10, 151))
  with pytest.raises(errors.UserError, match='far = 0:'):
    build(tmp_path, far=0)
  (tmp_path / 'megaface/3/3@N00/3.jpg').unlink()
  with pytest.raises(errors.UserError, match=r'1 of 170 images.*\n.*3@N00/3'):
    build(tmp_path)


def test_noise_lists_must_fit(tmp_path):
  make_root(tmp_path)
  noises = tmp_path / 'noises.txt'
  noises.write_text('# none\n')
  with pytest.raises(errors.UserError, match='matches none of the 20 images'):
    build(tmp_path, facescrub_noises='noises.txt')
  noises.write_text('else/1.jpg\n')
  with pytest.raises(errors.UserError, match=r"none of the 150.*'else/1.jpg'"):
    build(tmp_path, distractor_noises='noises.txt')
  noises.write_text(''.join(f'Person_2_{i}.png\n' for i in range(8, 12)))
  with pytest.raises(errors.UserError, match='all images of the person of Per'):
    build(tmp_path, facescrub_noises='noises.txt')
  with pytest.raises(errors.UserError, match='Cannot read the list of noisy'):
    build(tmp_path, facescrub_noises='absent.txt')


@pytest.mark.parametrize(
  'entry, expected',
  [
    ('a/b/1.png', [True, False, False, False]),
    ('1.jpg', [True, True, False, True]),
    ('b/1', [True, True, False, False]),
  ],
)
def test_a_noise_entry_matches_whole_components(tmp_path, entry, expected):
  names = ['a/b/1.jpg', 'xa/b/1.jpg', 'a/b/11.jpg', 'c/1.png']
  (tmp_path / 'noises.txt').write_text(f'{entry}\n')
  found = megaface_lists.noisy(str(tmp_path / 'noises.txt'), names)
  assert found.tolist() == expected


@pytest.mark.parametrize(
  'spoil, message',
  [
    (lambda file: file.unlink(), '1 of 150 .*\n.*3@N00/3.npy'),
    (lambda file: file.write_bytes(file.read_bytes()[:-5]), 'Cannot read'),
    (lambda file: np.save(file, np.ones(DIM + 1, 'f')), r'shape \(7,\)'),
    (lambda file: np.save(file, np.ones(DIM, int)), 'int64'),
    (
      lambda file: np.save(file, np.array([None] * DIM), allow_pickle=True),
      'Cannot read',
    ),
  ],
)
def test_bad_saved_features(tmp_path, spoil, message):
  saved_root(tmp_path)
  file = tmp_path / 'saved/megaface/3/3@N00/3.npy'
  spoil(file)
  with pytest.raises(errors.UserError, match=message):
    build(tmp_path, features='saved')


def test_saved_features_of_other_images_or_another_model(tmp_path):
  probes, _ = saved_root(tmp_path)
  with pytest.raises(errors.UserError, match=r'no folder .*elsewhere'):
    build(tmp_path, features='elsewhere')
  wide = np.ones((PROBES, DIM + 2), np.float32)
  save_tree(tmp_path / 'saved/facescrub', probes, wide, '.npy')
  with pytest.raises(errors.UserError, match=r'\(8,\), .* \(6,\)'):
    build(tmp_path, features='saved')
