"""Verification packs: every way they were written; nothing in them is run."""

import contextlib
import itertools
import os
import pickle
import pickletools
import struct
import subprocess
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from bfjax import errors
from bfjax.evaluation import benchmarks, fieldsets
from bfjax.evaluation.benchmarks import pairs
from bfjax.formats import packs, pickles

IMAGES = [b'\xff\xd8one', b'\xff\n\'\\\0\x1a"', b'', b'three']
FLAGS = [True, False]


TOO_MUCH = 'it makes more than its length can have meant'


def write(root, content, name='lfw.bin'):
  path = root / name
  path.write_bytes(content)
  return path


def as_arrays(images):
  return [np.frombuffer(image, np.uint8) for image in images]


@pytest.mark.parametrize(
  'images',
  [
    IMAGES,
    tuple(IMAGES),
    as_arrays(IMAGES),
    [x.copy() for x in as_arrays(IMAGES)],
    [x[None] for x in as_arrays(IMAGES)],
    [bytearray(x) for x in IMAGES],
  ],
  ids=['bytes', 'tuple', 'arrays', 'own arrays', 'rows', 'bytearrays'],
)
@pytest.mark.parametrize(
  'flags',
  [FLAGS, tuple(FLAGS), np.array(FLAGS), [np.bool_(x) for x in FLAGS]],
  ids=['bools', 'tuple', 'array', 'numpy bools'],
)
def test_whatever_python_3_and_numpy_write(tmp_path, images, flags):
  for protocol, fix_imports, dumps, old in itertools.product(
    range(6), [True, False], [pickle.dumps, pickle._dumps], [True, False]
  ):
    content = dumps((images, flags), protocol=protocol, fix_imports=fix_imports)
    if old and protocol < 4:  # numpy._core was numpy.core before numpy 2
      content = content.replace(b'numpy._core.', b'numpy.core.')
    pack = packs.read(write(tmp_path, content))
    assert pack.images == IMAGES
    np.testing.assert_array_equal(pack.same, FLAGS)
    assert pack.same.dtype == bool


# What Python 2.7 and numpy 1.16 wrote for ([b'\xff\xd8one',
# b'\xff\n\'\\\0\x1a"'], [True]); in the second four as numpy arrays.
PYTHON_2 = {
  'strings, protocol 0': (
    '28286c70310a53275c7866665c7864386f6e65270a70320a6153275c7866665c6e5c275c5c'
    '5c7830305c78316122270a70330a61286c70340a4930310a617470350a2e'
  ),
  'strings, protocol 2': (
    '80025d7101285505ffd86f6e6571025507ff0a275c001a227103655d710488618671052e'
  ),
  'arrays, protocol 2': (
    '80025d710128636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374'
    '727563740a7102636e756d70790a6e6461727261790a71034b008555016287527104284b01'
    '4b0585636e756d70790a64747970650a7105550275314b004b0187527106284b0355017c4e'
    '4e4e4affffffff4affffffff4b007462895505ffd86f6e657462680268034b008555016287'
    '527107284b014b07856806895507ff0a275c001a227462655d710888618671092e'
  ),
  'an array of flags, protocol 0': (
    '28286c70300a53275c7866665c7864386f6e65270a70310a6153275c7866665c6e5c275c5c'
    '5c7830305c78316122270a70320a61636e756d70792e636f72652e6d756c74696172726179'
    '0a5f7265636f6e7374727563740a70330a28636e756d70790a6e6461727261790a70340a28'
    '49300a7470350a532762270a70360a7470370a5270380a2849310a2849310a7470390a636e'
    '756d70790a64747970650a7031300a2853276231270a7031310a49300a49310a747031320a'
    '527031330a2849330a53277c270a7031340a4e4e4e492d310a492d310a49300a747031350a'
    '624930300a53275c783031270a7031360a747031370a62747031380a2e'
  ),
  'flags of numpy, protocol 0': (
    '28286c70310a636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374'
    '727563740a70320a28636e756d70790a6e6461727261790a70330a2849300a74532762270a'
    '745270340a2849310a2849350a74636e756d70790a64747970650a70350a2853277531270a'
    '49300a49310a745270360a2849330a53277c270a4e4e4e492d310a492d310a49300a746249'
    '30300a53275c7866665c7864386f6e65270a74626167320a2867330a2849300a7453276227'
    '0a745270370a2849310a2849370a7467360a4930300a53275c7866665c6e5c275c5c5c7830'
    '305c78316122270a746261286c70380a636e756d70792e636f72652e6d756c746961727261'
    '790a7363616c61720a70390a2867350a2853276231270a49300a49310a74527031300a2849'
    '330a53277c270a4e4e4e492d310a492d310a49300a746253275c783031270a74527031310a'
    '61747031320a2e'
  ),
}


