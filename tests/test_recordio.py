"""RecordIO: MXNet's bytes, random access, indices made anew, damage told."""

import concurrent.futures
import multiprocessing
import pickle
import struct
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from bfjax import errors, setup
from bfjax.data import images, labelled, order, pipeline
from bfjax.formats import recordfiles, recordio, recordscan
from tests import records, tiny


def oracle_frame(payload):
  """A record as dmlc-core's recordio.cc writes it, word by word."""
  out, start = b'', 0
  for i in range(0, len(payload) // 4 * 4, 4):
    if payload[i : i + 4] == records.MAGIC:
      kind = 1 if start == 0 else 2
      out += records.MAGIC + struct.pack('<I', kind << 29 | i - start)
      out += payload[start:i]
      start = i + 4
  kind = 3 if start else 0
  out += records.MAGIC + struct.pack('<I', kind << 29 | len(payload) - start)
  return out + payload[start:] + b'\0' * (-len(payload) % 4)


# What MXNet 1.9.1 (libmxnet.so) wrote for these records.
GOLDEN = bytes.fromhex(
  '0a23d7ce1d0000000000000000004040070000000000000000000000000000006a706567'
  '210000000a23d7ce20000020020000000000000001000000000000000000000000000000'
  '0000a0400000803f0a23d7ce04000040616263640a23d7ce01000060780000000a23d7ce'
  '20000000000000000000000002000000000000000000000000000000610a23d7ce626364'
  '0a23d7ce2000000002000000000000000000000000000000000000000000000000008040'
  '0000c040'
)


def test_bytes_are_those_of_mxnet(tmp_path):
  with recordio.Writer(tmp_path / 'a.rec') as writer:
    writer.write(7, 3.0, b'jpeg!')
    writer.write(1, [5.0, 1.0], records.MAGIC + b'abcd' + records.MAGIC + b'x')
    writer.write(2, 0.0, b'a' + records.MAGIC + b'bcd')
    writer.write(0, [4.0, 6.0], b'')
  assert (tmp_path / 'a.rec').read_bytes() == GOLDEN
  assert (tmp_path / 'a.idx').read_text() == '7\t0\n1\t40\n2\t104\n0\t144\n'


@hypothesis.settings(deadline=None, max_examples=150, derandomize=True)
@hypothesis.given(
  st.lists(
    st.sampled_from([records.MAGIC, b'\0', b'ab', b'abc', records.MAGIC[:2]])
  ),
  st.one_of(
    st.integers(0, 2**24 - 1), st.lists(st.floats(width=32, allow_nan=False))
  ),
)
def test_payloads_with_magic_numbers_come_back(tmp_path_factory, parts, labels):
  payload = recordio.pack(labels, 5, b''.join(parts))
  framed = recordio.frame(payload)
  assert framed == oracle_frame(payload)
  path = tmp_path_factory.getbasetemp() / 'framed.rec'
  path.write_bytes(b'1234' + framed)
  record = recordfiles.RecordFile(path).read(4)
  for found in (record, recordio.unpack(payload)):
    assert found.image == b''.join(parts) and found.id == 5
  if np.ndim(labels) == 0 or labels:
    np.testing.assert_array_equal(
      record.labels, np.atleast_1d(np.float32(labels))
    )


def test_a_writer_goes_on_where_it_was(tmp_path):
  records.write(tmp_path, records.FIVE)
  whole = [
    (tmp_path / name).read_bytes() for name in ('train.rec', 'train.idx')
  ]
  with recordio.Writer(tmp_path / 'train.rec') as writer:
    for record in records.FIVE[:2]:
      writer.write(*record)
    writer.flush()
    position = writer.position
    writer.write(99, 0.0, b'lost in the crash')
  with recordio.Writer(tmp_path / 'train.rec', position) as writer:
    for record in records.FIVE[2:]:
      writer.write(*record)
  for name, content in zip(('train.rec', 'train.idx'), whole, strict=True):
    assert (tmp_path / name).read_bytes() == content
  ahead = recordio.Position(10**6, 10)
  with pytest.raises(errors.UserError, match='has 200 bytes; 1000000 were'):
    recordio.Writer(tmp_path / 'train.rec', ahead)


def test_a_writer_refuses_a_label_that_float32_would_change(tmp_path):
  with (
    recordio.Writer(tmp_path / 'a.rec') as writer,
    pytest.raises(errors.UserError, match='key 4 has the label 16777216'),
  ):
    writer.write(4, 2**24, b'')


def test_a_set_of_insightface(tmp_path):
  records.insightface(tmp_path, [0, 0, 2, 2, 1], [(1, 3), (3, 5), (5, 6)])
  (tmp_path / 'property').write_text('3,112,112')
  source = records.build(tmp_path)
  assert source.num_rows == 5 and source.num_classes == 3
  np.testing.assert_array_equal(source.labels, [0, 0, 2, 2, 1])
  assert source.labels.dtype == np.int32 and source.true_labels is None
  assert source.name(4) == 'train.rec#5'
  assert source.path(0) == str(tmp_path / 'train.rec#1')
  assert source.read(np.array([4, 0, 0])) == [
    b'image 5',
    b'image 1',
    b'image 1',
  ]
  assert list(source.class_names) == ['0', '1', '2']


def test_every_record_is_an_image_where_record_0_is_one(tmp_path):
  records.write(tmp_path, records.FIVE)
  source = records.build(tmp_path)
  assert [source.name(row) for row in range(5)] == [
    f'train.rec#{key}' for key in range(5)
  ]
  np.testing.assert_array_equal(source.labels, [0, 0, 1, 1, 2])


def test_a_record_0_of_several_labels_is_an_image_if_it_has_one(tmp_path):
  records.write(tmp_path, [(k, [float(k), 7.0], b'image') for k in range(3)])
  np.testing.assert_array_equal(records.build(tmp_path).labels, [0, 1, 2])


def test_unused_labels_make_no_class_and_names_are_kept(tmp_path):
  records.write(tmp_path, [(3, 7.0, b'a'), (9, 2.0, b'b'), (10, 7.0, b'c')])
  source = records.build(tmp_path)
  np.testing.assert_array_equal(source.labels, [1, 0, 1])
  assert list(source.class_names) == ['2', '7']
  names = [f'person {i}' for i in range(8)]
  labelled.save_class_names(tmp_path / 'classes.tsv', names)
  assert list(records.build(tmp_path).class_names) == ['person 2', 'person 7']


def test_rows_do_not_depend_on_the_order_of_the_index(tmp_path):
  records.write(tmp_path, records.FIVE)
  first = records.build(tmp_path)
  lines = (tmp_path / 'train.idx').read_bytes().splitlines(keepends=True)
  (tmp_path / 'train.idx').write_bytes(b''.join(lines[3:] + lines[:3]))
  second = records.build(tmp_path)
  assert second.fingerprint == first.fingerprint
  assert second.read(range(5)) == first.read(range(5))
  np.testing.assert_array_equal(second.labels, first.labels)


def count_calls(monkeypatch, module, name):
  calls = []
  original = getattr(module, name)

  def counted(*arguments, **options):
    calls.append(name)
    return original(*arguments, **options)

  monkeypatch.setattr(module, name, counted)
  return calls


def test_a_missing_index_is_made_once(tmp_path, monkeypatch):
  records.insightface(
    tmp_path, [0, 1, 1], [(1, 2), (2, 4)], [records.MAGIC * 3, b'b', b'c']
  )
  listed = records.build(tmp_path, index_dir=str(tmp_path / 'other'))
  (tmp_path / 'train.idx').unlink()
  scans = count_calls(monkeypatch, recordscan, 'scan')
  for _ in range(2):
    source = records.build(tmp_path)
    assert source.fingerprint == listed.fingerprint
    assert source.read(range(3)) == [records.MAGIC * 3, b'b', b'c']
  assert len(scans) == 1 and len(list((tmp_path / 'kept').iterdir())) == 1
  # Other records: the index that was kept is no longer that of the file.
  (tmp_path / 'train.rec').unlink()
  records.write(tmp_path, records.FIVE, index=False)
  assert records.build(tmp_path).num_rows == 5
  assert len(scans) == 2


def test_labels_are_read_once(tmp_path, monkeypatch):
  records.write(tmp_path, records.FIVE)
  reads = count_calls(monkeypatch, recordscan, 'read')
  for _ in range(2):
    np.testing.assert_array_equal(
      records.build(tmp_path).labels, [0, 0, 1, 1, 2]
    )
  assert len(reads) == 1
  kept = next((tmp_path / 'kept').iterdir())
  kept.write_bytes(kept.read_bytes()[:-100])  # damaged: not believed
  np.testing.assert_array_equal(records.build(tmp_path).labels, [0, 0, 1, 1, 2])
  assert len(reads) == 2


def test_records_without_ids_of_their_own_are_numbered(tmp_path):
  framed = [recordio.frame(recordio.pack(i, 0, b'%d' % i)) for i in range(3)]
  (tmp_path / 'train.rec').write_bytes(b''.join(framed))
  source = records.build(tmp_path)
  assert [source.name(i) for i in range(3)] == [
    'train.rec#0',
    'train.rec#1',
    'train.rec#2',
  ]
  assert source.read(range(3)) == [b'0', b'1', b'2']


def test_an_index_of_another_file_is_replaced(tmp_path, caplog):
  records.write(tmp_path, [(k, 0.0, b'other') for k in range(5)])
  other = (tmp_path / 'train.idx').read_bytes()
  records.write(tmp_path, [(k, float(k), b'a longer image') for k in range(5)])
  (tmp_path / 'train.idx').write_bytes(other)
  source = records.build(tmp_path)
  assert source.read([4]) == [b'a longer image'] and source.num_classes == 5
  assert 'is not the index of' in caplog.text


def test_a_writer_that_does_not_cut_payloads_is_understood(tmp_path):
  payloads = [recordio.pack(i, i, records.MAGIC * i + b'x') for i in range(4)]
  framed = [
    records.MAGIC + struct.pack('<I', len(p)) + p + bytes(-len(p) % 4)
    for p in payloads
  ]
  (tmp_path / 'train.rec').write_bytes(b''.join(framed))
  source = records.build(tmp_path)
  assert source.read(range(4)) == [records.MAGIC * i + b'x' for i in range(4)]


def test_windows_make_no_difference(tmp_path, monkeypatch):
  images = [records.MAGIC * (k % 3) + b'x' * k for k in range(40)]
  records.write(tmp_path, [(k, float(k % 7), x) for k, x in enumerate(images)])
  expected = records.build(tmp_path)
  monkeypatch.setattr(recordscan, '_WINDOW_BYTES', 64)
  for name in ('listed', 'scanned'):
    source = records.build(tmp_path, index_dir=str(tmp_path / name))
    assert source.fingerprint == expected.fingerprint
    assert source.read(range(40)) == images
    (tmp_path / 'train.idx').unlink(missing_ok=True)


def test_true_labels(tmp_path):
  records.write(tmp_path, [(k, float(k // 2 * 5), b'x') for k in range(6)])
  (tmp_path / 'flips.txt').write_text('train.rec#4 0\nset/train.rec#1  5\n')
  source = records.build(tmp_path, truth='flips.txt')
  np.testing.assert_array_equal(source.true_labels, [0, 1, 1, 1, 0, 2])
  np.testing.assert_array_equal(source.labels, [0, 0, 1, 1, 2, 2])
  for line, message in (
    ('train.rec#6 0', '.* is not in the data set'),
    ('other.rec#1 0', '.* is not in the data set'),
    ('train.rec#1 4', 'no image .* has the label "4"'),
    ('train.rec#4 0', 'train.rec#4 is listed already in .*:1'),
  ):
    (tmp_path / 'flips.txt').write_text(f'train.rec#4 0\n{line}\n')
    with pytest.raises(errors.UserError, match=f'flips.txt:2: {message}'):
      records.build(tmp_path, truth='flips.txt')


def test_threads_and_other_processes_read(tmp_path):
  images = [bytes([k]) * (100 + k) for k in range(50)]
  records.write(tmp_path, [(k, 0.0, x) for k, x in enumerate(images)])
  source = pickle.loads(pickle.dumps(records.build(tmp_path)))
  rows = np.random.default_rng(0).integers(0, 50, [40, 20])
  expected = [[images[row] for row in few] for few in rows]
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(source.read, rows)) == expected
  with concurrent.futures.ProcessPoolExecutor(
    1, mp_context=multiprocessing.get_context('spawn')
  ) as pool:
    assert pool.submit(source.read, rows[0]).result() == expected[0]


def test_a_broken_image_among_records_is_skipped_and_counted(tmp_path):
  encoded = [records.jpeg(k) for k in range(8)]
  encoded[5] = encoded[5][:60]
  # A header that declares 30,000 x 30,000 pixels.
  at = encoded[2].index(b'\xff\xc0') + 5
  encoded[2] = (
    encoded[2][:at] + struct.pack('>HH', 30000, 30000) + encoded[2][at + 4 :]
  )
  records.insightface(tmp_path, [0] * 4 + [1] * 4, [(1, 5), (5, 9)], encoded)
  with pytest.raises(errors.UserError, match=r'train.rec#3: it declares 30000'):
    records.build(tmp_path, check='decode')
  source = records.build(tmp_path)
  with pipeline.train_batches(
    source,
    source.labels,
    order.TrainOrder(num_rows=source.num_rows, batch=8, seed=0),
    range(1),
    images.Reading(image_size=8, on_error='skip'),
  ) as batches:
    batch = next(batches)
  assert batch['skipped'] == 2 and batches.bad_rows == [2, 5]


def test_a_run_keeps_a_rebuilt_index_in_its_workdir(tmp_path):
  records.write(tmp_path, records.FIVE, index=False)
  config = tiny.config(tmp_path)
  config.data.source, config.data.root = 'recordio', str(tmp_path)
  source, _ = setup.open_source(config, tmp_path / 'workdir')
  assert source.num_rows == 5
  kept = list((tmp_path / 'workdir').iterdir())
  assert [path.name[:10] for path in kept] == ['train.rec.']
  config.data.index_dir = str(tmp_path / 'shared')
  setup.open_source(config, tmp_path / 'workdir2')
  assert (tmp_path / 'shared').is_dir()
  assert not (tmp_path / 'workdir2').exists()


def test_no_object_is_kept_for_each_image(tmp_path):
  number = 100_000
  record = np.zeros(
    number, [('head', '<u4', 3), ('label', '<f4'), ('id', '<u8', 2)]
  )
  record['head'] = (recordio.MAGIC, 24, 0)
  record['label'] = np.arange(number) // 10
  record['id'][:, 0] = np.arange(number)
  (tmp_path / 'train.rec').write_bytes(record.tobytes())
  lines = (b'%d\t%d\n' % (i, 32 * i) for i in range(number))
  (tmp_path / 'train.idx').write_bytes(b''.join(lines))
  for _ in range(2):  # first with the index, then with what is kept of it
    tracemalloc.start()
    source = records.build(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert source.num_classes == number // 10
    assert peak < 150 * number + 2e7
