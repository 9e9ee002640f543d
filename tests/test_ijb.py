"""IJB 1:1 and 1:N: the same digits as the literal code, and bad input."""

import itertools

import cv2
import jax
import numpy as np
import pytest
from sklearn import metrics

from bfjax import errors
from bfjax.data import alignment, images
from bfjax.evaluation import benchmarks
from bfjax.evaluation.benchmarks.parts import people_search
from bfjax.evaluation.features import store

NUM_IMAGES, NUM_TEMPLATES, NUM_SUBJECTS, DIM = 240, 60, 20, 16
FARS = (1e-6, 1e-3, 1e-2, 1e-1, 0.5)


def make_lists(rng):
  """Template numbers with gaps, media that several templates share."""
  ids = np.sort(rng.choice(1000, NUM_TEMPLATES, replace=False))
  template = rng.permutation(
    np.r_[ids, rng.choice(ids, NUM_IMAGES - NUM_TEMPLATES)]
  )
  media = rng.integers(0, 8, NUM_IMAGES)
  points = np.array(alignment.POINTS) + rng.normal(0, 2, (NUM_IMAGES, 5, 2))
  numbers = np.c_[points.reshape(-1, 10), rng.uniform(0.2, 1, NUM_IMAGES)]
  left, right = rng.choice(ids, (2, 3000))
  people = rng.integers(0, NUM_SUBJECTS, NUM_TEMPLATES)
  subject = dict(zip(ids.tolist(), people.tolist(), strict=True))
  same = np.array(
    [subject[a] == subject[b] for a, b in zip(left, right, strict=True)]
  )
  return template, media, np.round(numbers, 3), left, right, same, subject


