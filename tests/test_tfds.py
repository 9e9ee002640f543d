"""Sets of TensorFlow Datasets: read by row, whoever has prepared them."""

import concurrent.futures
import json
import os
import pathlib
import pickle

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from bfjax import errors
from bfjax.data import sources, tfds_columns
from bfjax.data.sources import imagelist
from bfjax.data.sources import tfds as tfds_source
from bfjax.datasets import layouts, ondisk, packing
from bfjax.datasets.layouts import tfds as tfds_layout
from bfjax.datasets.tfds_builders.faces import faces_dataset_builder

NAMES = ('ann', 'bob', 'cy d')


def encoded(i, ending='.png'):
  pixels = np.full((8, 6, 3), (i, 200 - i, 3 * i % 256), np.uint8)
  return cv2.imencode(ending, pixels)[1].tobytes()


class Foreign(tfds.core.GeneratorBasedBuilder):
  """A set as others prepare it: shuffled, features called anyhow."""

  VERSION = tfds.core.Version('2.1.0')

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          'picture': tfds.features.Image(),
          'who': tfds.features.ClassLabel(names=list(NAMES)),
          'age': tfds.features.Scalar(np.int32),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {
      'train': self._examples(range(40)),
      'test': self._examples(range(90, 95)),
    }

  def _generate_examples(self):
    pass

  def _examples(self, numbers):
    for i in numbers:
      label = -1 if i >= 90 else i % 2 * 2
      yield f'key{i}', {'picture': encoded(i), 'who': label, 'age': i}


@pytest.fixture(scope='module')
def foreign(tmp_path_factory):
  root = tmp_path_factory.mktemp('sets')
  builder = Foreign(data_dir=root, file_format='array_record')
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=3)
  )
  return root


@pytest.fixture
def listed(tmp_path):
  """A source of 10 images with names that are not UTF-8 among them."""
  labels = [5, 2, 5, 9, 2, 2, 9, 5, 2, 9]
  names = [b'x/%d.png' % i for i in range(9)] + [b'x/\xff 9.png']
  root = tmp_path / 'images'
  (root / 'x').mkdir(parents=True)
  for i, name in enumerate(names):
    (root / os.fsdecode(name)).write_bytes(encoded(i))
  lines = [b'%s %d\n' % x for x in zip(names, labels, strict=True)]
  (root / 'train.txt').write_bytes(b''.join(lines))
  (root / 'flips.txt').write_bytes(b'x/0.png 9\nx/\xff 9.png 2\n')
  return imagelist.build(root=str(root), list='train.txt', truth='flips.txt')


def packed(source, root, rows_per_shard=4, version='1.0.0'):
  writer = layouts.build(
    'tfds', out=root / 'own' / version, rows_per_shard=rows_per_shard
  )
  packing.pack(source, writer, command={})
  return root


def same_rows(source, copy):
  rows = np.arange(source.num_rows)
  assert copy.num_rows == source.num_rows
  assert [copy.name(i) for i in rows] == [source.name(i) for i in rows]
  assert copy.read(rows) == source.read(rows)
  assert list(copy.class_names) == list(source.class_names)
  np.testing.assert_array_equal(copy.labels, source.labels)
  np.testing.assert_array_equal(copy.true_labels, source.true_labels)


def test_a_set_of_others_is_read_as_tfds_reads_it(foreign):
  source = sources.build('tfds', root=str(foreign))
  expected = tfds.builder_from_directory(foreign / 'foreign/2.1.0')
  expected = expected.as_data_source('train')
  assert source.num_rows == len(expected) == 40
  # 'bob' has no image.
  assert list(source.class_names) == ['ann', 'cy d']
  assert source.labels.dtype == np.int32 and source.true_labels is None
  order = np.random.default_rng(0).permutation(40)
  for row, image in zip(order, source.read(order), strict=True):
    assert image == encoded(int(expected[int(row)]['age']))
    assert source.labels[row] == int(expected[int(row)]['who']) // 2
  assert source.name(7) == 'foreign/2.1.0/train#7'
  assert source.path(39).startswith(f'{foreign}/foreign/2.1.0/foreign-train.')
  assert source.path(39).endswith(f'-00002-of-00003#{13 - 1}')


