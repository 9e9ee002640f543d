"""Lists and folders of images: what they hold, and what is said if wrong."""

import hashlib
import pathlib
import time

import numpy as np
import pytest

from bfjax import errors
from bfjax.data import labelled, sources
from bfjax.data.sources import imagelist


def _write(root, name, content=b'x'):
  path = pathlib.Path(root, name)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)


def _list(root, text, name='list.txt'):
  content = text if isinstance(text, bytes) else text.encode()
  _write(root, name, content)
  return imagelist.build(root=str(root), list=name, check='none')


def test_a_list_as_the_field_writes_it(tmp_path):
  source = _list(tmp_path, 'a/1.jpg  0\na/2.jpg  0\nb/1.jpg  1\n')
  assert source.num_rows == 3 and source.num_classes == 2
  np.testing.assert_array_equal(source.labels, [0, 0, 1])
  assert source.labels.dtype == np.int32
  assert source.true_labels is None
  assert [source.name(row) for row in range(3)] == [
    'a/1.jpg',
    'a/2.jpg',
    'b/1.jpg',
  ]
  assert source.path(2) == str(tmp_path / 'b/1.jpg')


def test_blanks_tabs_crlf_marks_and_empty_lines(tmp_path):
  source = _list(
    tmp_path,
    b'\xef\xbb\xbfone  two.jpg  1\r\n\r\n  \t\nthree four/5.jpg\t \t0  \r\n'
    b'caf\xc3\xa9.jpg 1\nn\xff.jpg 0',
  )
  assert [source.name(row) for row in range(4)] == [
    'one  two.jpg',
    'three four/5.jpg',
    'caf\u00e9.jpg',
    'n\udcff.jpg',
  ]
  np.testing.assert_array_equal(source.labels, [1, 0, 1, 0])


def test_labels_with_gaps_are_renumbered_and_the_mapping_is_saved(tmp_path):
  source = _list(tmp_path, 'a 70\nb 007\nc 10572\nd 7\n')
  np.testing.assert_array_equal(source.labels, [1, 0, 2, 0])
  assert source.num_classes == 3
  labelled.save_class_names(tmp_path / 'classes.tsv', source.class_names)
  text = (tmp_path / 'classes.tsv').read_text()
  assert text == '0\t7\n1\t70\n2\t10572\n'
  assert not list(tmp_path.glob('*.partial'))


def test_images_are_read_by_row(tmp_path):
  _write(tmp_path, 'a b.jpg', b'first')
  _write(tmp_path, 'c.jpg', b'second')
  source = _list(tmp_path, 'a b.jpg 0\nc.jpg 0\n')
  assert source.read(np.array([1, 0, 1])) == [b'second', b'first', b'second']


def test_the_list_may_lie_elsewhere(tmp_path):
  _write(tmp_path, 'root/a.jpg')
  _write(tmp_path, 'lists/x.txt', b'a.jpg 0\n')
  source = imagelist.build(
    root=str(tmp_path / 'root'), list=str(tmp_path / 'lists/x.txt')
  )
  assert source.path(0) == str(tmp_path / 'root/a.jpg')


@pytest.mark.parametrize(
  'line, message',
  [
    ('b.jpg', "the line 'b.jpg' has no label"),
    ('b.jpg -1', "the line 'b.jpg -1' has a negative label"),
    ('b.jpg one', 'has a label that is not an integer'),
    ('b.jpg 1.0', 'has a label that is not an integer'),
    ('b.jpg 1_0', 'has a label that is not an integer'),
    ('b.jpg 9999999999', 'label 9999999999, but the largest may be 2147483647'),
    ('b.jpg ' + '9' * 5000, 'has a label that is not an integer'),
    ('a.jpg 1', r'a\.jpg is listed already in line 1'),
    ('b\0.jpg 1', 'holds zero bytes'),
  ],
)
def test_a_wrong_line_is_named_with_its_file_and_number(
  tmp_path, line, message
):
  with pytest.raises(errors.UserError, match=message) as caught:
    _list(tmp_path, f'a.jpg 0\n\n{line}\nc.jpg 1\n')
  assert str(caught.value).startswith(f'{tmp_path}/list.txt:3: ')


def test_a_label_beyond_num_classes_is_named(tmp_path):
  _write(tmp_path, 'list.txt', b'a 0\nb 4\nc 5\n')
  options = {'root': str(tmp_path), 'list': 'list.txt', 'check': 'none'}
  with pytest.raises(errors.UserError, match=r'list\.txt:3: label 5, but'):
    imagelist.build(num_classes=5, **options)
  assert imagelist.build(num_classes=6, **options).num_classes == 3