def write_lines(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(''.join(' '.join(map(str, row)) + '\n' for row in rows))


def write_set(root, lists, order=None, prefix='ijbc'):
  template, media, numbers, left, right, same, subject = lists
  order = np.arange(NUM_IMAGES) if order is None else order
  meta = root / 'meta'
  write_lines(
    meta / f'{prefix}_face_tid_mid.txt',
    ([f'{i}.png', template[i], media[i]] for i in order),
  )
  write_lines(
    meta / f'{prefix}_name_5pts_score.txt',
    ([f'{i}.png', *numbers[i]] for i in order),
  )
  write_lines(
    meta / f'{prefix}_template_pair_label.txt',
    zip(left, right, same.astype(int), strict=True),
  )
  # Of every person, the first template is in the gallery of even or odd ones.
  people = [[], []]
  probes = []
  seen = set()
  for number, person in subject.items():
    row = f'{number},{person},img/{number}.jpg\n'
    if person in seen:
      probes.append(row)
    else:
      people[person % 2].append(row * 2)
      seen.add(person)
  names = ('S1', 'S2') if prefix == 'ijbb' else ('G1', 'G2')
  header = 'TEMPLATE_ID,SUBJECT_ID,FILENAME\n'
  for name, rows in zip(names, people, strict=True):
    path = meta / f'{prefix}_1N_gallery_{name}.csv'
    path.write_text(header + ''.join(rows))
  path = meta / f'{prefix}_1N_probe_mixed.csv'
  path.write_text(header + ''.join(probes))


def write_images(root):
  rng = np.random.default_rng(0)
  (root / 'loose_crop').mkdir()
  for i in range(NUM_IMAGES):
    pixels = rng.integers(0, 256, (130, 120, 3), np.uint8)
    cv2.imwrite(str(root / 'loose_crop' / f'{i}.png'), pixels)


@pytest.fixture(scope='module')
def lists():
  return make_lists(np.random.default_rng(0))


@pytest.fixture(scope='module')
def folder(tmp_path_factory, lists):
  """A whole data set with images; not to be written to."""
  root = tmp_path_factory.mktemp('ijbc')
  write_set(root, lists)
  write_images(root)
  return root


def make_features(kind, lists, rng):
  template, subject = lists[0], lists[-1]
  person = np.array([subject[number] for number in template])
  if kind == 'coarse':
    return rng.integers(-1, 2, (NUM_IMAGES, 2, 3)).astype(np.float32)
  features = rng.normal(size=(NUM_IMAGES, 2, DIM))
  features += 0.7 * rng.normal(size=(NUM_SUBJECTS, 1, DIM))[person]
  if kind == 'constant':
    features[:] = features[0]
  elif kind == 'one a person':
    features = rng.normal(size=(NUM_SUBJECTS, 2, DIM))[person]
  return features.astype(np.float32)


def literal_templates(features, lists, flip, norm, detector, keep=None):
  """Template by template, medium by medium, in float64."""
  template, media, numbers = lists[:3]
  vectors = features.astype(np.float64)
  if flip == 'sum':
    vectors = vectors[:, 0] + vectors[:, 1]
  elif vectors.ndim == 3:
    vectors = vectors[:, 0]
  if norm == 'removed':
    length = np.sqrt(np.sum(vectors**2, axis=1, keepdims=True))
    vectors = vectors / np.where(length > 0, length, 1)
  if detector == 'weighted':
    vectors = vectors * numbers[:, -1:]
  out = {}
  for t in np.unique(template):
    of_template = []
    for m in np.unique(media[template == t]):
      of_media = vectors[(template == t) & (media == m)]
      of_template.append(np.mean(of_media, axis=0))
    total = np.sum(of_template, axis=0)
    length = np.sqrt(np.sum(total**2))
    out[t] = total / length if length > 0 else total
  return out


def literal_verification(unit, left, right, same, fars):
  """As the scripts print it, and the conservative value by all thresholds."""
  scores = np.array(
    [np.sum(unit[a] * unit[b]) for a, b in zip(left, right, strict=True)]
  )
  fpr, tpr, _ = metrics.roc_curve(same, scores)
  fpr, tpr = np.flipud(fpr), np.flipud(tpr)
  every = metrics.roc_curve(same, scores, drop_intermediate=False)
  numbers = {}
  for far in fars:
    key = np.format_float_scientific(far, trim='-', exp_digits=1)
    _, i = min(zip(abs(fpr - far), range(len(fpr)), strict=True))
    numbers[f'tar@far={key}'] = tpr[i]
    numbers[f'tar@far<={key}'] = np.max(every[1][every[0] <= far])
  return numbers


FLAGS = list(
  itertools.product(
    ('sum', 'none'), ('kept', 'removed'), ('weighted', 'ignored')
  )
)


def build(root, kind='ijb', **options):
  return benchmarks.build(kind, root=str(root), **options)


@pytest.mark.parametrize(('flip', 'norm', 'detector'), FLAGS)
def test_verification_equals_the_literal_code(
  folder, lists, flip, norm, detector
):
  flags = {'flip': flip, 'norm': norm, 'detector': detector}
  benchmark = build(folder, fars=FARS, **flags)
  features = make_features('random', lists, np.random.default_rng(0))
  found = benchmark.evaluate(features)
  unit = literal_templates(features, lists, **flags)
  assert found == literal_verification(unit, *lists[3:6], FARS)
  assert 0.1 < found['tar@far=1e-2'] < 0.99
  for name, value in flags.items():
    assert f"{name} '{value}'" in benchmark.protocol
  for text in ('IJB-C', '3000 pairs', '60 templates', '112 pixels'):
    assert text in benchmark.protocol


@pytest.mark.parametrize('kind', ['coarse', 'one a person', 'constant'])
def test_verification_with_ties_equals_the_literal_code(folder, lists, kind):
  benchmark = build(folder, fars=FARS, detector='ignored')
  flags = {'flip': 'sum', 'norm': 'kept', 'detector': 'ignored'}
  for seed in range(5):
    features = make_features(kind, lists, np.random.default_rng(seed))
    unit = literal_templates(features, lists, **flags)
    expected = literal_verification(unit, *lists[3:6], FARS)
    assert benchmark.evaluate(features) == expected


def test_constant_features_verify_nobody(folder, lists):
  """All scores are one: accepting no pair or all of them."""
  features = np.full((NUM_IMAGES, 2, DIM), 0.5, np.float32)
  found = build(folder, detector='ignored').evaluate(features)
  assert set(found.values()) == {0.0}
  benchmark = build(folder, 'ijb_search', ranks=(1, 5), detector='ignored')
  assert set(benchmark.evaluate(features).values()) == {0.0}


def literal_search(unit, people, probes, ranks=(1, 5, 10), fpirs=(0.01, 0.1)):
  """Probe by probe; people: subject -> template of a gallery."""
  mated, strangers = [], []
  for number, person in probes.items():
    scores = {p: np.sum(unit[number] * unit[t]) for p, t in people.items()}
    if person in scores:
      mate = scores.pop(person)
      others = np.array(list(scores.values()))
      mated.append((mate, 1 + np.sum(others >= mate)))
    else:
      strangers.append(max(scores.values()))
  found = {f'rank-{n}': np.mean([r <= n for _, r in mated]) for n in ranks}
  strangers = np.array(strangers)
  for fpir in fpirs:
    [threshold] = [
      t
      for t in np.unique(np.r_[-np.inf, strangers])
      if np.mean(strangers > t) <= fpir
    ][:1]
    hits = [rank == 1 and mate > threshold for mate, rank in mated]
    found[f'tpir@fpir={fpir:g}'] = np.mean(hits)
  return found


def galleries_of(subject):
  """(templates of the two galleries by person, probes) as `write_set` has."""
  people, probes = [{}, {}], {}
  for number, person in subject.items():
    if any(person in gallery for gallery in people):
      probes[number] = person
    else:
      people[person % 2][person] = number
  return people, probes


@pytest.mark.parametrize(
  'kind', ['random', 'coarse', 'one a person', 'constant']
)
def test_search_equals_the_literal_code(folder, lists, kind):
  flags = {'flip': 'sum', 'norm': 'kept', 'detector': 'ignored'}
  benchmark = build(folder, 'ijb_search', **flags)
  people, probes = galleries_of(lists[-1])
  for seed in range(3):
    features = make_features(kind, lists, np.random.default_rng(seed))
    unit = literal_templates(features, lists, **flags)
    found = benchmark.evaluate(features)
    expected = [literal_search(unit, x, probes) for x in people]
    for name in expected[0]:
      both = [numbers[name] for numbers in expected]
      assert found[f'G1/{name}'] == both[0]
      assert found[f'G2/{name}'] == both[1]
      assert found[f'mean/{name}'] == np.mean(both)
  assert set(benchmark.headline) < set(found)
  assert 'probes in G1 (' in benchmark.protocol


def test_a_score_as_high_as_the_threshold_is_not_above_it():
  found = people_search.Found(
    people_search.Nearest(
      probe=np.arange(4),
      mate=np.arange(4),
      mate_score=np.array([0.8, 0.5, 0.4, 0.9]),
      stranger=np.arange(4),
      stranger_score=np.ones(4),
    ),
    ranks=np.array([1, 1, 1, 2]),
    others=np.array([0.7, 0.5, 0.5, 0.1]),
  )
  # Above 0.5 there is one of four; a threshold below would let three pass.
  for fpir, threshold, hits in (
    (0.24, 0.7, [True, False, False, False]),
    (0.25, 0.5, [True, False, False, False]),
    (0.74, 0.5, [True, False, False, False]),
    (0.75, 0.1, [True, True, True, False]),
    (1.0, -np.inf, [True, True, True, False]),
  ):
    assert found.threshold(fpir) == threshold
    assert found.identified(threshold).tolist() == hits


def test_people_with_several_templates_in_a_gallery(folder, lists, tmp_path):
  """The best of a person's counts; others count one by one."""
  subject = lists[-1]
  numbers = list(subject)
  rows = [f'{n},{subject[n]}\n' for n in numbers[:40]]
  (tmp_path / 'gallery.csv').write_text(''.join(rows))
  rows = [f'{n},{subject[n]}\n' for n in numbers[40:]]
  (tmp_path / 'probe.csv').write_text(''.join(rows))
  benchmark = build(
    folder,
    'ijb_search',
    galleries=('all',),
    gallery_lists=(str(tmp_path / 'gallery.csv'),),
    probe_list=str(tmp_path / 'probe.csv'),
    fpirs=(),
    ranks=(1, 3),
    detector='ignored',
  )
  features = make_features('random', lists, np.random.default_rng(1))
  unit = literal_templates(features, lists, 'sum', 'kept', 'ignored')
  ranks = []
  for probe in numbers[40:]:
    own = [n for n in numbers[:40] if subject[n] == subject[probe]]
    if own:
      mate = max(np.sum(unit[probe] * unit[n]) for n in own)
      others = [n for n in numbers[:40] if n not in own]
      ranks.append(
        1 + sum(np.sum(unit[probe] * unit[n]) >= mate for n in others)
      )
  assert benchmark.evaluate(features) == {
    f'{key}/rank-{n}': np.mean(np.array(ranks) <= n)
    for key in ('all', 'mean')
    for n in (1, 3)
  }


@pytest.mark.parametrize('kind', ['ijb', 'ijb_search'])
def test_order_of_rows_and_device_do_not_matter(folder, lists, tmp_path, kind):
  rng = np.random.default_rng(0)
  features = make_features('random', lists, rng)
  expected = build(folder, kind, norm='removed').evaluate(features)
  order = rng.permutation(NUM_IMAGES)
  pairs = rng.permutation(3000)
  template, media, numbers, left, right, same, subject = lists
  shuffled = (
    *(template, media, numbers),
    *(left[pairs], right[pairs], same[pairs]),
    subject,
  )
  write_set(tmp_path, shuffled, order)
  np.save(tmp_path / 'features.npy', features[order])
  benchmark = build(tmp_path, kind, norm='removed', features='features.npy')
  assert benchmark.files is None
  assert benchmark.evaluate(None) == expected
  with jax.default_device(jax.devices()[3]):
    assert benchmark.evaluate(None) == expected


def test_images_are_aligned(folder, lists):
  benchmark = build(folder)
  files = benchmark.files
  assert files.num_rows == NUM_IMAGES
  points = lists[2][7, :10].reshape(1, 5, 2)
  pixels = cv2.imread(str(folder / 'loose_crop' / '7.png'))
  expected = cv2.warpAffine(pixels, alignment.transforms(points)[0], (112, 112))
  [crop] = files.read([7])
  np.testing.assert_array_equal(images.decode(crop, 112), expected[:, :, ::-1])
  assert files.name(7) == '7.png'
  # 1:1 and 1:N embed the same images once.
  other = build(folder, 'ijb_search').files
  assert (files == other, hash(files)) == (True, hash(other))
  assert files != build(folder, image_size=128).files
  # Crops that are aligned already are embedded as they are.
  aligned = build(folder, aligned=True)
  assert aligned.files.path(7) == str(folder / 'loose_crop' / '7.png')
  assert 'aligned already' in aligned.protocol


def test_ijbb_has_lists_of_its_own(lists, tmp_path):
  write_set(tmp_path, lists, prefix='ijbb')
  np.save(tmp_path / 'f.npy', np.ones((NUM_IMAGES, 2, 4), np.float32))
  benchmark = build(tmp_path, name='IJBB', features='f.npy')
  assert benchmark.protocol.startswith('IJB-B 1:1')
  benchmark = build(tmp_path, 'ijb_search', name='IJBB', features='f.npy')
  assert 'S1 (' in benchmark.protocol
  with pytest.raises(errors.UserError, match=r"'IJBD'. There are: IJBB, IJBC"):
    build(tmp_path, name='IJBD')
  with pytest.raises(benchmarks.Absent, match='IJB-C is not there'):
    build(tmp_path)


@pytest.mark.parametrize('kind', ['ijb', 'ijb_search'])
def test_analysis(folder, lists, kind):
  benchmark = build(folder, kind)
  features = make_features('random', lists, np.random.default_rng(0))
  analysis = benchmark.analyse(features)
  assert analysis.scores == benchmark.evaluate(features)
  assert set(analysis.outcomes) == set(analysis.scores)
  for name, outcome in analysis.outcomes.items():
    assert outcome.score() == pytest.approx(analysis.scores[name], abs=1e-12)
  for curve in analysis.curves.values():
    assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(curve.y) >= 0).all()
  assert analysis.examples
  for example in analysis.examples:
    for row, text in example.images:
      assert benchmark.pictures.name(row) in text
      assert f'template {lists[0][row]}:' in text
  counts = [
    sum(x.sum() for x in histogram.counts.values())
    for histogram in analysis.histograms.values()
  ]
  num_probes = len(galleries_of(lists[-1])[1])
  assert counts == ([3000] if kind == 'ijb' else [num_probes] * 2)


