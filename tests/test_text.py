"""Text files of users: marks, line ends, encodings, and what is wrong."""

import os

import pytest

from bfjax import errors, text


def test_lines_are_numbered_and_free_of_marks_ends_and_blank_ones(tmp_path):
  path = tmp_path / 'list.txt'
  path.write_bytes(b'\xef\xbb\xbfone \r\n\r\n \t\n\tn\xff\xef\xbb\xbf\nlast')
  assert list(text.byte_lines(path)) == [
    (1, b'one '),
    (4, b'\tn\xff\xef\xbb\xbf'),
    (5, b'last'),
  ]
  assert list(text.lines(str(path))) == [
    (1, 'one '),
    (4, '\tn\udcff\ufeff'),
    (5, 'last'),
  ]
  assert [text.line_number(path, row) for row in range(3)] == [1, 4, 5]
  with text.reading(path) as file:
    assert file.read(4) == b'one '


@pytest.mark.parametrize('content', [b'', b'\xef\xbb\xbf', b'\n \r\n'])
def test_a_file_without_lines_has_none(tmp_path, content):
  path = tmp_path / 'list.txt'
  path.write_bytes(content)
  assert list(text.lines(path)) == []


def test_what_cannot_be_read_is_named_with_the_remedy(tmp_path):
  path = f'{tmp_path}/n\udcff.txt'
  with pytest.raises(errors.UserError) as caught:
    list(text.lines(path, 'the list of pairs', 'Give another one.'))
  assert str(caught.value) == (
    f'Cannot read the list of pairs {tmp_path}/n\\xff.txt: No such file or '
    'directory. Give another one.'
  )
  with pytest.raises(errors.UserError, match='Is a directory'):
    list(text.byte_lines(tmp_path))
  os.mkdir(path)
  with (
    pytest.raises(errors.UserError, match='Cannot read the file'),
    text.reading(path),
  ):
    pass


def test_a_line_without_end_is_refused_at_once():
  with pytest.raises(errors.UserError, match='more than 65536 bytes') as caught:
    list(text.byte_lines('/dev/zero'))
  assert str(caught.value).startswith('/dev/zero:1: the line ')
  assert len(str(caught.value)) < 2000


def test_a_wrong_line_is_shown_with_its_place():
  error = text.bad_line('n\udcff.txt', 7, b' a\xff b\r\n', 'two columns')
  assert str(error) == (r"n\xff.txt:7: expected two columns, not 'a\\xff b'.")


def test_a_table_can_be_read_as_it_stands_and_cells_hold_any_text():
  assert text.table(
    [['run', 'rate'], ['a|b', '1'], ['c', '']]
  ).splitlines() == [
    '| run  | rate |',
    '|------|------|',
    '| a\\|b | 1    |',
    '| c    |      |',
  ]
