"""A folder per class: links, loops and folders that cannot be read."""

import os

import numpy as np
import pytest

from bfjax import errors
from bfjax.data import folders
from bfjax.datasets import ondisk, outliers
from bfjax.evaluation.features import imagesets


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
  assert list(names) == ['a'] and found.num_rows == 1


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
      raise PermissionError(13, 'Permission denied', path)
    return scan(path)

  monkeypatch.setattr(os, 'scandir', fail)
  with pytest.raises(errors.UserError, match=r'a/deep: Permission denied'):
    folders.read(str(tmp_path))


SYSTEM = (
  '.DS_Store',
  '__MACOSX/p0/._1.jpg',
  'lost+found/1.jpg',
  '$RECYCLE.BIN/1.jpg',
  'p0/._1.jpg',
  'p0/Thumbs.db',
  'p0/.ipynb_checkpoints/1-checkpoint.jpg',
  'p0/deep/@eaDir/1.jpg/thumb.jpg',
  'p0/deep/.hidden.jpg',
)


def test_system_entries_are_left_out_at_every_depth_and_said_once(
  tmp_path, caplog
):
  _write(tmp_path, 'p0/1.jpg', 'p0/deep/2.jpg', 'p1/1.jpg', *SYSTEM)
  expected = [b'p0/1.jpg', b'p0/deep/2.jpg', b'p1/1.jpg']
  found, labels, names = folders.read(str(tmp_path))
  assert list(found.names.all_encoded()) == expected
  assert list(names) == ['p0', 'p1'] and labels.tolist() == [0, 0, 1]
  [said] = caplog.messages
  assert said.startswith(f'{len(SYSTEM)} hidden or system entries')
  for walk in (
    lambda: folders.images_below(str(tmp_path)),
    lambda: (name for name, _ in outliers.Pool(str(tmp_path)).listed()),
    lambda: imagesets.open_paths(str(tmp_path)).names.all_encoded(),
  ):
    caplog.clear()
    assert sorted(walk()) == expected
    [said] = caplog.messages
    assert said.startswith(f'{len(SYSTEM)} hidden or system entries')


def test_system_folders_alone_are_no_data_set(tmp_path):
  _write(tmp_path, '__MACOSX/p0/1.jpg', '.git/1.jpg')
  with pytest.raises(errors.UserError, match='is none of'):
    ondisk.detect(str(tmp_path))
  with pytest.raises(errors.UserError, match='has no folders'):
    folders.read(str(tmp_path))


def test_a_pool_reaches_folders_by_links_and_refuses_loops(tmp_path):
  _write(tmp_path, 'else/deep/1.jpg', 'pool/a/2.jpg')
  os.symlink(tmp_path / 'else', tmp_path / 'pool/b')
  found = sorted(folders.images_below(str(tmp_path / 'pool')))
  assert found == [b'a/2.jpg', b'b/deep/1.jpg']
  os.symlink('..', tmp_path / 'pool/a/loop')
  with pytest.raises(errors.UserError, match=r'same folder as .*by a link'):
    list(folders.images_below(str(tmp_path / 'pool')))


def test_images_that_no_class_has_and_classes_one_level_down_are_said(
  tmp_path, caplog
):
  _write(tmp_path, 'train/p0/1.jpg', 'train/p1/2.jpg', 'stray.jpg')
  folders.read(str(tmp_path))
  text = caplog.text
  assert 'in no class folder, are not used: 1' in text
  assert f'give data.root={tmp_path}/train' in text