def test_the_hardest_pairs(folder, lists):
  features = make_features('random', lists, np.random.default_rng(0))
  analysis = build(folder, detector='ignored').analyse(features)
  unit = literal_templates(features, lists, 'sum', 'kept', 'ignored')
  left, right, same = lists[3:6]
  scores = [np.sum(unit[a] * unit[b]) for a, b in zip(left, right, strict=True)]
  same_person, different = analysis.examples[:8], analysis.examples[8:]
  assert [x.score for x in same_person] == sorted(np.array(scores)[same])[:8]
  assert [x.score for x in different] == sorted(np.array(scores)[~same])[:-9:-1]


def test_examples_of_the_open_set_say_who_won(folder, lists):
  features = make_features('random', lists, np.random.default_rng(0))
  benchmark = build(folder, 'ijb_search', detector='ignored')
  unit = literal_templates(features, lists, 'sum', 'kept', 'ignored')
  people, _ = galleries_of(lists[-1])
  for example in benchmark.analyse(features).examples:
    gallery = people[0] if example.caption.startswith('G1') else people[1]
    probe, mate, winner = (lists[0][row] for row, _ in example.images)
    assert gallery[lists[-1][probe]] == mate
    scores = {n: np.sum(unit[probe] * unit[n]) for n in gallery.values()}
    best = max((n for n in scores if n != mate), key=scores.get)
    assert winner == best
    assert example.score == scores[winner] - scores[mate]
    won = 'a stranger' if example.score > 0 else 'the mate'
    assert f': {won} wins' in example.caption


