"""Pair lists in the formats of the field, and what is wrong with them."""

import numpy as np
import pytest

from bfjax import errors
from bfjax.evaluation import benchmarks, pairlist
from bfjax.evaluation.benchmarks import pairs
from bfjax.evaluation.protocols import verification


def make_tree(root, names):
  """Files that are there; nothing here decodes them."""
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(name.encode())


def write(root, text, name='pairs.txt'):
  data = text if isinstance(text, bytes) else text.encode()
  (root / name).write_bytes(data)
  return str(root / name)


def read(root, text, **options):
  found = pairlist.read(write(root, text), **options)
  return [tuple(pair)[1:] for pair in found]


LFW = '2\t1\nA_B\t1\t2\nA_B\t3\tC\t12\nC\t1\t12\nC\t1\tD\t10000\n'
LFW_PAIRS = [
  ('A_B/A_B_0001.jpg', 'A_B/A_B_0002.jpg', True),
  ('A_B/A_B_0003.jpg', 'C/C_0012.jpg', False),
  ('C/C_0001.jpg', 'C/C_0012.jpg', True),
  ('C/C_0001.jpg', 'D/D_10000.jpg', False),
]


@pytest.mark.parametrize('format', ['auto', 'lfw'])
def test_lfw(tmp_path, format):
  assert read(tmp_path, LFW, format=format) == LFW_PAIRS


@pytest.mark.parametrize('format', ['auto', 'rfw'])
def test_rfw_has_no_header_and_any_blanks(tmp_path, format):
  text = 'm.01  1\t2\nm.01 3   m.02 4\n'
  assert read(tmp_path, text, format=format) == [
    ('m.01/m.01_0001.jpg', 'm.01/m.01_0002.jpg', True),
    ('m.01/m.01_0003.jpg', 'm.02/m.02_0004.jpg', False),
  ]


@pytest.mark.parametrize('format', ['auto', 'flags'])
def test_flags(tmp_path, format):
  text = 'a/1.jpg b/2.jpg 1\na/1.jpg\tc/3.jpg\t-1\nc/3.jpg  b/2.jpg 0\n'
  assert read(tmp_path, text, format=format) == [
    ('a/1.jpg', 'b/2.jpg', True),
    ('a/1.jpg', 'c/3.jpg', False),
    ('c/3.jpg', 'b/2.jpg', False),
  ]


def test_byte_order_mark_line_ends_and_blank_lines(tmp_path):
  text = '\ufeff' + LFW.replace('\n', ' \r\n') + '\r\n\r\n'
  assert read(tmp_path, text) == LFW_PAIRS


def test_names_with_blanks_between_tabs(tmp_path):
  text = '1\nA B\t1\t2\nA B\t1\tC D\t2\n'
  assert read(tmp_path, text) == [
    ('A B/A B_0001.jpg', 'A B/A B_0002.jpg', True),
    ('A B/A B_0001.jpg', 'C D/C D_0002.jpg', False),
  ]
  assert read(tmp_path, 'a 1.jpg\tb 1.jpg\t-1\n') == [
    ('a 1.jpg', 'b 1.jpg', False)
  ]


def test_names_that_are_not_utf8(tmp_path):
  assert read(tmp_path, b'\xe9.jpg b.jpg 1\n') == [
    ('\udce9.jpg', 'b.jpg', True)
  ]


def test_a_list_that_can_be_read_in_two_ways(tmp_path):
  text = '01 1 1\n02 2 1\n'
  with pytest.raises(errors.UserError, match=r"pairs.txt .*format='flags'"):
    read(tmp_path, text)
  assert read(tmp_path, text, format='flags')[0] == ('01', '1', True)
  assert read(tmp_path, text, format='rfw')[0][0] == '01/01_0001.jpg'
  # A later line tells.
  assert read(tmp_path, text + '03 1 04 1\n')[0][0] == '01/01_0001.jpg'
  assert read(tmp_path, text + '03 2 5\n')[0][0] == '01/01_0001.jpg'
  assert read(tmp_path, text + '03 2.jpg 1\n')[0] == ('01', '1', True)


@pytest.mark.parametrize(
  ('text', 'format', 'line', 'what'),
  [
    ('a.jpg b.jpg 1\na.jpg b.jpg 2\n', 'auto', 2, '-1 or 0'),
    ('a.jpg b.jpg 1\n\na.jpg b.jpg\n', 'auto', 3, '-1 or 0'),
    ('a.jpg b.jpg 7\n', 'auto', 1, 'name a b'),
    ('a b c d e\n', 'auto', 1, 'left right flag'),
    ('a 1 2\na 1 b 2\na 1 b x\n', 'rfw', 3, 'name1 a name2 b'),
    ('1\na 1 2\na 1 b -2\n', 'auto', 3, 'name1 a name2 b'),
    ('a 1 2\na 1 b 2\n', 'lfw', 1, 'header'),
    ('10\t300\na 1 2\na 1 b 2\n', 'auto', 1, 'promises 6000 .* 2 follow'),
  ],
)
def test_bad_lines_are_named(tmp_path, text, format, line, what):
  with pytest.raises(errors.UserError, match=f'pairs.txt:{line}: .*{what}'):
    read(tmp_path, text, format=format)


def test_empty_and_missing_lists_and_unknown_formats(tmp_path):
  with pytest.raises(errors.UserError, match=r'pairs.txt is empty'):
    read(tmp_path, '\n\n')
  with pytest.raises(errors.UserError, match=r'none.txt: No such file'):
    pairs.build(root=str(tmp_path), pairs='none.txt')
  with pytest.raises(errors.UserError, match=r"'csv'. There are: auto, flags"):
    read(tmp_path, LFW, format='csv')


