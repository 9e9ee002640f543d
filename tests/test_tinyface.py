"""TinyFace: the literal rule, the published layout, what is wrong with it."""

import numpy as np
import pytest

from bfjax import errors
from bfjax.evaluation import benchmarks

PROBES = ['1_1', '1_2', '2_1', '7_1', '12_5']
MATES = ['1_3', '2_2', '2_3', '7_2', '12_1', '12_2', '12_3']
STRANGERS = [f'{i}' for i in range(60)]


def make_root(root):
  """Images, which nothing here decodes."""
  folders = {
    'Probe': PROBES,
    'Gallery_Match': MATES,
    'Gallery_Distractor': STRANGERS,
  }
  for folder, names in folders.items():
    (root / 'Testing_Set' / folder).mkdir(parents=True)
    for name in names:
      (root / 'Testing_Set' / folder / f'{name}.jpg').write_bytes(b'image')


def test_hidden_and_system_files_are_no_strangers(tmp_path):
  make_root(tmp_path)
  for name in ('Gallery_Distractor/._1.jpg', 'Probe/__MACOSX/9_9.jpg'):
    path = tmp_path / 'Testing_Set' / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'image')
  benchmark = build(tmp_path)
  assert len(benchmark.people) == len(PROBES)
  assert len(benchmark.gallery_people) == len(MATES + STRANGERS)


def build(root, **options):
  return benchmarks.build('tinyface', root=str(root), **options)


def make_features(kind, n, seed=0):
  rng = np.random.default_rng(seed)
  if kind == 'constant':
    return np.full((n, 2, 3), 0.5, np.float32)
  if kind == 'ties':
    return rng.integers(-1, 2, (n, 2, 2)).astype(np.float32)
  return rng.normal(size=(n, 2, 4)).astype(np.float32)


def literal(benchmark, features, ranks=(1, 5, 10, 20)):
  """Hits probe by probe, from the names of the images alone."""
  total = features[:, 0].astype(np.float64) + features[:, 1]
  length = np.sqrt(np.sum(total**2, axis=1, keepdims=True))
  x = (total / np.where(length > 0, length, 1)).astype(np.float32)
  x = x.astype(np.float64)
  names = [benchmark.files.name(i) for i in range(benchmark.files.num_rows)]
  gallery = [i for i, name in enumerate(names) if 'Gallery' in name]
  hits = []
  for i, name in enumerate(names):
    if '/Probe/' in name:
      scores = {j: np.sum(x[i] * x[j]) for j in gallery}
      person = name.split('/')[-1].split('_')[0]
      mates = [
        scores[j]
        for j in gallery
        if 'Match' in names[j]
        and names[j].split('/')[-1].split('_')[0] == person
      ]
      highest = sorted(scores.values(), reverse=True)
      hits.append([max(mates) >= highest[n - 1] for n in ranks])
  rates = np.mean(hits, axis=0)
  return {f'rank{n}': rate for n, rate in zip(ranks, rates, strict=True)}


@pytest.mark.parametrize('kind', ['normal', 'ties', 'constant'])
@pytest.mark.parametrize('seed', [0, 1])
def test_scores_are_those_of_the_literal_rule(tmp_path, kind, seed):
  make_root(tmp_path)
  benchmark = build(tmp_path)
  features = make_features(kind, benchmark.files.num_rows, seed)
  scores = benchmark.evaluate(features)
  assert scores == literal(benchmark, features)
  assert set(benchmark.headline) <= set(scores)
  analysis = benchmark.analyse(features)
  assert analysis.scores == scores
  for name in benchmark.headline:
    assert analysis.outcomes[name].score() == scores[name]
  assert analysis.curves['CMC'].y[4] == scores['rank5']
  assert len(analysis.curves['CMC'].x) == len(MATES) + len(STRANGERS)


def test_examples_show_the_stranger_that_won(tmp_path):
  make_root(tmp_path)
  benchmark = build(tmp_path)
  features = make_features('normal', benchmark.files.num_rows)
  example = benchmark.analyse(features).examples[0]
  total = features.sum(axis=1)
  x = total / np.linalg.norm(total, axis=1, keepdims=True)
  (probe, _), (mate, _), (stranger, text) = example.images
  people = [*benchmark.people, *benchmark.gallery_people]
  assert people[mate] == people[probe] != people[stranger]
  assert 'stranger' in text
  gallery = range(len(PROBES), len(x))
  others = [i for i in gallery if people[i] != people[probe]]
  assert stranger == max(others, key=lambda i: x[i] @ x[probe])
  assert example.score == pytest.approx(
    x[stranger] @ x[probe] - x[mate] @ x[probe], abs=1e-6
  )


def test_protocol_names_its_flags(tmp_path):
  make_root(tmp_path)
  text = build(tmp_path, flip='joined').protocol
  assert 'f(x) joined with f(mirror x), normalised' in text
  assert '5 probes in a gallery of 7 images of the same people and 60' in text


def test_features_that_are_not_finite_name_the_image(tmp_path):
  make_root(tmp_path)
  benchmark = build(tmp_path)
  for row, name in ((1, 'Probe/1_1.jpg'), (5, 'Gallery_Match/12_1.jpg')):
    assert benchmark.files.name(row).endswith(name)
    features = make_features('normal', benchmark.files.num_rows)
    features[row, 0, 0] = np.inf
    with pytest.raises(errors.UserError, match=f'{name} are not finite'):
      benchmark.evaluate(features)


def test_a_folder_that_is_not_there_is_absent(tmp_path):
  with pytest.raises(benchmarks.Absent, match='Testing_Set'):
    build(tmp_path)


def test_bad_folders(tmp_path):
  make_root(tmp_path)
  base = tmp_path / 'Testing_Set'
  (base / 'Gallery_Match/7_2.jpg').rename(base / 'Gallery_Match/8_2.jpg')
  with pytest.raises(errors.UserError, match=r'1 of 5 probes .*\n.*7_1.jpg'):
    build(tmp_path)
  (base / 'Probe/7_1.jpg').rename(base / 'Probe/x_1.jpg')
  with pytest.raises(errors.UserError, match=r'x_1.jpg does not tell'):
    build(tmp_path)
  (base / 'Probe/x_1.jpg').write_bytes(b'')
  (base / 'Probe/x_1.jpg').rename(base / 'Probe/1_9.jpg')
  with pytest.raises(errors.UserError, match=r'1_9.jpg: empty'):
    build(tmp_path)
  for name in STRANGERS:
    (base / f'Gallery_Distractor/{name}.jpg').unlink()
  with pytest.raises(errors.UserError, match=r'No images .*Distractor'):
    build(tmp_path)
