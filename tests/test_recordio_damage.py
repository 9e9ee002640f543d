"""RecordIO files that are cut off, damaged or made to do harm."""

import errno
import os

import numpy as np
import pytest

from bfjax import errors
from bfjax.formats import (
  recordfiles,
  recordindex,
  recordio,
  recordscan,
)
from tests import records


def test_a_file_cut_off_at_any_byte(tmp_path):
  images = [
    b'',
    records.MAGIC,
    b'image',
    b'x' + records.MAGIC,
    records.MAGIC * 2,
  ]
  whole = tmp_path / 'whole'
  whole.mkdir()
  offsets = records.write(
    whole, [(k, float(k), x) for k, x in enumerate(images)]
  )
  content = (whole / 'train.rec').read_bytes()
  index = (whole / 'train.idx').read_bytes()
  ends = [*list(offsets.values())[1:], len(content)]
  for size in range(len(content)):
    (tmp_path / 'train.rec').write_bytes(content[:size])
    complete = sum(end <= size for end in ends)
    for text in (index, None):
      (tmp_path / 'train.idx').unlink(missing_ok=True)
      if text:
        (tmp_path / 'train.idx').write_bytes(text)
      at_an_end = size in ends and text is None
      if at_an_end:
        assert records.build(tmp_path).num_rows == complete
      else:
        with pytest.raises(errors.UserError) as caught:
          records.build(tmp_path)
        assert str(tmp_path / 'train.rec') in str(caught.value)
      if complete:
        source = records.build(tmp_path, on_error='skip')
        assert source.read(range(complete)) == images[:complete]
        assert source.num_rows == complete
        if text:
          assert source.num_left_out == 5 - complete
        else:
          assert (source.num_left_out > 0) == (not at_an_end)


@pytest.mark.parametrize('key', range(1, 5))
@pytest.mark.parametrize(
  'place, damage, message',
  [
    (0, b'\0\0\0\0', 'is no record: the magic number of RecordIO is not there'),
    (4, b'\xff\xff\xff\x1f', 'is cut off by the end of the file'),
    (4, b'\x08\0\0\0', 'is too short for its header and labels'),
    (7, b'\x40', 'is in parts that do not belong together'),
    (8, b'\xff\0\0\0', 'is too short for its header and labels'),
  ],
)
def test_a_damaged_record_is_told_by_key_and_byte(
  tmp_path, key, place, damage, message
):
  offsets = records.write(tmp_path, records.FIVE)
  records.put(tmp_path / 'train.rec', offsets[key] + place, damage)
  with pytest.raises(errors.UserError, match=message) as caught:
    records.build(tmp_path)
  assert f'key {key} at byte {offsets[key]}' in str(caught.value)
  assert str(tmp_path / 'train.rec') in str(caught.value)
  source = records.build(tmp_path, on_error='skip')
  assert source.num_rows == 4 and source.num_left_out == 1
  assert f'train.rec#{key}' not in map(source.name, range(4))


def test_a_damaged_record_0_may_hide_which_records_are_images(tmp_path):
  records.write(tmp_path, records.FIVE)
  records.put(tmp_path / 'train.rec', 0, b'\0')
  for on_error in ('error', 'skip'):
    with pytest.raises(errors.UserError, match=r'key 0 at byte 0: .*magic num'):
      records.build(tmp_path, on_error=on_error)


def test_a_record_that_reaches_into_the_next_is_left_out(tmp_path):
  offsets = records.write(tmp_path, records.FIVE)
  records.put(tmp_path / 'train.rec', offsets[1] + 4, b'\x40')
  with pytest.raises(
    errors.UserError, match=r'key 1 .* overlaps the one after'
  ):
    records.build(tmp_path)
  source = records.build(tmp_path, on_error='skip')
  assert source.read([0, 1]) == [b'image 0', b'image 2']


def test_without_an_index_damage_is_told_by_byte_and_the_rest_found(tmp_path):
  offsets = records.write(tmp_path, records.FIVE, index=False)
  records.put(tmp_path / 'train.rec', offsets[2], b'\0')
  with pytest.raises(errors.UserError, match=f'at byte {offsets[2]}: it is no'):
    records.build(tmp_path)
  source = records.build(tmp_path, on_error='skip')
  assert source.read(range(4)) == [
    b'image 0',
    b'image 1',
    b'image 3',
    b'image 4',
  ]
  assert source.num_left_out == 1


@pytest.mark.parametrize(
  'label, shown',
  [
    (float('nan'), 'nan'),
    (float('inf'), 'inf'),
    (-1.0, '-1'),
    (0.5, '0.5'),
    (16777216.0, '16777216'),
    (3e38, '3.00000001e.38'),
  ],
)
def test_a_label_that_is_no_class(tmp_path, label, shown):
  offsets = records.write(tmp_path, [(1, 0.0, b'a'), (2, [label, 0.0], b'b')])
  message = f'key 2 at byte {offsets[2]}: it has the label {shown}; expected'
  with pytest.raises(errors.UserError, match=message):
    records.build(tmp_path)
  source = records.build(tmp_path, on_error='skip')
  assert source.read(range(source.num_rows)) == [b'a']
  assert source.num_left_out == 1


