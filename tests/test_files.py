"""Image files by row number: names, reading, and what is said when missing."""

import os
import pickle
import socket

import numpy as np
import pytest

from bfjax import errors
from bfjax.data import files


def _write(root, name, content=b'x'):
  path = os.path.join(os.fsencode(root), os.fsencode(name))
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'wb') as file:
    file.write(content)


ODD_NAMES = [
  'a/plain.jpg',
  'with blank/b  c.jpg',
  'ünï/é.png',
  b'n\xff\xe9.jpg',
]


def test_reads_and_names_odd_paths(tmp_path):
  for i, name in enumerate(ODD_NAMES):
    _write(tmp_path, name, b'%d' % i)
  images = files.ImageFiles(ODD_NAMES, tmp_path)
  assert images.num_rows == 4
  assert images.read(np.array([3, 0, 0, 2])) == [b'3', b'0', b'0', b'2']
  assert [images.name(i) for i in range(4)] == [
    os.fsdecode(name) for name in ODD_NAMES
  ]
  assert list(images.names.all_encoded()) == list(map(os.fsencode, ODD_NAMES))
  assert images.path(1) == str(tmp_path / 'with blank/b  c.jpg')
  images.check_exist()
  copy = pickle.loads(pickle.dumps(images))
  assert copy.read([3]) == [b'3'] and copy.name(3) == images.name(3)


def test_absolute_paths_stay_and_root_becomes_absolute(tmp_path, monkeypatch):
  _write(tmp_path, 'r/a.jpg')
  monkeypatch.chdir(tmp_path)
  images = files.ImageFiles(['a.jpg', str(tmp_path / 'r/a.jpg')], 'r')
  monkeypatch.chdir('/')
  assert images.path(0) == images.path(1) == str(tmp_path / 'r/a.jpg')
  assert images.read([0, 1]) == [b'x', b'x']


def test_there_is_no_row_before_the_first_or_after_the_last(tmp_path):
  images = files.ImageFiles(['a.jpg'], tmp_path)
  for row in (-1, 1):
    with pytest.raises(IndexError, match='of 1 image files'):
      images.read([row])


def test_an_unreadable_file_is_named(tmp_path):
  _write(tmp_path, 'folder.jpg/inside')
  images = files.ImageFiles(['gone.jpg', 'folder.jpg', b'\xff.jpg'], tmp_path)
  with pytest.raises(errors.UserError, match=r'gone\.jpg: No such file'):
    images.read([0])
  with pytest.raises(errors.UserError, match=r'folder\.jpg: Is a directory'):
    images.read([1])
  with pytest.raises(errors.UserError, match=r'\\xff\.jpg: No such') as caught:
    images.read([2])
  str(caught.value).encode('utf-8')  # can be printed on any terminal


def test_the_first_pass_names_the_missing_and_counts_them(tmp_path):
  names = [f'{i:05d}.jpg' for i in range(3000)]
  for name in names[:2000]:
    _write(tmp_path, name)
  _write(tmp_path, names[10], b'')
  images = files.ImageFiles([*names, '.'], tmp_path)
  with pytest.raises(errors.UserError) as caught:
    images.check_exist()
  message = str(caught.value)
  assert message.startswith('1002 of 3001 images cannot be used')
  assert '00010.jpg: empty' in message
  assert '02000.jpg: No such file' in message
  assert '... and 997 more' in message
  assert f'relative to {tmp_path}' in message


def test_what_is_no_file_is_named_and_nothing_waits(tmp_path, monkeypatch):
  """A pipe without a writer would block, and /dev/zero never ends."""
  monkeypatch.chdir(tmp_path)
  os.mkfifo('pipe.jpg')
  os.symlink('/dev/zero', 'zero.jpg')
  os.symlink('/dev/null', 'null.jpg')
  os.symlink('circle.jpg', 'circle.jpg')
  with socket.socket(socket.AF_UNIX) as server:
    server.bind('socket.jpg')
  names = ['pipe.jpg', 'zero.jpg', 'null.jpg', 'circle.jpg', 'socket.jpg']
  images = files.ImageFiles(names, tmp_path)
  for row, problem in enumerate(
    ('not a file', 'not a file', 'not a file', 'Too many', 'No such device')
  ):
    with pytest.raises(errors.UserError, match=f'{names[row]}: {problem}'):
      images.read([row])
  found = dict(images.problems())
  assert {row: found[row] for row in (0, 1, 2, 4)} == dict.fromkeys(
    (0, 1, 2, 4), 'not a file'
  )
  assert found[3].startswith('Too many levels of symbolic links')


def test_a_pipe_that_is_not_written_to_does_not_wait(tmp_path):
  os.mkfifo(tmp_path / 'pipe.jpg')
  images = files.ImageFiles(['pipe.jpg'], tmp_path)
  writer = os.open(tmp_path / 'pipe.jpg', os.O_RDWR | os.O_NONBLOCK)
  with pytest.raises(errors.UserError, match='temporarily unavailable'):
    images.read([0])
  os.close(writer)


def test_files_of_any_size_are_read_whole(tmp_path, monkeypatch):
  sizes = [0, 1, 65535, 65536, 65537, 200_000]
  contents = [os.urandom(size) for size in sizes]
  for size, content in zip(sizes, contents, strict=True):
    _write(tmp_path, f'{size}.jpg', content)
  images = files.ImageFiles([f'{size}.jpg' for size in sizes], tmp_path)
  assert images.read(range(6)) == contents
  assert images.read([]) == []
  monkeypatch.setattr(files, 'MAX_FILE_BYTES', 100_000)
  with pytest.raises(errors.UserError, match='200000 bytes, and 100000 are'):
    images.read([5])


def test_a_file_that_changes_after_the_check_is_named(tmp_path):
  _write(tmp_path, 'a.jpg')
  images = files.ImageFiles(['a.jpg'], tmp_path)
  images.check_exist()
  os.remove(tmp_path / 'a.jpg')
  os.mkdir(tmp_path / 'a.jpg')
  with pytest.raises(errors.UserError, match=r'a\.jpg: Is a directory'):
    images.read([0])


def test_problems_can_be_left_off_and_come_in_order(tmp_path):
  images = files.ImageFiles(map(str, range(40_000)), tmp_path)
  found = images.problems()
  assert [next(found) for _ in range(3)] == [
    (row, 'No such file or directory') for row in range(3)
  ]
  found.close()