def test_splits_are_sliced_and_features_named(foreign):
  whole = sources.build('tfds', root=str(foreign), check='decode')
  part = sources.build(
    'tfds',
    root=str(foreign / 'foreign/2.1.0'),
    split='train[25%:75%]',
    image_key='picture',
    label_key='age',
  )
  assert part.num_rows == 20
  assert part.read([0, 19]) == whole.read([10, 29])
  # An integer that is no class label is numbered, in ascending order.
  ages = [int(part.class_names[label]) for label in part.labels]
  assert part.read(range(20)) == [encoded(age) for age in ages]
  assert sorted(ages) == [int(x) for x in part.class_names]
  assert part.fingerprint != whole.fingerprint
  found = ondisk.detect(str(foreign))
  again = ondisk.open_source(found, split='train[25%:75%]', label_key='age')
  assert again.fingerprint == part.fingerprint


@pytest.mark.parametrize(
  'options, message',
  [
    ({'split': 'val'}, r"no split 'val'\. There are: train, test"),
    ({'split': 'test'}, r'record 0: who is -1, but there are 3 classes'),
    ({'image_key': 'who'}, r"image_key='who'.*can be the image are: picture"),
    ({'label_key': 'picture'}, r"label_key='picture'.*the label are: who"),
    ({'dataset': 'casia'}, r"no sets called 'casia'.*foreign:2\.1\.0"),
    ({'dataset': 'foreign:1.0.0'}, r'no sets called'),
    ({'num_classes': 1}, 'has 2 classes, but data.num_classes is 1'),
    ({'check': 'all'}, "'exist', 'decode' or 'none'"),
  ],
)
def test_wrong_options_are_explained(foreign, options, message):
  with pytest.raises(errors.UserError, match=message):
    sources.build('tfds', root=str(foreign), **options)


def test_other_file_formats_are_refused_with_the_remedy(tmp_path):
  builder = Foreign(data_dir=tmp_path, file_format='tfrecord')
  builder.download_and_prepare()
  with pytest.raises(errors.UserError, match=r"'tfrecord'.*array_record"):
    sources.build('tfds', root=str(tmp_path))


def test_our_sets_keep_all_and_tfds_reads_them(listed, tmp_path):
  root = packed(listed, tmp_path / 'sets')
  same_rows(listed, sources.build('tfds', root=str(root)))
  assert sources.build('tfds', root=str(root)).fingerprint == listed.fingerprint
  found = tfds.data_source('own', data_dir=root, split='train')
  assert [int(x['row']) for x in found] == list(range(10))
  names = found.dataset_info.features['label'].names
  for row, example in enumerate(found):
    assert os.fsdecode(example['path']) == listed.name(row)
    assert example['image'].shape == (8, 6, 3)
    pixels = cv2.imdecode(
      np.frombuffer(encoded(row), np.uint8), cv2.IMREAD_COLOR_RGB
    )
    np.testing.assert_array_equal(example['image'], pixels)
    assert names[example['label']] == listed.class_names[listed.labels[row]]
    true = listed.class_names[listed.true_labels[row]]
    assert names[example['true_label']] == true
  files = sorted(x.name for x in (root / 'own/1.0.0').glob('*record*'))
  assert files == [f'own-train.array_record-0000{i}-of-00003' for i in range(3)]


def test_the_builder_of_tfds_prepares_any_source(listed, tmp_path):
  options = {'root': listed.images.root, 'list': 'train.txt'}
  builder = faces_dataset_builder.Builder(
    data_dir=tmp_path,
    file_format='array_record',
    # As `tfds build --config='{...}'` makes it.
    config=faces_dataset_builder.Builder.builder_config_cls(
      **json.loads(
        json.dumps({'name': 'mine', 'source': 'imagelist', 'options': options})
      )
    ),
  )
  builder.download_and_prepare()
  copy = sources.build('tfds', root=str(tmp_path))
  assert copy.read(range(10)) == listed.read(range(10))
  assert copy.fingerprint == listed.fingerprint
  assert copy.true_labels is None
  assert ondisk.detect(str(tmp_path)).format == 'tfds'
  assert (tmp_path / 'faces/mine/1.0.0').is_dir()


def test_the_newest_version_is_taken_and_others_can_be_named(listed, tmp_path):
  for version in ('1.2.0', '1.10.0'):
    packed(listed, tmp_path, version=version)
  newest = sources.build('tfds', root=str(tmp_path))
  assert '/own/1.10.0/' in newest.path(0)
  older = sources.build('tfds', root=str(tmp_path), dataset='own:1.2.0')
  assert '/own/1.2.0/' in older.path(0)


