"""Features on disk, in a store and in the layout of one file an image."""

import errno
import json
import os

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from bfjax import errors
from bfjax.evaluation.features import rowtable, saved, store

NAMES = ['a/1.jpg', 'b c/2\t3.jpg', '', 'é.png', '\udce9.jpg']
LABELS = ['7', '', 'Jane Doe', 'é', '-1']


def make_store(root, features, kind='tsv', names=NAMES, **meta):
  root.mkdir()
  np.save(root / store.FEATURES, features)
  rows, n = f'rows.{kind}', len(names)
  if kind == 'tsv':
    lines = rowtable.lines(n, names.__getitem__, LABELS.__getitem__)
    (root / rows).write_bytes(b''.join(lines))
  else:
    columns = {'row': range(n), 'path': names, 'label': LABELS[:n]}
    parquet.write_table(pa.table(columns), root / rows)
  (root / store.META).write_text(json.dumps({'rows': rows} | meta))


@pytest.mark.parametrize(('kind', 'n'), [('tsv', 5), ('parquet', 4)])
def test_a_store_reads_what_was_written(tmp_path, kind, n):
  features = np.random.default_rng(0).normal(size=(n, 2, 3)).astype(np.float16)
  make_store(tmp_path / 's', features, kind, NAMES[:n], flip='both')
  found = store.open_store(tmp_path / 's')
  np.testing.assert_array_equal(found.features[1:3], features[1:3])
  assert found.features.dtype == np.float16
  assert list(found.names) == NAMES[:n]
  assert list(found.labels) == LABELS[:n]
  assert found.names[-1] == NAMES[n - 1]
  assert found.meta['flip'] == 'both'
  assert isinstance(found.features, np.memmap)


def test_what_a_row_table_cannot_hold():
  def write(name, label=''):
    list(rowtable.lines(1, [name].__getitem__, [label].__getitem__))

  with pytest.raises(errors.UserError, match='Row 0: a line break'):
    write('a\nb')
  with pytest.raises(errors.UserError, match='or a tab in the label'):
    write('a', '1\t2')


def test_features_of_many_files_need_room(tmp_path, monkeypatch):
  make_tree(tmp_path, np.ones((2, 3), np.float32), ['1.jpg', '2.jpg'])
  monkeypatch.setattr(store, '_IN_MEMORY', 0)
  found = saved.find(str(tmp_path), '', ['2.jpg', '1.jpg'], 'sum')
  assert isinstance(found.features, np.memmap)
  np.testing.assert_array_equal(found.features, 1)

  def full(file, offset, size):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(os, 'posix_fallocate', full)
  with pytest.raises(errors.UserError, match=r'No room for .* TMPDIR'):
    saved.find(str(tmp_path), '', ['1.jpg'], 'sum')


def test_a_store_whose_parts_do_not_fit_is_refused(tmp_path):
  make_store(tmp_path / 's', np.ones((5, 3), np.float32), names=NAMES[:4])
  with pytest.raises(errors.UserError, match=r'has 5 rows, but its .* 4'):
    store.open_store(tmp_path / 's')
  with pytest.raises(
    errors.UserError, match=r'meta.json cannot be read: .* tools/embed.py makes'
  ):
    store.open_store(tmp_path / 'nothing')
  (tmp_path / 's' / 'rows.tsv').write_text('path\n')
  with pytest.raises(errors.UserError, match='no table of rows'):
    store.open_store(tmp_path / 's')
  (tmp_path / 's' / store.UNFINISHED).write_text('{}')
  with pytest.raises(errors.UserError, match='unfinished'):
    store.open_store(tmp_path / 's')


def make_tree(root, features, names):
  for name, feature in zip(names, features, strict=True):
    path = root / f'{name}.npy'
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, feature)


def test_a_tree_is_read_in_the_order_asked_for(tmp_path):
  features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
  names = ['a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'b/x/2.png', 'c.jpg']
  make_tree(tmp_path, features, names)
  found = store.open_tree(tmp_path, names[::-1])
  np.testing.assert_array_equal(found.features, features[::-1])
  assert found.features.dtype == np.float32


def test_files_of_a_tree_that_are_missing_or_differ_are_named(tmp_path):
  make_tree(tmp_path, np.ones((2, 3), np.float32), ['1.jpg', '2.jpg'])
  make_tree(tmp_path, np.ones((1, 4), np.float32), ['3.jpg'])
  with pytest.raises(errors.UserError, match=r'1 of 3 .*\n.*4\.jpg\.npy'):
    store.open_tree(tmp_path, ['1.jpg', '2.jpg', '4.jpg'])
  with pytest.raises(errors.UserError, match=r'3\.jpg\.npy holds .*\(4,\)'):
    store.open_tree(tmp_path, ['1.jpg', '2.jpg', '3.jpg'])
  (tmp_path / '2.jpg.npy').write_bytes(b'none')
  with pytest.raises(errors.UserError, match=r'2\.jpg\.npy'):
    store.open_tree(tmp_path, ['1.jpg', '2.jpg'])