def test_features_of_a_store(folder, lists, tmp_path):
  features = make_features('random', lists, np.random.default_rng(0))
  order = np.random.default_rng(1).permutation(NUM_IMAGES)
  write_store(tmp_path / 'both', features[order], order, 'both')
  expected = build(folder).evaluate(features)
  assert build(folder, features=str(tmp_path / 'both')).evaluate(
    None
  ) == pytest.approx(expected)
  fused = features.sum(axis=1)
  write_store(tmp_path / 'sum', fused[order], order, 'sum', folder='loose_crop')
  benchmark = build(folder, features=str(tmp_path / 'sum'))
  assert benchmark.evaluate(None) == pytest.approx(expected, abs=0.02)
  with pytest.raises(errors.UserError, match=r"flip 'sum', and flip='none'"):
    build(folder, features=str(tmp_path / 'sum'), flip='none')
  joined = features.reshape(NUM_IMAGES, -1)
  write_store(tmp_path / 'joined', joined[order], order, 'joined')
  for flip in ('sum', 'none'):
    benchmark = build(folder, features=str(tmp_path / 'joined'), flip=flip)
    assert benchmark.evaluate(None) == build(folder, flip=flip).evaluate(
      features
    )


def write_store(path, features, order, flip, folder='', normalised=False):
  path.mkdir()
  np.save(path / 'features.npy', features)
  prefix = f'{folder}/' if folder else ''
  rows = [f'{i}\t{prefix}{n}.png\t\n' for i, n in enumerate(order)]
  (path / 'rows.tsv').write_text('row\tpath\tlabel\n' + ''.join(rows))
  meta = {'flip': flip, 'normalised': normalised, 'dim': features.shape[-1]}
  (path / store.META).write_text(str(meta).replace("'", '"').lower())


