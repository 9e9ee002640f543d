import pytest

from bfjax import atomic


def test_a_file_is_replaced_whole(tmp_path):
  path = tmp_path / 'file.txt'
  atomic.write_text(path, 'old')
  atomic.write_text(str(path), 'new')
  assert path.read_text() == 'new'
  assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
  path = tmp_path / 'file.txt'
  atomic.write_text(path, 'old')
  with pytest.raises(KeyError), atomic.writing(path) as draft:
    draft.write_text('half')
    raise KeyError
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]
