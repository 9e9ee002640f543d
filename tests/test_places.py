"""Lists relative to the images or to the user: one is taken, and it is said."""

import numpy as np
import pytest

from bfjax import errors
from bfjax.data import places
from bfjax.data.sources import imagelist
from bfjax.datasets import ondisk


@pytest.fixture
def root(tmp_path, monkeypatch):
  """The folder of the images; the user is in one beside it."""
  for name in ('root', 'here'):
    (tmp_path / name).mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  return tmp_path / 'root'


def test_the_one_that_is_there_is_taken(root, caplog):
  for folder in (root, root.parent / 'here'):
    path = folder / 'x.txt'
    path.write_text('a 1\n')
    assert places.find_list('x.txt', str(root), 'data.list') == str(path)
    assert f'data.list is taken to be {path}' in caplog.text
    path.unlink()
  with pytest.raises(errors.UserError, match=r'root/x\.txt, nor .*here/x\.txt'):
    places.find_list('x.txt', str(root), 'data.list')


def test_two_that_differ_are_refused_and_equal_ones_are_not(root, caplog):
  here = root.parent / 'here/x.txt'
  for path in (root / 'x.txt', here):
    path.write_text('a 1\n')
  taken = places.find_list('x.txt', str(root), 'data.list')
  assert taken == str(root / 'x.txt')
  assert f'not its copy {here}' in caplog.text
  here.write_text('a 2\n')
  with pytest.raises(errors.UserError, match='and the two differ'):
    places.find_list('x.txt', str(root), 'data.list')
  assert places.find_list(str(here), str(root), 'data.list') == str(here)
  here.unlink()
  here.symlink_to(root / 'x.txt')
  caplog.clear()
  assert places.find_list('x.txt', str(root), 'data.list') == taken
  assert not caplog.messages


def test_training_and_tools_take_both(root):
  here = root.parent / 'here'
  (here / 'list.txt').write_text('a.jpg 0\nb.jpg 1\n')
  (root / 'flips.txt').write_text('a.jpg 1\n')
  options = {'list': 'list.txt', 'check': 'none'}
  source = imagelist.build(root='../root', truth='flips.txt', **options)
  np.testing.assert_array_equal(source.true_labels, [1, 1])
  found = ondisk.detect('../root', list='list.txt')
  assert found.options['list'] == str(here / 'list.txt')
  source = ondisk.open_source(found, truth='flips.txt', check='none')
  np.testing.assert_array_equal(source.true_labels, [1, 1])