def test_normalised_features_have_no_length_to_keep(folder, lists, tmp_path):
  features = make_features('random', lists, np.random.default_rng(0)).sum(1)
  features /= np.linalg.norm(features, axis=1, keepdims=True)
  order = np.arange(NUM_IMAGES)
  write_store(tmp_path / 'unit', features, order, 'sum', normalised=True)
  path = str(tmp_path / 'unit')
  with pytest.raises(errors.UserError, match=r"normalised.* norm='kept'"):
    build(folder, features=path)
  assert build(folder, features=path, norm='removed').evaluate(None)


def test_features_of_one_vector_an_image(folder, lists, tmp_path):
  features = make_features('random', lists, np.random.default_rng(0))
  np.save(tmp_path / 'f.npy', features[:, 0])
  benchmark = build(folder, features=str(tmp_path / 'f.npy'), flip='none')
  assert 'said to be f(x) alone' in benchmark.protocol
  expected = build(folder, flip='none').evaluate(features)
  assert benchmark.evaluate(None) == expected


@pytest.mark.parametrize(
  ('shape', 'what'),
  [
    ((NUM_IMAGES - 1, 2, 8), '239 rows, but 240 images'),
    ((NUM_IMAGES, 3, 8), r'float32 \(240, 3, 8\); expected'),
    ((NUM_IMAGES,), r'float32 \(240,\); expected'),
  ],
)
def test_features_that_do_not_fit(folder, tmp_path, shape, what):
  np.save(tmp_path / 'f.npy', np.zeros(shape, np.float32))
  with pytest.raises(errors.UserError, match=f'f.npy .*{what}'):
    build(folder, features=str(tmp_path / 'f.npy'))