def test_empty_or_missing_lists_and_folders(tmp_path):
  with pytest.raises(errors.UserError, match='the list is empty'):
    _list(tmp_path, '\n\n')
  with pytest.raises(errors.UserError, match=r'gone\.txt.*No such file'):
    imagelist.build(root=str(tmp_path), list='gone.txt')
  with pytest.raises(errors.UserError, match='There is no folder'):
    imagelist.build(root=str(tmp_path / 'gone'), list='gone.txt')
  with pytest.raises(errors.UserError, match="'exist', 'decode' or 'none'"):
    imagelist.build(root=str(tmp_path), list='list.txt', check='all')


def test_missing_images_are_found_before_training(tmp_path):
  _write(tmp_path, 'a.jpg')
  _write(tmp_path, 'list.txt', b'a.jpg 0\ngone.jpg 1\n')
  with pytest.raises(errors.UserError, match='1 of 2 images') as caught:
    imagelist.build(root=str(tmp_path), list='list.txt')
  assert f'{tmp_path}/gone.jpg: No such file' in str(caught.value)


def test_true_labels_come_from_the_list_of_flips(tmp_path):
  _write(tmp_path, 'list.txt', b'a 3\nb b 5\nc 9\nd 5\n')
  _write(tmp_path, 'flips.txt', b'b b\t9\nd 03\n')
  options = {'root': str(tmp_path), 'list': 'list.txt', 'check': 'none'}
  source = imagelist.build(truth='flips.txt', **options)
  np.testing.assert_array_equal(source.labels, [0, 1, 2, 1])
  np.testing.assert_array_equal(source.true_labels, [0, 2, 2, 0])
  assert source.true_labels.dtype == np.int32
  for text, message in (
    (b'a 5\nx 5\n', r'flips\.txt:2: x is not in the data set'),
    (b'a 4\n', r'flips\.txt:1: no image .* has the label "4"'),
    (b'a 5\na 5\n', r'flips\.txt:2: a is listed already in .*flips\.txt:1'),
    (b'a 5\nb\n', r'flips\.txt:2: .* has no label'),
  ):
    _write(tmp_path, 'flips.txt', text)
    with pytest.raises(errors.UserError, match=message):
      imagelist.build(truth='flips.txt', **options)
  with pytest.raises(errors.UserError, match=r'need data\.list'):
    imagelist.build(root=str(tmp_path), truth='flips.txt')


def test_images_of_nobody_come_from_the_list_of_outliers(tmp_path):
  _write(tmp_path, 'list.txt', b'a 3\nb 5\nc 9\nd 5\n')
  _write(tmp_path, 'flips.txt', b'd 3\n')
  _write(tmp_path, 'out.txt', b'b 5\nc 9\n')
  options = {'root': str(tmp_path), 'list': 'list.txt', 'check': 'none'}
  source = imagelist.build(truth='flips.txt', outliers='out.txt', **options)
  nobody = labelled.NOBODY
  np.testing.assert_array_equal(source.true_labels, [0, nobody, nobody, 0])
  source = imagelist.build(outliers='out.txt', **options)
  np.testing.assert_array_equal(source.true_labels, [0, nobody, nobody, 1])
  _write(tmp_path, 'out.txt', b'x 5\n')
  with pytest.raises(errors.UserError, match=r'out\.txt:1: x is not in the'):
    imagelist.build(outliers='out.txt', **options)


def test_a_folder_per_class(tmp_path):
  names = ['b/2.JPG', 'b/10.png', 'a c/deep/er/1.jpeg', 'a c/1.bmp']
  for name in [*names, 'b/notes.txt', '.hidden/x.jpg', 'stray.jpg']:
    _write(tmp_path, name)
  source = imagelist.build(root=str(tmp_path))
  assert source.class_names == ['a c', 'b']
  assert [source.name(row) for row in range(4)] == [
    'a c/1.bmp',
    'a c/deep/er/1.jpeg',
    'b/10.png',
    'b/2.JPG',
  ]
  np.testing.assert_array_equal(source.labels, [0, 0, 1, 1])
  with pytest.raises(errors.UserError, match=r'2 class folders.*num_classes'):
    imagelist.build(root=str(tmp_path), num_classes=1)


def test_an_empty_class_is_named(tmp_path):
  _write(tmp_path, 'a/1.jpg')
  with pytest.raises(errors.UserError, match='has no folders'):
    imagelist.build(root=str(tmp_path / 'a'))
  _write(tmp_path, 'b/readme.txt')
  with pytest.raises(errors.UserError, match=f'{tmp_path}/b has no images'):
    imagelist.build(root=str(tmp_path))


def test_the_fingerprint_tells_data_apart(tmp_path):
  texts = ['a 0\nb 1\n', 'a 1\nb 0\n', 'a 0\nc 1\n', 'b 1\na 0\n', 'a 0\nb 0\n']
  prints = [_list(tmp_path, text).fingerprint for text in texts]
  assert len(set(prints)) == len(texts)
  (tmp_path / 'other').mkdir()
  assert _list(tmp_path / 'other', '\na  0\r\nb  1').fingerprint == prints[0]
  assert len(prints[0]) == 64