def make_benchmark(root, **options):
  names = [f'{i}.jpg' for i in range(20)]
  make_tree(root, names)
  lines = [f'{names[i]} {names[i + 1]} {(-1) ** i}\n' for i in range(18)]
  write(root, ''.join([*lines, '0.jpg 2.jpg 1\n', '19.jpg 0.jpg -1\n']))
  return benchmarks.build('pairs', root=str(root), pairs='pairs.txt', **options)


def test_every_image_is_embedded_once(tmp_path):
  benchmark = make_benchmark(tmp_path)
  files = benchmark.files
  assert files.num_rows == 20
  assert files.read([3, 0]) == [b'3.jpg', b'0.jpg']
  assert [files.name(row) for row in benchmark.left[-2:]] == ['0.jpg', '19.jpg']
  assert [files.name(row) for row in benchmark.right[-2:]] == ['2.jpg', '0.jpg']
  np.testing.assert_array_equal(benchmark.same[-4:], [True, False, True, False])


def test_evaluate_reports_fractions_of_every_protocol(tmp_path):
  benchmark = make_benchmark(tmp_path, folds=5)
  features = np.random.default_rng(0).normal(size=(20, 2, 8))
  features = features.astype(np.float32)
  numbers = benchmark.evaluate(features)
  sides = benchmark.left, benchmark.right, benchmark.same
  expected = verification.insightface(features, *sides, folds=5)
  assert numbers['insightface/accuracy'] == expected.accuracy
  assert numbers['insightface/std'] == expected.std
  assert numbers['insightface/val'] == expected.val.rate
  assert numbers['insightface/val_std'] == expected.val.std
  assert numbers['insightface/far'] == expected.val.far
  expected = verification.boundaryface(features, *sides, folds=5)
  assert numbers['boundaryface/accuracy'] == expected.accuracy
  assert numbers['boundaryface/std'] == expected.std
  assert numbers['boundaryface/threshold'] == np.mean(expected.thresholds)


def test_only_the_protocols_asked_for(tmp_path):
  benchmark = make_benchmark(tmp_path, protocols='insightface', folds=3)
  numbers = benchmark.evaluate(np.ones((20, 2, 4), np.float32))
  assert {name.split('/')[0] for name in numbers} == {'insightface'}


def test_features_that_are_not_finite_name_the_image(tmp_path):
  benchmark = make_benchmark(tmp_path)
  features = np.ones((20, 2, 4), np.float32)
  features[13, 1, 2] = np.nan
  with pytest.raises(errors.UserError, match=r'13\.jpg are not finite'):
    benchmark.evaluate(features)


def test_a_missing_image_names_the_line(tmp_path):
  make_tree(tmp_path, ['A_B/A_B_0001.jpg', 'A_B/A_B_0002.jpg', 'C/C_0012.jpg'])
  write(tmp_path, LFW)
  message = r'pairs.txt:3: no such image: .*A_B_0003.jpg: .*\(3 of 6 cannot'
  with pytest.raises(errors.UserError, match=message):
    pairs.build(root=str(tmp_path), pairs='pairs.txt', folds=2)


def test_another_suffix_is_asked_for_and_not_assumed(tmp_path):
  names = {name for left, right, _ in LFW_PAIRS for name in (left, right)}
  make_tree(tmp_path, [name.replace('.jpg', '.png') for name in names])
  write(tmp_path, LFW)
  with pytest.raises(errors.UserError, match=r"pairs.txt:2: .*suffix='\.png'"):
    pairs.build(root=str(tmp_path), pairs='pairs.txt', folds=2)
  benchmark = pairs.build(
    root=str(tmp_path), pairs='pairs.txt', folds=2, suffix='.png'
  )
  assert benchmark.files.name(0) == 'A_B/A_B_0001.png'


def test_pairs_that_do_not_split_into_folds_name_the_list(tmp_path):
  with pytest.raises(errors.UserError, match=r'pairs.txt: 20 pairs .* 3 equal'):
    make_benchmark(tmp_path, folds=3)


def test_unknown_benchmarks_options_and_protocols(tmp_path):
  with pytest.raises(
    errors.UserError, match=r"called 'lfw'. There are: .*pairs"
  ):
    benchmarks.build('lfw')
  with pytest.raises(errors.UserError, match=r"'fold'. There are: .*folds"):
    make_benchmark(tmp_path, fold=3)
  with pytest.raises(errors.UserError, match="needs the option 'pairs'"):
    benchmarks.build('pairs', root=str(tmp_path))
  with pytest.raises(errors.UserError, match=r"'megaface'. There are: bound"):
    make_benchmark(tmp_path, protocols=('megaface',))


@pytest.mark.parametrize(
  'flags, said',
  [('1111100000', (2, 1)), ('1011000000', (1, 2)), ('10' * 5, ())],
)
def test_folds_of_one_kind_alone_are_said(tmp_path, flags, said, caplog):
  names = [f'{i}.jpg' for i in range(11)]
  make_tree(tmp_path, names)
  write(tmp_path, ''.join(f'10.jpg {i}.jpg {x}\n' for i, x in enumerate(flags)))
  pairs.build(root=str(tmp_path), pairs='pairs.txt', folds=2)
  assert len(caplog.messages) == bool(said)
  if said:
    message = f'pairs.txt: {said[0]} of the 2 folds hold pairs of one kind'
    assert message in caplog.text and f'number {said[1]} the' in caplog.text