def test_features_that_cannot_be_read(folder, tmp_path):
  (tmp_path / 'f.npy').write_bytes(b'no array')
  for name in ('f.npy', 'none.npy'):
    with pytest.raises(errors.UserError, match=f'Cannot read .*{name}'):
      build(folder, features=str(tmp_path / name))


@pytest.mark.parametrize('kind', ['ijb', 'ijb_search'])
def test_features_that_are_not_finite_name_the_image(folder, lists, kind):
  benchmark = build(folder, kind)
  features = make_features('random', lists, np.random.default_rng(0))
  features[[30, 171], 1, 2] = np.nan, np.inf
  for run in (benchmark.evaluate, benchmark.analyse):
    with pytest.raises(
      errors.UserError, match=r'the image (30|171).png are not fin'
    ):
      run(features)


MEDIA, POINTS = 'ijbc_face_tid_mid.txt', 'ijbc_name_5pts_score.txt'
PAIRS = 'ijbc_template_pair_label.txt'
GALLERY, PROBES = 'ijbc_1N_gallery_G1.csv', 'ijbc_1N_probe_mixed.csv'


def edited(name, line, new, kind='ijb', message=''):
  return pytest.param(
    name, line, new, kind, message, id=f'{name}-{line}-{new!r}'
  )


@pytest.mark.parametrize(
  ('name', 'line', 'new', 'kind', 'message'),
  [
    edited(MEDIA, 5, '4.png 1', message=f'{MEDIA}:5: .*template .a whole'),
    edited(MEDIA, 5, '4.png 1 x', message=f"{MEDIA}:5: .*not '4.png 1 x'"),
    edited(MEDIA, 5, '4.png 1 3000000000', message=f'{MEDIA}:5: '),
    edited(MEDIA, 9, '', message='240 images, .*239: both'),
    edited(MEDIA, 9, 'x.png 1 2', message=f'{POINTS}:9: .8.png.*'),
    edited(POINTS, 3, '2.png 1 2 3', message=f'{POINTS}:3: .*detector score'),
    edited(POINTS, 3, '2.png' + ' nan' * 11, message=f'{POINTS}:3: .*finite'),
    edited(POINTS, 3, '2.png' + ' 7' * 11, message=f'{POINTS}:3: the five'),
    edited(PAIRS, 8, '1 2', message=f'{PAIRS}:8: '),
    edited(PAIRS, 8, '1001 1 1', message=f'{PAIRS}:8: template 1001 has no'),
    edited(PAIRS, 8, '{0} 1001 1', message=f'{PAIRS}:8: template 1001 has no'),
    edited(PAIRS, 8, '{0} {0} 2', message=f'{PAIRS}:8: the label 2 is'),
    edited(PAIRS, 8, '{0} {0} -1', message=f'{PAIRS}:8: the label -1 is'),
    edited(GALLERY, 3, 'x,1,a', 'ijb_search', f"{GALLERY}:3: .*not 'x,1,a'"),
    edited(GALLERY, 3, '5', 'ijb_search', f"{GALLERY}:3: .*not '5'"),
    edited(
      GALLERY, 3, '1001,1', 'ijb_search', f'{GALLERY}:3: template 1001 has'
    ),
    edited(GALLERY, 3, '{g},99', 'ijb_search', f'{GALLERY}:3: .*line 2 says'),
    edited(GALLERY, 1, 'A,B', 'ijb_search', f'{GALLERY}:1: .*TEMPLATE_ID'),
    edited(PROBES, 3, '1001,1', 'ijb_search', f'{PROBES}:3: template 1001 has'),
  ],
)
def test_bad_lines_are_named(
  lists, tmp_path, folder, name, line, new, kind, message
):
  write_set(tmp_path, lists)
  (tmp_path / 'loose_crop').symlink_to(folder / 'loose_crop')
  path = tmp_path / 'meta' / name
  content = path.read_text().splitlines()
  if name == GALLERY:
    first = content[1].split(',')[0]
    new = new.replace('{g}', first)
  content[line - 1] = new.replace('{0}', str(lists[0][0]))
  path.write_text('\n'.join(content) + '\n')
  with pytest.raises(errors.UserError, match=message):
    build(tmp_path, kind)