@pytest.mark.parametrize('name', PYTHON_2)
def test_what_python_2_wrote(tmp_path, name):
  pack = packs.read(write(tmp_path, bytes.fromhex(PYTHON_2[name])))
  assert pack.images == IMAGES[:2]
  np.testing.assert_array_equal(pack.same, [True])


@hypothesis.settings(deadline=None, max_examples=100, derandomize=True)
@hypothesis.given(
  st.lists(st.tuples(st.binary(), st.binary(), st.booleans()), min_size=1),
)
def test_what_is_written_is_read_as_pickle_reads_it(tmp_path_factory, rows):
  path = tmp_path_factory.mktemp('packs') / 'own.bin'
  images = [image for left, right, _ in rows for image in (left, right)]
  same = [flag for _, _, flag in rows]
  packs.write(path, images, np.array(same))
  with path.open('rb') as file:
    assert pickle.load(file, encoding='bytes') == (images, same)
  pack = packs.read(path)
  assert pack.images == images and pack.same.tolist() == same


class Evil:
  """Unpickled by Python, it makes a file."""

  def __init__(self, call):
    self.call = call

  def __reduce__(self):
    return self.call


def test_another_global_is_refused_by_name_and_not_run(tmp_path):
  trace = tmp_path / 'trace'
  command = f'touch {trace}'
  calls = {
    'system': (os.system, (command,)),
    'eval': (eval, (f'open({str(trace)!r}, "w")',)),
    'Popen': (subprocess.Popen, (command,)),
    'load': (np.load, (str(trace),)),
  }
  for (name, call), protocol in itertools.product(calls.items(), range(6)):
    content = pickle.dumps((IMAGES, [Evil(call), True]), protocol=protocol)
    with pytest.raises(errors.UserError, match=rf"'\w+\.{name}'") as caught:
      packs.read(write(tmp_path, content))
    assert 'lfw.bin' in str(caught.value) and 'at byte' in str(caught.value)
  assert not trace.exists()