def test_true_labels_may_come_from_a_list(listed, tmp_path):
  root = packed(listed, tmp_path / 'sets')
  (tmp_path / 'truth.txt').write_bytes(b'x/1.png 9\n')
  copy = sources.build(
    'tfds', root=str(root), truth=str(tmp_path / 'truth.txt')
  )
  changed = np.flatnonzero(copy.true_labels != copy.labels)
  assert changed.tolist() == [1]
  assert copy.class_names[copy.true_labels[1]] == '9'


def test_labels_are_kept_in_a_file_until_the_set_changes(
  listed, tmp_path, monkeypatch, caplog
):
  root = packed(listed, tmp_path / 'sets')
  folder = root / 'own/1.0.0'
  scans = []
  scan = tfds_columns._scan
  monkeypatch.setattr(
    tfds_columns, '_scan', lambda *x: scans.append(1) or scan(*x)
  )

  def open_again():
    same_rows(listed, tfds_source.build(root=str(root)))
    return len(scans)

  assert open_again() == 0
  [shard, *_] = sorted(folder.glob('*record*'))
  os.utime(shard, (1, 1))
  assert open_again() == 1
  assert open_again() == 1
  kept = folder / 'bfjax-train.columns.npz'
  kept.write_bytes(kept.read_bytes()[:-50])
  assert open_again() == 2
  assert 'is damaged' in caplog.text
  state = np.load(kept)['#state']
  np.savez(kept, **{'#state': state, 'label': np.zeros(3, np.int64)})
  assert open_again() == 3
  # Where the set cannot be written to.
  kept.unlink()
  kept.mkdir()
  monkeypatch.setenv('BFJAX_CACHE', str(tmp_path / 'cache'))
  assert open_again() == 4
  assert open_again() == 4
  assert len([*(tmp_path / 'cache/tfds').iterdir()]) == 1


def test_damage_is_named(listed, tmp_path):
  root = packed(listed, tmp_path / 'sets', rows_per_shard=5)
  source = sources.build('tfds', root=str(root))
  first, second = sorted((root / 'own/1.0.0').glob('*record*'))
  content = bytearray(first.read_bytes())
  at = content.index(encoded(2)) + 20
  content[at : at + 9] = b'\0' * 9
  first.write_bytes(content)
  with pytest.raises(errors.UserError, match=r'-00000-of-00002, record 2:'):
    source.read([6, 2])
  second.write_bytes(second.read_bytes()[:-70_000])
  fresh = pickle.loads(pickle.dumps(source))
  with pytest.raises(errors.UserError, match=r'-00001-of-00002, its index'):
    fresh.read([6])
  second.unlink()
  with pytest.raises(
    errors.UserError, match='1 of 2 files of the set are miss'
  ):
    sources.build('tfds', root=str(root))
  (root / 'own/1.0.0/features.json').write_text('{')
  with pytest.raises(errors.UserError, match='description of the set'):
    sources.build('tfds', root=str(root))


def test_a_source_can_be_pickled_and_read_by_many_threads(listed, tmp_path):
  source = sources.build('tfds', root=str(packed(listed, tmp_path / 'sets', 3)))
  source.read([0])
  copy = pickle.loads(pickle.dumps(source))

  def read(seed):
    rows = np.random.default_rng(seed).integers(0, 10, 50)
    return copy.read(rows) == [encoded(int(row)) for row in rows]

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert all(pool.map(read, range(40)))
  # After a fork, readers and locks of the parent are not used.
  before = copy.images.records._reader
  copy.images.records._pid = -1
  assert read(0) and copy.images.records._reader is not before


@pytest.mark.parametrize('name', ['a\nb', ' a', '', 'n\udcff'])
def test_class_names_that_tfds_cannot_keep_are_refused(name):
  with pytest.raises(errors.UserError, match='TFDS cannot keep the class'):
    tfds_layout.check_class_names(['good', name])


def test_names_of_sets_are_checked():
  def out(path):
    return str(layouts.build('tfds', out=pathlib.Path(path)).out)

  assert out('/sets/casia') == '/sets/casia/1.0.0'
  assert out('/sets/casia/2.0.1') == '/sets/casia/2.0.1'
  with pytest.raises(errors.UserError, match='cannot be one'):
    out('/sets/ms1m-v3')