def test_sources_are_found_by_file_name(tmp_path):
  _write(tmp_path, 'list.txt', b'a 0\n')
  source = sources.build(
    'imagelist', root=str(tmp_path), list='list.txt', check='none'
  )
  assert source.num_rows == 1
  with pytest.raises(errors.UserError, match=r"'list'. There are: .*imagelist"):
    sources.build('list', root='')
  with pytest.raises(
    errors.UserError, match=r"'path'. There are: .*list, .*root"
  ):
    sources.build('imagelist', path='x')
  with pytest.raises(errors.UserError, match="needs the option 'root'"):
    sources.build('imagelist', list='x')


def test_a_long_list_is_read(tmp_path, record_property):
  """200,000 lines; how long it takes is printed, not asserted."""
  n = 200_000
  text = ''.join(f'{i // 50}/{i:07d}.jpg  {i // 50}\n' for i in range(n))
  start = time.perf_counter()
  source = _list(tmp_path, text)
  record_property('parse_secs', time.perf_counter() - start)
  assert source.num_rows == n and source.num_classes == n // 50
  assert source.name(n - 1) == f'{n // 50 - 1}/{n - 1:07d}.jpg'


@pytest.mark.parametrize('num_rows', [1, 4095, 4096, 4097, 8192])
def test_the_fingerprint_is_that_of_earlier_versions(num_rows):
  """Else every run begun before would be refused as one on other data."""
  names = [b'%d.jpg' % i for i in range(num_rows)]
  labels = np.arange(num_rows, dtype=np.int32)
  end = b'' if num_rows % 4096 else b'\n'
  text = b'\n'.join(names) + end + labels.astype('<i4').tobytes()
  expected = hashlib.sha256(text).hexdigest()
  assert labelled.fingerprint(iter(names), labels) == expected


@pytest.mark.parametrize('other', ['./a/1.jpg', 'a//1.jpg', './/a/./1.jpg'])
def test_one_image_under_two_spellings_is_refused(tmp_path, other):
  with pytest.raises(errors.UserError, match=r':3: a/1\.jpg .* in line 1'):
    _list(tmp_path, f'a/1.jpg 0\nb/1.jpg 0\n{other} 1\n')


@pytest.mark.parametrize('other', ['link.jpg', 'c/1.jpg', 'b/../a/1.jpg', '{}'])
def test_one_file_under_two_names_is_refused(tmp_path, other):
  for name in ('a/1.jpg', 'b/1.jpg'):
    _write(tmp_path, name)
  (tmp_path / 'link.jpg').symlink_to('a/1.jpg')
  (tmp_path / 'c').symlink_to('a')
  other = other.format(tmp_path / 'a/1.jpg')
  _write(tmp_path, 'list.txt', f'a/1.jpg 0\nb/1.jpg 0\n{other} 1\n'.encode())
  options = {'root': str(tmp_path), 'list': 'list.txt'}
  with pytest.raises(
    errors.UserError, match=r'list\.txt:3: .* in line 1, by a'
  ):
    imagelist.build(**options)


def test_one_file_in_two_class_folders_is_refused_but_a_hard_link_is_not(
  tmp_path,
):
  for name in ('a/1.jpg', 'b/1.jpg'):
    _write(tmp_path, name)
  (tmp_path / 'b/2.jpg').hardlink_to(tmp_path / 'a/1.jpg')
  assert imagelist.build(root=str(tmp_path)).num_rows == 3
  (tmp_path / 'b/3.jpg').symlink_to(tmp_path / 'a/1.jpg')
  with pytest.raises(errors.UserError, match='is the same file as'):
    imagelist.build(root=str(tmp_path))


def test_a_truth_may_spell_paths_otherwise(tmp_path):
  _write(tmp_path, 'flips.txt', b'./a.jpg 1\n')
  _write(tmp_path, 'list.txt', b'a.jpg 0\nd//b.jpg 1\n')
  source = imagelist.build(
    root=str(tmp_path), list='list.txt', truth='flips.txt', check='none'
  )
  assert source.name(1) == 'd/b.jpg'
  np.testing.assert_array_equal(source.true_labels, [1, 1])


def test_system_files_of_a_list_are_used_and_said(tmp_path, caplog):
  source = _list(
    tmp_path, 'a/1.jpg 0\na/._1.jpg 1\n.x/1.jpg 0\n/d/.x/1.jpg 0\n../a.jpg 0\n'
  )
  assert source.num_rows == 5
  assert 'lists 2 hidden or system files, such as a/._1.jpg' in caplog.text
