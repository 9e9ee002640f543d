"""The input stream: order, masks, mirroring, resuming, and bad images."""

import dataclasses
import pathlib
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

from bfjax import errors
from bfjax.data import augment, files, images, order, pipeline
from bfjax.data.sources import imagelist

NUM_ROWS = 22
SIZE = 16
BATCH = 8  # 3 steps an epoch, the last with 6 rows of 8
BAD = (3, 4, 21)


def _write_image(path, row):
  """A flat grey image that tells its row, bright on its right side."""
  pixels = np.full([SIZE, SIZE, 3], 10 * row, np.uint8)
  pixels[:, SIZE // 2 :] += 5
  cv2.imwrite(str(path), pixels)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  root = tmp_path_factory.mktemp('images')
  for row in range(NUM_ROWS):
    _write_image(root / f'{row}.png', row)
  lines = [f'{row}.png {row % 5}\n' for row in range(NUM_ROWS)]
  (root / 'list.txt').write_text(''.join(lines))
  return imagelist.build(root=str(root), list='list.txt')


@pytest.fixture
def bad_source(source, tmp_path):
  """The same images, three of them unusable in different ways."""
  for row in range(NUM_ROWS):
    _write_image(tmp_path / f'{row}.png', row)
  (tmp_path / '3.png').write_bytes((tmp_path / '3.png').read_bytes()[:-20])
  (tmp_path / '4.png').write_text('not an image')
  (tmp_path / '21.png').unlink()
  text = pathlib.Path(source.images.root, 'list.txt').read_text()
  (tmp_path / 'list.txt').write_text(text)
  return imagelist.build(root=str(tmp_path), list='list.txt', check='none')


def _open(source, first_step, num_steps, **options):
  options = {'batch': BATCH, 'image_size': SIZE, 'seed': 5, **options}
  fields = {field.name for field in dataclasses.fields(images.Reading)}
  reading = {name: options.pop(name) for name in fields & options.keys()}
  return pipeline.train_batches(
    source,
    source.labels,
    order.TrainOrder(num_rows=source.num_rows, **options),
    range(first_step, first_step + num_steps),
    images.Reading(**reading),
  )


def _batches(source, first_step, num_steps, **options):
  with _open(source, first_step, num_steps, **options) as batches:
    return list(batches)


def _assert_equal(a, b):
  assert len(a) == len(b)
  for x, y in zip(a, b, strict=True):
    assert x.keys() == y.keys()
    for name in x:
      np.testing.assert_array_equal(x[name], y[name], err_msg=name)


def _mirrored(batch):
  return batch['image'][:, 0, 0, 0] > batch['image'][:, 0, -1, 0]


def test_what_a_batch_holds(source):
  [batch] = _batches(source, 0, 1)
  assert batch['image'].shape == (BATCH, SIZE, SIZE, 3)
  assert batch['image'].dtype == np.uint8
  assert batch['label'].dtype == batch['row'].dtype == np.int32
  assert batch['mask'].dtype == bool and batch['mask'].all()
  assert batch['skipped'] == 0
  np.testing.assert_array_equal(batch['label'], batch['row'] % 5)
  darker = batch['image'][:, 0, :, 0].min(1)
  np.testing.assert_array_equal(darker, 10 * batch['row'])


def test_every_row_comes_once_an_epoch_in_another_order(source):
  batches = _batches(source, 0, 6)
  epochs = [batches[:3], batches[3:]]
  orders = []
  for epoch in epochs:
    rows = np.concatenate([x['row'] for x in epoch])
    mask = np.concatenate([x['mask'] for x in epoch])
    assert mask[:NUM_ROWS].all() and not mask[NUM_ROWS:].any()
    np.testing.assert_array_equal(np.sort(rows[mask]), np.arange(NUM_ROWS))
    # The last batch is filled up with the first rows of the same epoch.
    np.testing.assert_array_equal(rows[~mask], rows[:2])
    orders.append(rows[mask])
  assert (orders[0] != orders[1]).any()
  assert (orders[0] != np.arange(NUM_ROWS)).any()
  other = _batches(source, 0, 3, seed=6)
  assert (np.concatenate([x['row'] for x in other])[:22] != orders[0]).any()


def test_starting_at_a_step_equals_going_there(source):
  batches = _batches(source, 0, 7)
  for first_step in (1, 2, 3, 5):
    _assert_equal(_batches(source, first_step, 2), batches[first_step:][:2])


def test_threads_change_nothing(source):
  batches = _batches(source, 1, 4, threads=1)
  _assert_equal(_batches(source, 1, 4, threads=5), batches)


def test_processes_share_the_batch_out(source):
  whole = _batches(source, 0, 4)
  parts = [
    _batches(source, 0, 4, process_index=i, process_count=2) for i in range(2)
  ]
  for step, batch in enumerate(whole):
    for name in ('image', 'label', 'row', 'mask'):
      joined = np.concatenate([part[step][name] for part in parts])
      np.testing.assert_array_equal(joined, batch[name])


def test_half_of_the_rows_are_mirrored_and_others_next_time(source):
  mirrored = np.zeros([40, NUM_ROWS], bool)
  for i, batch in enumerate(_batches(source, 0, 120)):
    mirrored[i // 3, batch['row']] = _mirrored(batch)
  # 880 fair coins: 0.5 +- 4.2 standard deviations of 0.017.
  assert abs(mirrored.mean() - 0.5) < 0.07
  # Each row's share over 40 epochs, +- 4.4 standard deviations of 0.079.
  assert np.abs(mirrored.mean(0) - 0.5).max() < 0.35
  changed = mirrored[1:] != mirrored[:-1]
  assert abs(changed.mean() - 0.5) < 0.07
  assert not any(_mirrored(x).any() for x in _batches(source, 0, 3, flip=False))


def _key(seed, epoch, row):
  def mix(bits):
    bits = (bits + 0x9E3779B97F4A7C15) % 2**64
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
    return bits ^ bits >> 31

  return mix(mix(mix(seed) ^ epoch) ^ row)


def test_mirroring_is_a_hash_of_seed_epoch_and_row(source):
  for step, batch in enumerate(_batches(source, 0, 6)):
    rows = batch['row'].tolist()
    expected = [_key(5, step // 3, row) % 2 == 1 for row in rows]
    np.testing.assert_array_equal(_mirrored(batch), expected)


AUGMENT = augment.Augment(crop=0.5, photometric=0.5, cutout=0.5)


def test_augmentation_is_a_function_of_seed_epoch_and_row(source):
  plain = _batches(source, 0, 6, flip=False)
  batches = _batches(source, 0, 6, augment=AUGMENT)
  num_changed = 0
  for step, (before, after) in enumerate(zip(plain, batches, strict=True)):
    for row, image, found in zip(
      before['row'].tolist(), before['image'], after['image'], strict=True
    ):
      key = _key(5, step // 3, row)
      expected = AUGMENT(image, key)
      num_changed += expected is not image
      expected = expected[:, ::-1] if key % 2 else expected
      np.testing.assert_array_equal(found, expected)
  assert 30 < num_changed < 48
  _assert_equal(_batches(source, 4, 2, augment=AUGMENT, threads=1), batches[4:])
  parts = [
    _batches(source, 4, 2, augment=AUGMENT, process_index=i, process_count=4)
    for i in range(4)
  ]
  for step, whole in enumerate(batches[4:]):
    joined = np.concatenate([part[step]['image'] for part in parts])
    np.testing.assert_array_equal(joined, whole['image'])


def test_images_are_untouched_where_no_augmentation_is_on(source):
  plain = _batches(source, 0, 3)
  _assert_equal(_batches(source, 0, 3, augment=augment.Augment()), plain)


def test_the_order_is_that_of_earlier_versions():
  """A run begun with another TensorFlow goes on with the same rows."""
  rows = order.TrainOrder(num_rows=NUM_ROWS, batch=8, seed=5)
  assert rows(0)['row'].tolist() == [12, 0, 6, 18, 2, 13, 16, 9]
  assert rows(3)['row'].tolist() == [3, 10, 1, 18, 13, 20, 16, 6]


def test_a_batch_may_be_larger_than_the_data_set(source):
  [batch] = _batches(source, 0, 1, batch=50)
  assert batch['mask'].sum() == NUM_ROWS
  assert np.bincount(batch['row']).max() == 3


@pytest.mark.parametrize('batch', [1, 7, 137, 256, 300, 521])
def test_any_batch_size(source, batch):
  [found] = _batches(source, 0, 1, batch=batch)
  assert found['image'].shape == (batch, SIZE, SIZE, 3)
  np.testing.assert_array_equal(
    found['image'][:, 0, :, 0].min(1), 10 * found['row']
  )


def test_a_bad_image_is_named_and_nothing_else_is_said(bad_source):
  with pytest.raises(errors.UserError) as caught:
    _batches(bad_source, 0, 3, batch=NUM_ROWS)
  message = str(caught.value)
  root = bad_source.images.root
  assert f'Cannot decode the image {root}/3.png: truncated or corrupt' in (
    message
  )
  assert f'{root}/4.png: not a JPEG, PNG' in message
  assert f'{root}/21.png: No such file' in message
  assert "data.on_error='skip'" in message
  assert 'tensorflow' not in message.lower()
  assert caught.value.__suppress_context__


def test_a_bad_image_ends_the_stream_at_its_own_step(bad_source):
  good = _batches(bad_source, 0, 3, on_error='skip')
  first_bad = next(i for i, x in enumerate(good) if x['skipped'])
  batches = _open(bad_source, 0, 3)
  for _ in range(first_bad):
    next(batches)
  with pytest.raises(errors.UserError):
    next(batches)
  assert batches.step == first_bad


def test_bad_images_are_replaced_by_the_next_good_row(source, bad_source):
  good = _batches(source, 0, 6)
  replacement = {3: 5, 4: 5, 21: 0}
  with _open(bad_source, 0, 6, on_error='skip') as stream:
    assert stream.bad_rows == []
    batches = list(stream)
    assert stream.bad_rows == list(BAD)
  for expected, batch in zip(good, batches, strict=True):
    rows = [replacement.get(row, row) for row in expected['row'].tolist()]
    np.testing.assert_array_equal(batch['row'], rows)
    np.testing.assert_array_equal(batch['label'], np.array(rows) % 5)
    np.testing.assert_array_equal(batch['mask'], expected['mask'])
    np.testing.assert_array_equal(
      batch['image'][:, 0, :, 0].min(1), 10 * np.array(rows)
    )
    is_bad = np.isin(expected['row'], BAD) & expected['mask']
    assert batch['skipped'] == is_bad.sum()
  assert sum(x['skipped'] for x in batches) == 6


def test_skipping_does_not_depend_on_what_was_met_before(bad_source):
  batches = _batches(bad_source, 0, 6, on_error='skip')
  for bad_rows in ((), BAD, BAD[1:]):
    resumed = _batches(bad_source, 4, 2, on_error='skip', bad_rows=bad_rows)
    _assert_equal(resumed, batches[4:])


def test_when_no_image_is_good_there_is_an_error(tmp_path):
  (tmp_path / 'list').write_text('a.jpg 0\nb.jpg 1\n')
  source = imagelist.build(root=str(tmp_path), list='list', check='none')
  with pytest.raises(errors.UserError, match='None of the 2 images'):
    _batches(source, 0, 1, batch=1, on_error='skip')


class Failing:
  """Rows in memory; those of `is_bad` cannot be read."""

  def __init__(self, num_rows, is_bad):
    self.num_rows = num_rows
    self.labels = np.zeros(num_rows, np.int32)
    self.is_bad, self.num_read = is_bad, 0
    pixels = np.full([SIZE, SIZE, 3], 7, np.uint8)
    self._encoded = cv2.imencode('.png', pixels)[1].tobytes()

  def read(self, rows):
    for row in rows:
      self.num_read += 1
      if self.is_bad(self, int(row)):
        raise errors.UserError(f'Cannot read the image {row}.')
    return [self._encoded] * len(rows)

  def path(self, row):
    return str(row)


def test_an_outage_of_the_storage_is_not_skipped():
  source = Failing(100_000, lambda self, row: self.num_read > 3000)
  with (
    _open(source, 0, 1000, batch=64, on_error='skip') as batches,
    pytest.raises(errors.UserError, match='outage of the storage') as caught,
  ):
    list(batches)
  assert 20 < batches.step < 60
  assert source.num_read < 10_000
  assert 'Cannot read the image' in str(caught.value)


def test_more_bad_images_than_allowed_are_not_skipped(caplog):
  def is_bad(self, row):
    return row % 7 == 0

  source = Failing(2000, is_bad)
  with pytest.raises(errors.UserError, match=r'of 2000 images .*max_skipped'):
    _batches(source, 0, 40, batch=64, on_error='skip')
  batches = _batches(source, 0, 40, batch=64, on_error='skip', max_skipped=0.15)
  assert len(batches) == 40
  # A hundred are always allowed.
  few = Failing(600, is_bad)
  caplog.clear()
  assert len(_batches(few, 0, 10, on_error='skip', max_skipped=0.0)) == 10
  said = [text for text in caplog.messages if 'max_skipped' in text]
  assert len(said) == 1 and 'up to 100 of the 600' in said[0]


def test_a_file_that_fails_once_is_read_again(source):
  failed = []

  class Moody:
    num_rows, labels, path = NUM_ROWS, source.labels, source.path

    def read(self, rows):
      if not failed and len(rows) > 1:
        failed.append(rows)
        raise errors.UserError('for a moment')
      return source.read(rows)

  _assert_equal(_batches(Moody(), 0, 4), _batches(source, 0, 4))
  assert failed


@pytest.mark.parametrize('bad', [[0], [0, 1, 4, 6], [3, 4, 5], [5, 6], [6, 0]])
def test_the_next_good_row_is_cyclic(bad):
  """Against a search row by row."""
  num_rows = 7
  plan = order.TrainOrder(num_rows=num_rows, batch=7, seed=3, bad_rows=bad)
  plain = order.TrainOrder(num_rows=num_rows, batch=7, seed=3)
  for shown, row in zip(plan(0)['row'], plain(0)['row'], strict=True):
    expected = int(row)
    while expected in bad:
      expected = (expected + 1) % num_rows
    assert int(shown) == expected


def test_several_steps_are_planned_at_once_as_one_by_one():
  plan = order.TrainOrder(num_rows=50, batch=8, seed=9, bad_rows=[2, 3])
  together = plan(np.arange(4, 11))
  for i, step in enumerate(range(4, 11)):
    for name, values in plan(step).items():
      np.testing.assert_array_equal(values, together[name][i])


def test_a_fault_of_the_source_itself_is_not_taken_for_a_bad_image(source):
  class Faulty:
    num_rows = NUM_ROWS
    labels = source.labels

    def read(self, rows):
      raise KeyError('a fault')

  with pytest.raises(KeyError, match='a fault'):
    _batches(Faulty(), 0, 1, on_error='skip')


def test_wrong_arguments_are_user_errors(source):
  for options, message in (
    ({'batch': 9, 'process_count': 2}, 'Choose a multiple of 2'),
    ({'on_error': 'ignore'}, "'error' or 'skip'"),
    ({'bad_rows': [NUM_ROWS]}, 'of another data set'),
    ({'threads': -1}, r'data\.threads=-1: expected 0 or more'),
  ):
    with pytest.raises(errors.UserError, match=message):
      _batches(source, 0, 1, **options)
  with pytest.raises(errors.UserError, match='3 labels were given for 22'):
    pipeline.train_batches(
      source,
      source.labels[:3],
      order.TrainOrder(num_rows=NUM_ROWS, batch=2, seed=0),
      range(1),
      images.Reading(image_size=SIZE),
    )


def test_evaluation_reads_in_order_and_pads(source):
  batches = list(
    pipeline.ordered_batches(source.images, batch=BATCH, image_size=SIZE)
  )
  rows = np.concatenate([x['row'] for x in batches])
  mask = np.concatenate([x['mask'] for x in batches])
  image = np.concatenate([x['image'] for x in batches])
  assert image.shape == (24, SIZE, SIZE, 3) and image.dtype == np.uint8
  np.testing.assert_array_equal(rows, [*range(NUM_ROWS), -1, -1])
  np.testing.assert_array_equal(mask, rows >= 0)
  np.testing.assert_array_equal(image[mask, 0, 0, 0], 10 * np.arange(NUM_ROWS))
  assert not image[~mask].any()


def test_evaluation_names_bad_images_or_leaves_them_out(bad_source):
  options = {'batch': BATCH, 'image_size': SIZE}
  with pytest.raises(errors.UserError, match=r'3\.png: truncated'):
    list(pipeline.ordered_batches(bad_source.images, **options))
  batches = list(
    pipeline.ordered_batches(bad_source.images, on_error='skip', **options)
  )
  rows = np.concatenate([x['row'] for x in batches])
  mask = np.concatenate([x['mask'] for x in batches])
  assert set(range(24)) - set(rows[mask]) == {*BAD, 22, 23}
  assert (rows[~mask] == -1).all()


def test_a_list_can_be_checked_by_decoding_it(bad_source):
  with pytest.raises(errors.UserError, match='3 of 22'):
    imagelist.build(
      root=bad_source.images.root, list='list.txt', check='decode'
    )


def test_a_program_ends_while_batches_are_being_made(source):
  code = f"""
    import time
    from bfjax.data import images, order, pipeline
    from bfjax.data.sources import imagelist
    source = imagelist.build(root={source.images.root!r}, list='list.txt')
    class Slow:
      num_rows = source.num_rows
      def read(self, rows):
        time.sleep(0.1)
        return source.read(rows)
    train = pipeline.train_batches(
      Slow(),
      source.labels,
      order.TrainOrder(num_rows=source.num_rows, batch=4, seed=0),
      range(10**9),
      images.Reading(image_size=16, threads=4))
    next(train)
    ordered = pipeline.ordered_batches(
      Slow(), batch=4, image_size=16, threads=4)
    next(ordered)
  """
  done = subprocess.run(
    [sys.executable, '-c', textwrap.dedent(code)],
    cwd=pathlib.Path(__file__).parents[1],
    capture_output=True,
    timeout=50,
    text=True,
  )
  assert done.returncode == 0, done.stderr


def test_images_are_read_only_once_and_in_bounded_number(source):
  class Counting:
    num_rows = NUM_ROWS
    labels = source.labels
    num_read = 0

    def read(self, rows):
      self.num_read += len(rows)
      return source.read(rows)

  counting = Counting()
  with _open(counting, 0, 1000, threads=2) as batches:
    for _ in range(3):
      next(batches)
  # Chunks of 256 images: 1 taken, 2 prefetched, 2 being made, 1 handed over.
  assert 3 * BATCH <= counting.num_read <= 6 * 256


def test_files_without_labels_are_enough_for_evaluation(source):
  images = files.ImageFiles(['2.png', '1.png'], source.images.root)
  [batch] = pipeline.ordered_batches(images, batch=2, image_size=SIZE)
  np.testing.assert_array_equal(batch['image'][:, 0, 0, 0], [20, 10])
