"""A folder per class: links, loops and folders that cannot be read."""

import os

import numpy as np
import pytest

from bfjax import errors
from bfjax.data import folders


def _write(root, *names):
  for name in names:
    path = os.path.join(os.fsencode(root), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
      file.write(b'x')


def test_links_to_folders_and_files_are_followed(tmp_path):
  _write(tmp_path, 'root/a/1.jpg', 'else/deep/2.png', 'more/3.webp')
  os.symlink(tmp_path / 'else', tmp_path / 'root/a/below')
  os.symlink(tmp_path / 'more', tmp_path / 'root/b')
  os.symlink(tmp_path / 'more/3.webp', tmp_path / 'root/a/3.webp')
  found, labels, names = folders.read(str(tmp_path / 'root'))
  assert list(names) == ['a', 'b']
  assert [found.name(row) for row in range(4)] == [
    'a/1.jpg',
    'a/3.webp',
    'a/below/deep/2.png',
    'b/3.webp',
  ]
  assert labels.dtype == np.int32 and labels.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize('target', ['.', '..', '../..', 'deep'])
def test_a_loop_of_links_is_named(tmp_path, target):
  _write(tmp_path, 'a/1.jpg', 'a/deep/2.jpg', 'b/1.jpg')
  os.symlink(target, tmp_path / 'a/deep/loop')
  if target == 'deep':
    os.remove(tmp_path / 'a/deep/loop')
    os.symlink('deep', tmp_path / 'a/again')
  with pytest.raises(errors.UserError, match=r'same folder as .*by a link'):
    folders.read(str(tmp_path))


def test_links_that_double_at_every_level_end_at_once(tmp_path):
  """Thirty folders, a billion paths."""
  _write(tmp_path, *(f'{i}/1.jpg' for i in range(30)))
  for i in range(29):
    for side in 'lr':
      os.symlink(tmp_path / str(i + 1), tmp_path / str(i) / side)
  with pytest.raises(errors.UserError, match='same folder as'):
    folders.read(str(tmp_path))


def test_links_in_a_circle_and_to_nowhere_are_other_files(tmp_path):
  _write(tmp_path, 'a/1.jpg')
  os.symlink('circle', tmp_path / 'circle')
  os.symlink('circle', tmp_path / 'a/circle')
  os.symlink('nowhere', tmp_path / 'a/nowhere')
  found, _, names = folders.read(str(tmp_path))
  assert list(names) == ['a'] and len(found) == 1


def test_names_that_are_not_utf8(tmp_path):
  _write(tmp_path, b'n\xff/\xe9.jpg', b'z/1.jpg')
  found, _, names = folders.read(str(tmp_path))
  assert list(names) == ['n\udcff', 'z']
  assert found.name(0) == 'n\udcff/\udce9.jpg'
  assert found.read([0]) == [b'x']
  os.mkdir(os.path.join(os.fsencode(tmp_path), b'empty\xff'))
  with pytest.raises(errors.UserError, match=r'empty\\xff has no images'):
    folders.read(str(tmp_path))


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
  _write(tmp_path, 'a/deep/1.jpg')
  scan = os.scandir

  def fail(path):
    if str(path).endswith('deep'):
      raise PermissionError(13, 'Permission denied')
    return scan(path)

  monkeypatch.setattr(os, 'scandir', fail)
  with pytest.raises(errors.UserError, match=r'a/deep: Permission denied'):
    folders.read(str(tmp_path))