@pytest.mark.parametrize(
  ('name', 'kind'),
  [
    (POINTS, 'ijb'),
    (PAIRS, 'ijb'),
    (GALLERY, 'ijb_search'),
    (PROBES, 'ijb_search'),
  ],
)
def test_missing_and_empty_lists(lists, folder, tmp_path, name, kind):
  write_set(tmp_path, lists)
  (tmp_path / 'loose_crop').symlink_to(folder / 'loose_crop')
  path = tmp_path / 'meta' / name
  path.write_text('')
  with pytest.raises(errors.UserError, match=f'{name} is empty'):
    build(tmp_path, kind)
  path.unlink()
  with pytest.raises(errors.UserError, match=f'Cannot read .*{name}: No such'):
    build(tmp_path, kind)


def test_missing_images(lists, tmp_path):
  write_set(tmp_path, lists)
  with pytest.raises(errors.UserError, match='240 of 240 images'):
    build(tmp_path)


def test_pairs_of_one_kind_alone(lists, folder, tmp_path):
  left, right, same = lists[3:6]
  for kind in (True, False):
    rows = [
      (a, b, int(kind))
      for a, b, c in zip(left, right, same, strict=True)
      if c == kind
    ]
    write_lines(tmp_path / 'pairs.txt', rows)
    with pytest.raises(errors.UserError, match=r'pairs.txt: .*both kinds'):
      build(folder, pair_list=str(tmp_path / 'pairs.txt'))


def test_galleries_without_mates_or_strangers(lists, folder, tmp_path):
  people, probes = galleries_of(lists[-1])
  path = tmp_path / 'probe.csv'

  def search(persons, **options):
    rows = [f'{n},{p}\n' for n, p in probes.items() if p in persons]
    path.write_text(''.join(rows))
    return build(folder, 'ijb_search', probe_list=str(path), **options)

  with pytest.raises(
    errors.UserError, match=r'csv: no probe is of .* gallery G1'
  ):
    search(people[1])
  options = {
    'galleries': ('G1',),
    'gallery_lists': ('meta/ijbc_1N_gallery_G1.csv',),
  }
  with pytest.raises(errors.UserError, match=r'gallery G1: .* fpirs=\(\)'):
    search(people[0], **options)
  features = make_features('random', lists, np.random.default_rng(0))
  found = search(people[0], fpirs=(), **options)
  assert list(found.evaluate(features)) == [
    f'{key}/rank-{n}' for key in ('G1', 'mean') for n in (1, 5, 10)
  ]
  assert found.analyse(features).scores


@pytest.mark.parametrize(
  ('kind', 'options', 'what'),
  [
    ('ijb', {'flip': 'joined'}, 'No flip'),
    ('ijb', {'norm': 'x'}, 'No norm'),
    ('ijb', {'detector': 'x'}, 'No detector'),
    ('ijb', {'fars': (0.0,)}, 'above 0 and at most 1, not 0.0'),
    ('ijb_search', {'ranks': (0,)}, 'Ranks are 1 or more, not 0'),
    ('ijb_search', {'fpirs': (2,)}, 'from 0 to 1, not 2'),
    ('ijb_search', {'gallery_lists': ('a',)}, '2 galleries .* 1 gallery_lists'),
  ],
)
def test_bad_options(folder, kind, options, what):
  with pytest.raises(errors.UserError, match=what):
    build(folder, kind, **options)


def test_lists_with_other_blanks(lists, folder, tmp_path):
  """Tabs, carriage returns, blank lines, several blanks, a byte order mark."""
  write_set(tmp_path, lists)
  (tmp_path / 'loose_crop').symlink_to(folder / 'loose_crop')
  for name in (MEDIA, POINTS, PAIRS):
    path = tmp_path / 'meta' / name
    content = path.read_text().replace(' ', ' \t').replace('\n', ' \r\n\r\n')
    path.write_text('\ufeff' + content)
  features = make_features('random', lists, np.random.default_rng(0))
  expected = build(folder).evaluate(features)
  assert build(tmp_path).evaluate(features) == expected
  path = tmp_path / 'meta' / PAIRS
  content = path.read_text().splitlines()
  content[6] = '1 2 3 4'
  path.write_text('\n'.join(content))
  with pytest.raises(errors.UserError, match=f'{PAIRS}:7: '):
    build(tmp_path)