@pytest.mark.parametrize(
  'content, message',
  [
    # Other ways to name things.
    (b'(iposix\nsystem\n.', 'INST'),
    (b"(S'id'\nios\npopen\n.", 'INST'),
    (b'\x80\x04\x8c\x02os\x8c\x06system\x93.', 'os.system'),
    (
      b'cnumpy.core.multiarray\n_reconstruct.__globals__\n.',
      'reconstruct.__gl',
    ),
    (b'c__builtin__\ngetattr\n.', '__builtin__.getattr'),
    (b'\x82\x01.', 'EXT1'),
    (b'Pname\n.', 'PERSID'),
    (b'(o.', 'OBJ'),
    (b')\x81.', 'NEWOBJ'),
    (b'}.', 'EMPTY_DICT'),
    (b'G\0\0\0\0\0\0\0\0.', 'BINFLOAT'),
    # A name is data here: it can neither be called nor filled freely.
    (b'cnumpy\nndarray\n)R.', 'a call that no bytes or arrays need'),
    (b'cnumpy\ndtype\n(V|O8\ntR.', "a numpy type '|O8'"),
    (b'cnumpy\ndtype\n)b.', 'a state that no numpy array or type has'),
    (b"]S'a'\nR.", 'a call that no bytes or arrays need'),
    # Numbers that promise more than there is.
    (b'\x8e' + b'\xff' * 8 + b'x.', '18446744073709551615'),
    (b'B\xff\xff\xff\xffx.', 'expected 4294967295 bytes'),
    (b'T\xff\xff\xff\xffx.', 'expected 4294967295 bytes'),
    (b'\x8b\xff\xff\xff\x7f.', 'LONG4'),
    (b'I' + b'9' * 10**6 + b'\n.', 'value has 1000000 digits'),
    (
      b'Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.',
      'it takes what is not there',
    ),
    (b'(' * 10**6, TOO_MUCH),
    (b']' * 10**6, TOO_MUCH),
    (b'N' + b'\x94' * 10**6, TOO_MUCH),
    (b'N' * 10**6, TOO_MUCH),
    # What is cut off or no pickle.
    (b'', 'it is cut off'),
    (b'<!DOCTYPE html>', "b'<' is no instruction"),
    (b'version https://git-lfs.github.com', "b'v' is no instruction"),
    (b'.', 'it takes what is not there'),
    (b'K', 'not enough data'),
    (b'a.', 'it takes what is not there'),
    (b'NNa.', 'a list is expected on the stack'),
    (b't.', 'it takes what is not there'),
    (b'h\x01.', 'it takes what is not there'),
    (b"S'a\n.", 'a string without quotes'),
    (b'0.', 'the instruction POP'),
    (b"S'\\q'\n.", 'with an unknown escape'),
    (b"S'\\x1\\\\1'\n.", 'with an unknown escape'),
    (b'X\x01\0\0\0\xff.', 'utf-8'),
  ],
  ids=itertools.count(),
)
def test_a_pickle_that_does_harm_or_nothing(tmp_path, content, message):
  with pytest.raises(errors.UserError) as caught:
    packs.read(write(tmp_path, content))
  assert message in str(caught.value)
  assert 'at byte' in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
  'content, message',
  [
    (b']' + b'\x85' * 90_000 + b'.', 'a tuple of 1 instead of'),
    # The length of a frame, which nothing is read by.
    (b'\x95' + b'\xff' * 8 + b'N.', 'a NoneType instead of'),
  ],
)
def test_tuples_in_each_other_and_frames_without_end(
  tmp_path, content, message
):
  with pytest.raises(errors.UserError, match=message):
    packs.read(write(tmp_path, content))


def counted(kind, text):
  return kind + struct.pack('<I', len(text)) + text


def bombs():
  """Small pickles that Python makes gigabytes of."""
  megabyte = b'x' * 10**6
  # One text, made into bytes again and again.
  encode = b'c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR'
  yield counted(b'X', megabyte) + b'q\x00](' + encode * 10**4 + b'e.'
  # A list of ten times the list before it, and so on.
  tenfold = b''.join(
    b'](' + b'h%c' % (i % 250) * 10 + b'eq%c' % (i % 250 + 1)
    for i in range(240)
  )
  yield b']q\x00' + tenfold + b'.'
  # One array under many names.
  yield counted(b'B', megabyte) + b'q\x00](' + b'h\x00' * 10**5 + b'e.'