def test_a_label_beyond_num_classes(tmp_path):
  records.write(tmp_path, records.FIVE)
  assert records.build(tmp_path, num_classes=3).num_classes == 3
  with pytest.raises(errors.UserError, match=r'to 1 \(data.num_classes\)'):
    records.build(tmp_path, num_classes=2)


@pytest.mark.parametrize(
  'line, message',
  [
    ('3\t99999', 'key 3 at byte 99999: it lies past the end of the file'),
    ('3', r"train.idx:4: expected `key, tab, offset`, .* not '3'"),
    ('3\t1\t2', r"train.idx:4: .*, not '3\\t1\\t2'"),
    ('-3\t40', 'train.idx:4: '),
    ('3\t4.0', 'train.idx:4: '),
    ('3\t' + '9' * 30, 'train.idx:4: '),
    ('\xff\t0', 'train.idx:4: '),
    ('2\t120', 'lists the key 2 twice, at the bytes 80 and 120'),
    ('x' * 10**7, 'train.idx:4: the line .xxx'),
  ],
)
def test_a_wrong_line_of_the_index(tmp_path, line, message):
  records.write(tmp_path, records.FIVE)
  lines = (tmp_path / 'train.idx').read_text().splitlines()
  lines[3] = line
  (tmp_path / 'train.idx').write_text('\n'.join(lines), encoding='latin-1')
  with pytest.raises(errors.UserError, match=message) as caught:
    records.build(tmp_path)
  assert len(str(caught.value)) < 1000


def test_two_keys_of_one_record_are_refused(tmp_path):
  records.write(tmp_path, records.FIVE)
  with (tmp_path / 'train.idx').open('a') as file:
    file.write('5\t80\n')
  with pytest.raises(
    errors.UserError, match='key 2 at byte 80: it overlaps the one after'
  ):
    records.build(tmp_path)


def test_an_index_with_blanks_and_empty_lines(tmp_path):
  path = tmp_path / 'a.idx'
  path.write_bytes(b'\r\n 3 \t 40\r\n\n0\t0')
  keys, offsets = recordscan.parse(str(path))
  assert keys.tolist() == [3, 0] and offsets.tolist() == [40, 0]


def test_record_0_that_cannot_be_true(tmp_path):
  records.insightface(tmp_path, [0, 1], [(1, 2), (2, 3)])
  for value, message in (
    (np.nan, 'images end before the key nan'),
    (1e30, 'images end before the key 1'),
    (0.5, 'before the key 0.5'),
    (-3.0, 'before the key -3.0'),
    (9.0, 'key 5: it is not in the index, and there are 8 images'),
  ):
    with recordio.Writer(tmp_path / 'train.rec') as writer:
      for key in range(1, 5):
        writer.write(key, 0.0, b'image')
      writer.write(0, [value, 9.0], b'')
    with pytest.raises(errors.UserError, match=message):
      records.build(tmp_path)


def test_the_end_of_images_where_float32_tells_it_nearly(tmp_path):
  first = 2**24 - 2
  keys = list(range(first, first + 9))
  end = 2**24 + 3  # float32 has 2^24 + 4
  offsets = records.write(
    tmp_path, [(key, 0.0, b'image' if key < end else b'') for key in keys]
  )
  heads = recordscan.Heads(
    np.array(keys), np.array(list(offsets.values())), None, None, None
  )
  records.put(tmp_path / 'train.rec', offsets[end - 1], b'damaged')
  file = recordfiles.RecordFile(tmp_path / 'train.rec')
  told = int(np.float32(end))
  assert told != end
  assert recordindex._exact_end(file, heads, told) == end


def test_files_that_are_not_there_or_hold_nothing(tmp_path):
  with pytest.raises(errors.UserError, match=r'There is no .*gone'):
    records.build(tmp_path / 'gone')
  with pytest.raises(errors.UserError, match=r'has no train\.rec'):
    records.build(tmp_path)
  (tmp_path / 'train.rec').write_bytes(b'')
  with pytest.raises(
    errors.UserError, match=r'train\.rec is no file, or an em'
  ):
    records.build(tmp_path)
  records.insightface(tmp_path, [], [])
  with pytest.raises(errors.UserError, match='holds no images'):
    records.build(tmp_path)
  for name in ('a.rec', 'b.rec'):
    (tmp_path / name).write_bytes(b'')
  (tmp_path / 'train.rec').unlink()
  with pytest.raises(errors.UserError, match=r'\(\*.rec: a.rec, b.rec\)'):
    records.build(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_ends_nothing(tmp_path):
  records.write(tmp_path, [(k, 0.0, b'x' * 10_000) for k in range(3)])
  source = records.build(tmp_path)
  with (tmp_path / 'train.rec').open('r+b') as file:
    file.truncate(100)
  with pytest.raises(errors.UserError, match='the file is cut off'):
    source.read([2])


def test_a_disk_that_fails_is_told(tmp_path, monkeypatch):
  records.write(tmp_path, records.FIVE)
  source = records.build(tmp_path)

  def fail(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

  monkeypatch.setattr(os, 'pread', fail)
  with pytest.raises(
    errors.UserError, match=r'train\.rec at byte 80: Input/ou'
  ):
    source.read([2])