def test_memory_and_time_stay_within_the_length():
  for bomb in bombs():
    tracemalloc.start()
    with contextlib.suppress(ValueError):
      pickles.loads(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(bomb) + 10**6


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_a_pack_cut_off_at_any_byte(tmp_path, protocol):
  images = as_arrays(IMAGES[:2])
  whole = pickle.dumps((images, [True]), protocol=protocol)
  for size in range(len(whole)):
    path = write(tmp_path, whole[:size])
    with pytest.raises(errors.UserError, match=r'lfw\.bin is no verification'):
      packs.read(path)


@pytest.mark.parametrize(
  'content, message',
  [
    ((IMAGES[:3], FLAGS), 'it holds 3 images, an odd number'),
    ((IMAGES, [True]), 'it holds 4 images and 1 flags'),
    (([], []), 'it holds no images'),
    ((IMAGES, [True, 1]), 'flag 1 is a int instead of a bool'),
    ((IMAGES, [True, None]), 'flag 1 is a NoneType instead of a bool'),
    (
      (IMAGES, np.array([1, 0], np.uint8)),
      'array of uint8 of shape (2,)',
    ),
    ((IMAGES, b'01'), 'it holds a bytes instead of a list of bools'),
    ((['text', *IMAGES[1:]], FLAGS), 'image 0 is a str instead of encoded'),
    (
      ([np.zeros([2, 2, 3], np.uint8), *IMAGES[1:]], FLAGS),
      'image 0 is an array of uint8 of shape (2, 2, 3)',
    ),
    (([np.zeros(3), *IMAGES[1:]], FLAGS), "a numpy type 'f8'"),
    (([np.array([object()], 'O')], FLAGS), "a numpy type 'O8'"),
    (IMAGES, 'it holds a list of 4 instead of (images, flags)'),
    (IMAGES[0], 'it holds a bytes instead of (images, flags)'),
    (({0: b''}, FLAGS), 'EMPTY_DICT'),
  ],
)
def test_a_pickle_that_is_no_pack(tmp_path, content, message):
  with pytest.raises(errors.UserError) as caught:
    packs.read(write(tmp_path, pickle.dumps(content, protocol=4)))
  assert message in str(caught.value) and 'lfw.bin' in str(caught.value)


def test_files_that_are_no_files(tmp_path):
  with pytest.raises(errors.UserError, match=r'There is no pack .*none\.bin'):
    packs.read(tmp_path / 'none.bin')
  os.mkfifo(tmp_path / 'pipe.bin')
  with pytest.raises(errors.UserError, match='There is no pack'):
    packs.read(tmp_path / 'pipe.bin')
  with pytest.raises(errors.UserError, match='3 images, an odd number'):
    packs.write(tmp_path / 'odd.bin', IMAGES[:3], [True])
  assert not (tmp_path / 'odd.bin').exists()


def test_every_instruction_that_is_read_is_one():
  known = {opcode.name for opcode in pickletools.opcodes}
  assert {*pickles._STEPS, *pickles._READERS} <= known


# As a benchmark.


def make_pack(path, protocol=2):
  images = [b'image %d' % (i % 7) for i in range(40)]
  flags = [i % 2 == 0 for i in range(20)]
  path.write_bytes(pickle.dumps((images, flags), protocol=protocol))
  return images, flags


def test_a_pack_is_a_benchmark_of_pairs(tmp_path):
  images, flags = make_pack(tmp_path / 'own.bin')
  benchmark = benchmarks.build('pairs', root=str(tmp_path), pairs='own.bin')
  files = benchmark.files
  # The images that pairs have in common are embedded once.
  assert files.num_rows == 7
  assert files.read(benchmark.left) == images[::2]
  assert files.read(benchmark.right) == images[1::2]
  np.testing.assert_array_equal(benchmark.same, flags)
  assert files.name(3) == 'own.bin#3'
  assert files.path(3) == str(tmp_path / 'own.bin#3')
  features = np.random.default_rng(0).normal(size=[7, 2, 4])
  scores = benchmark.evaluate(features.astype(np.float32))
  assert 0 <= scores['insightface/accuracy'] <= 1
  features[5, 0, 0] = np.nan
  with pytest.raises(errors.UserError, match=r'own\.bin#5 are not finite'):
    benchmark.evaluate(features)


def test_a_pack_is_known_by_its_start_too(tmp_path):
  make_pack(tmp_path / 'pack')
  assert pairs.build(root=str(tmp_path), pairs='pack').files.num_rows == 7
  (tmp_path / 'pairs.txt').write_text('a.jpg b.jpg 1\n')
  assert not packs.is_pack(tmp_path / 'pairs.txt')


def test_where_packs_of_the_field_are_looked_for(tmp_path):
  (tmp_path / 'calfw').mkdir()
  make_pack(tmp_path / 'lfw.bin')
  make_pack(tmp_path / 'calfw' / 'calfw.bin')
  for name, place in (('lfw', '.'), ('calfw', 'calfw')):
    options = fieldsets.find(str(tmp_path), name)
    assert os.path.samefile(options['root'], tmp_path / place)
    assert options['pairs'] == f'{name}.bin'
    assert pairs.build(**options).files.num_rows == 7
  # A list with images beside it comes first.
  (tmp_path / 'lfw').mkdir()
  (tmp_path / 'lfw' / 'pairs.txt').write_text('')
  assert fieldsets.find(str(tmp_path), 'lfw')['pairs'] == 'pairs.txt'


def test_a_pack_without_whole_folds_is_named(tmp_path):
  make_pack(tmp_path / 'lfw.bin')
  with pytest.raises(errors.UserError, match=r'lfw\.bin: '):
    pairs.build(root=str(tmp_path), pairs='lfw.bin', folds=15)
