"""Data sets in other formats: the same images, labels and names; or not there.

Each set is read back by the source of its format; `train.rec` also by a reader
written here from the description of the format.
"""

import collections
import filecmp
import importlib
import importlib.util
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from bfjax import declared, errors
from bfjax.data.sources import imagelist
from bfjax.datasets import image_paths, layouts, ondisk, packing
from bfjax.formats import recordio
from bfjax.storage import partial
from tests import records

TOOL = pathlib.Path(__file__).parents[1] / 'tools' / 'pack.py'
FORMATS = ('list', 'folder', 'recordio', 'tfds')
# Rows of the set that everything starts from: class, true class, in an order
# that is neither that of classes nor of names.
GIVEN = [20, 3, 7, 3, 20, 7, 7, 3, 20, 3, 7, 20]
TRUE = [20, 3, 3, 3, 20, 7, 7, 20, 20, 3, 7, 7]
ENDINGS = ('.jpg', '.png', '.bmp')


@pytest.fixture(scope='session')
def tool():
  spec = importlib.util.spec_from_file_location('pack_tool', TOOL)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('BFJAX_CACHE', str(tmp_path_factory.mktemp('cache')))
    yield


def encoded(i):
  pixels = np.random.default_rng(i).integers(0, 256, (12, 9, 3), np.uint8)
  return cv2.imencode(ENDINGS[i % 3], pixels)[1].tobytes()


def image_name(i):
  return f'{GIVEN[i]}/{(7 * i) % 12:02d}{ENDINGS[i % 3]}'


def make_list(root):
  for i, label in enumerate(GIVEN):
    path = root / image_name(i)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(i))
    with open(root / 'all.txt', 'a') as file:
      file.write(f'{image_name(i)} {label}\n')
    if TRUE[i] != label:
      with open(root / 'wrong.txt', 'a') as file:
        file.write(f'{image_name(i)} {TRUE[i]}\n')
  return root


@pytest.fixture(scope='session')
def images(tmp_path_factory):
  return make_list(tmp_path_factory.mktemp('images'))


@pytest.fixture(scope='session')
def pack(tool):
  def run(**options):
    arguments = []
    for name, value in options.items():
      flag = '--' + name.replace('_', '-')
      arguments += [flag] if value is True else [flag, str(value)]
    tool.main(tool.parse_arguments(arguments))

  return run


@pytest.fixture(scope='session')
def sets(images, pack, tmp_path_factory):
  """The set in each format, as options of the tool to read it."""
  root = tmp_path_factory.mktemp('sets')
  for name in FORMATS:
    pack(
      root=images,
      list='all.txt',
      truth=images / 'wrong.txt',
      to=name,
      out=root / name,
    )
  return {
    'list': {'root': root / 'list', 'truth': root / 'list/flips.txt'},
    'folder': {'root': root / 'folder'},
    'recordio': {
      'root': root / 'recordio/train.rec',
      'truth': root / 'recordio/flips.txt',
    },
    'tfds': {'root': root / 'tfds'},
  }


def open_set(root, truth='', **options):
  found = ondisk.detect(str(root), **options)
  return ondisk.open_source(found, truth=str(truth), check='decode')


def rows(source):
  """(class name, true class name, bytes) of each row."""
  true = source.true_labels
  return [
    (
      source.class_names[source.labels[row]],
      None if true is None else source.class_names[true[row]],
      source.read(np.array([row]))[0],
    )
    for row in range(source.num_rows)
  ]


ORIGINAL = [
  (str(GIVEN[i]), str(TRUE[i]), encoded(i)) for i in range(len(GIVEN))
]


@pytest.mark.parametrize('new', FORMATS)
@pytest.mark.parametrize('old', FORMATS)
def test_each_format_becomes_each_other(sets, pack, tmp_path, old, new):
  pack(**sets[old], to=new, out=tmp_path / 'set', verify=True)
  before = open_set(**sets[old])
  truth = ''
  if old != 'folder':
    truth = {'list': 'set/flips.txt', 'recordio': 'set/flips.txt'}.get(new, '')
  after = open_set(tmp_path / 'set', tmp_path / truth if truth else '')
  expected = rows(before)
  if 'folder' in (old, new):
    expected = [(given, None, image) for given, _, image in expected]
  if new == 'recordio':
    order = list(before.class_names)
    expected.sort(key=lambda row: order.index(row[0]))
  if new == 'folder':
    assert collections.Counter(rows(after)) == collections.Counter(expected)
    assert [row[0] for row in rows(after)] == sorted(row[0] for row in expected)
  else:
    assert rows(after) == expected
  assert sorted(after.class_names) == ['20', '3', '7']
  # Nothing is lost on the way from the first set.
  kept = [
    (row[0], row[1] if expected[0][1] else None, row[2]) for row in ORIGINAL
  ]
  assert collections.Counter(rows(after)) == collections.Counter(kept)
  if 'recordio' not in (old, new):
    assert sorted(map(after.name, range(12))) == sorted(
      map(image_name, range(12))
    )
  assert not list(tmp_path.rglob('*partial*'))
  assert not list(tmp_path.rglob('bfjax-pack.json'))


def read_record(data, offset):
  """(flag, label, id, labels, image), literally as the format is described."""
  parts, at = [], offset
  while True:
    magic, word = struct.unpack_from('<II', data, at)
    assert magic == 0xCED7230A and at % 4 == 0
    length = word & (1 << 29) - 1
    parts.append(data[at + 8 : at + 8 + length])
    at += 8 + length + -length % 4
    if word >> 29 in (0, 3):
      break
  payload = struct.pack('<I', 0xCED7230A).join(parts)
  flag, label, id, id2 = struct.unpack_from('<IfQQ', payload)
  assert id2 == 0
  labels = struct.unpack_from(f'<{flag}f', payload, 24)
  return flag, label, id, labels, payload[24 + 4 * flag :]


def read_recordio(folder):
  data = (folder / 'train.rec').read_bytes()
  lines = (folder / 'train.idx').read_text().splitlines()
  index = dict(map(int, line.split('\t')) for line in lines)
  return {key: read_record(data, offset) for key, offset in index.items()}


def test_recordio_is_as_other_trainers_expect_it(sets):
  folder = sets['recordio']['root'].parent
  records = read_recordio(folder)
  flag, _, _, (end, last), image = records[0]
  assert flag == 2 and image == b'' and (end, last) == (13.0, 16.0)
  assert sorted(records) == list(range(16))
  order = np.argsort(GIVEN, kind='stable')
  classes = [3, 7, 20]
  for key, row in enumerate(order, 1):
    flag, label, id, labels, image = records[key]
    assert (flag, id, labels) == (0, key, ())
    assert classes[int(label)] == GIVEN[row] and image == encoded(row)
  for key, number in zip(range(13, 16), classes, strict=True):
    first, stop = records[key][3]
    of_class = [GIVEN[row] == number for row in order]
    assert np.flatnonzero(of_class).tolist() == list(
      range(int(first) - 1, int(stop) - 1)
    )
  assert (folder / 'property').read_text() == '3,12,9'
  assert (folder / 'classes.tsv').read_text() == '0\t3\n1\t7\n2\t20\n'
  lines = (folder / 'train.lst').read_text().splitlines()
  assert lines[0].split('\t') == ['1', '0', image_name(order[0])]


def test_plain_recordio_has_an_image_for_each_key(images, pack, tmp_path):
  pack(
    root=images, list='all.txt', to='recordio', plain=True, out=tmp_path / 'x'
  )
  records = read_recordio(tmp_path / 'x')
  assert [records[key][4] for key in range(12)] == [*map(encoded, range(12))]
  assert rows(open_set(tmp_path / 'x')) == [
    (a, None, c) for a, _, c in ORIGINAL
  ]


def test_class_names_that_are_no_numbers_survive(pack, tmp_path):
  for i, name in enumerate(['Zoë', 'ann b', '007', 'ann b', 'n\udcff']):
    path = tmp_path / 'from' / name / f'{i}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(1))
  before = open_set(tmp_path / 'from')
  for name in ('list', 'recordio', 'folder'):
    pack(root=tmp_path / 'from', to=name, out=tmp_path / name)
    after = open_set(tmp_path / name)
    assert rows(after) == rows(before)
    assert list(after.class_names) == list(before.class_names)
  # From a set that has only numbers in itself.
  pack(root=tmp_path / 'recordio', to='folder', out=tmp_path / 'again')
  assert rows(open_set(tmp_path / 'again')) == rows(before)
  with pytest.raises(errors.UserError, match=r'"n\\xff": .* line of UTF-8'):
    pack(root=tmp_path / 'from', to='tfds', out=tmp_path / 'tfds')
  assert not (tmp_path / 'tfds').exists()


class Killed(BaseException):
  """In place of SIGKILL, which would cost a start of Python each time."""


@pytest.fixture
def kill(tool, tmp_path):
  """(command line, n) -> stops it when n images are written; 0: when all are.

  The set is left as SIGKILL leaves it: without what was in buffers.
  """

  def run(arguments, number):
    parsed = tool.parse_arguments([*map(str, arguments)])
    kind = type(layouts.build(parsed.to, out=pathlib.Path('/sets/set')))
    write, seen, found = kind.write, tmp_path / 'seen', []

    def die(folder):
      found.append(folder)
      shutil.copytree(folder, seen)
      raise Killed

    def written(self, folder, *others):
      for count, save in enumerate(write(self, folder, *others), 1):
        if count == number:
          die(folder)
        yield save
      die(folder)

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(kind, 'write', written)
      patch.setattr(packing, '_SAVE_SECS', 0.0)
      with pytest.raises(Killed):
        tool.main(parsed)
    [folder] = found
    shutil.rmtree(folder, ignore_errors=True)
    seen.rename(folder)

  return run


def same_files(one, other):
  if one.is_file():
    return one.read_bytes() == other.read_bytes()
  found = filecmp.dircmp(one, other, ignore=['bfjax-train.columns.npz'])
  assert not found.left_only and not found.right_only and not found.funny_files
  _, different, failed = filecmp.cmpfiles(
    one, other, found.common_files, shallow=False
  )
  same = all(same_files(one / x, other / x) for x in found.common_dirs)
  return same and not different and not failed


# Images still to be written after a kill during the 8th, and after the last.
# Of shards, of 3 images here, the last whole one counts; packs are written at
# once.
@pytest.mark.parametrize(
  'name, moment, left',
  [
    *((name, 'add', 5) for name in ('list', 'folder', 'recordio')),
    *(('tfds', 'add', 6), ('bin', 'add', 22)),
    *((name, 'finish', 0) for name in FORMATS),
    ('bin', 'finish', 22),
  ],
)
def test_a_killed_run_is_gone_on_with(
  images, tool, kill, tmp_path, monkeypatch, name, moment, left
):
  arguments = arguments_of(name, images, tmp_path, has_truth=moment == 'add')
  # The names of TFDS sets are in their files, so both are called alike.
  whole, out = tmp_path / 'whole' / 'set', tmp_path / 'out' / 'set'
  tool.main(tool.parse_arguments([*arguments, '--out', str(whole)]))
  kill([*arguments, '--out', out], 8 if moment == 'add' else 0)
  [made] = out.parent.rglob('*.partial')
  if name == 'tfds':
    with pytest.raises(errors.UserError, match='no sets'):
      ondisk.detect(str(out), format='tfds')
  else:
    assert not out.exists()
    with pytest.raises(errors.UserError, match='is not complete'):
      ondisk.detect(str(made))
  other = tool.parse_arguments(
    [*arguments, '--check', 'none', '--out', str(out)]
  )
  with pytest.raises(
    errors.UserError, match='of another set or another command'
  ):
    tool.main(other)
  added = []
  read_ahead = packing.read_ahead

  def counted(source, rows):
    rows = [*rows]
    added.append(len(rows))
    return read_ahead(source, rows)

  monkeypatch.setattr(packing, 'read_ahead', counted)
  tool.main(tool.parse_arguments([*arguments, '--out', str(out)]))
  assert added[0] == left
  assert same_files(whole, out)
  assert not made.exists()


KILLED = """
import os, runpy, signal, sys
method = getattr(os, sys.argv[1])

def killed(*arguments):
  method(*arguments)
  os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[1], killed)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


# When it has written images, and when it has given the set its name.
@pytest.mark.parametrize('moment', ['sync', 'rename'])
def test_a_run_killed_by_the_system_has_made_the_set_or_goes_on(
  images, tool, tmp_path, moment
):
  arguments = arguments_of('list', images, tmp_path)
  whole, out = tmp_path / 'whole', tmp_path / 'out'
  tool.main(tool.parse_arguments([*arguments, '--out', str(whole)]))
  result = subprocess.run(
    [*(sys.executable, '-c', KILLED, moment, TOOL), *arguments, '--out', out],
    capture_output=True,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(TOOL.parents[1])},
  )
  assert result.returncode == -9, result.stderr
  again = tool.parse_arguments([*arguments, '--out', str(out)])
  if moment == 'sync':
    assert not out.exists()
    tool.main(again)
  else:
    assert ondisk.detect(str(out)).format == 'list'
    with pytest.raises(errors.UserError, match='already'):
      tool.main(again)
  assert same_files(whole, out)


def arguments_of(name, images, tmp_path, has_truth=True):
  """The command line, but for --out."""
  arguments = ['--root', str(images), '--to', name]
  if name == 'bin':
    lines = [f'{image_name(i)} {image_name(i + 1)} 1' for i in range(11)]
    (tmp_path / 'pairs.txt').write_text('\n'.join(lines))
    return [*arguments, '--pairs', str(tmp_path / 'pairs.txt')]
  if name == 'tfds':
    arguments += ['--rows-per-shard', '3']
  if has_truth:
    arguments += ['--truth', str(images / 'wrong.txt')]
  return [*arguments, '--list', 'all.txt']


def test_pairs_become_a_pack(images, pack, tmp_path):
  (tmp_path / 'pairs.txt').write_text(
    f'{image_name(0)}\t{image_name(4)}\t1\n{image_name(0)}\t{image_name(1)}\t0\n'
  )
  out = tmp_path / 'own.bin'
  pack(root=images, pairs=tmp_path / 'pairs.txt', to='bin', out=out)
  # Our own file; others are not opened so.
  stored, same = pickle.loads(out.read_bytes())
  assert stored == [encoded(0), encoded(4), encoded(0), encoded(1)]
  assert same == [True, False]
  names = sorted(x.name for x in tmp_path.iterdir())
  assert names == ['own.bin', 'pairs.txt']
  with pytest.raises(errors.UserError, match='--to bin needs --pairs'):
    pack(root=images, to='bin', out=tmp_path / 'x.bin')
  with pytest.raises(errors.UserError, match='--list has no meaning'):
    pack(
      root=images, pairs='p', list='all.txt', to='bin', out=tmp_path / 'x.bin'
    )
  (tmp_path / 'pairs.txt').write_text('gone.jpg 3/07.png 1\n')
  with pytest.raises(errors.UserError, match=r'gone\.jpg: No such file'):
    pack(
      root=images,
      pairs=tmp_path / 'pairs.txt',
      to='bin',
      out=tmp_path / 'x.bin',
    )


def test_corrections_and_drops_are_applied(images, pack, tmp_path):
  log = tmp_path / 'epoch_001.tsv'
  log.write_text(
    'row\tpath\tgiven_label\tnew_label\n'
    f'2\t{image_name(2)}\t7\t3\n7\t{image_name(7)}\t3\t20\n'
  )
  drop = tmp_path / 'skipped.tsv'
  drop.write_text(f'0\t{image_name(0)}\n{image_name(11)}\n')
  pack(
    root=images,
    list='all.txt',
    labels=log,
    drop=drop,
    to='recordio',
    plain=True,
    out=tmp_path / 'set',
  )
  corrected = [str(x) for x in GIVEN]
  corrected[2], corrected[7] = '3', '20'
  assert rows(open_set(tmp_path / 'set')) == [
    (corrected[i], None, encoded(i)) for i in range(1, 11)
  ]
  # A cleaned list does the same; a class that nobody is left of goes.
  log.write_text(''.join(f'{image_name(i)} 3\n' for i in range(12)))
  pack(root=images, list='all.txt', labels=log, to='list', out=tmp_path / 'one')
  assert list(open_set(tmp_path / 'one').class_names) == ['3']


@pytest.mark.parametrize(
  'text, message',
  [
    ('3/99.jpg 7\n', r'3/99\.jpg is not in the data set'),
    ('20/00.jpg 8\n', r'no image of the data set has the label "8"'),
  ],
)
def test_corrections_of_another_set_are_refused(
  images, pack, tmp_path, text, message
):
  (tmp_path / 'log.txt').write_text(text)
  with pytest.raises(errors.UserError, match=message):
    pack(
      root=images,
      list='all.txt',
      labels=tmp_path / 'log.txt',
      to='list',
      out=tmp_path / 'x',
    )


def test_images_that_cannot_be_decoded_stop_it_or_are_left_out(pack, tmp_path):
  root = make_list(tmp_path / 'images')
  (root / image_name(3)).write_bytes(encoded(3)[:-30])
  (root / image_name(5)).write_bytes(b'')
  options = {'root': root, 'list': 'all.txt', 'to': 'recordio'}
  with pytest.raises(errors.UserError, match='empty'):
    pack(**options, out=tmp_path / 'x')
  (root / image_name(5)).write_bytes(b'hello')
  with pytest.raises(errors.UserError, match='2 of 12 images') as caught:
    pack(**options, out=tmp_path / 'x')
  assert '--on-error=skip' in str(caught.value)
  assert image_name(5) in str(caught.value)
  assert sorted(x.name for x in tmp_path.iterdir()) == ['images']
  pack(**options, on_error='skip', out=tmp_path / 'x')
  assert (tmp_path / 'x/skipped_images.tsv').read_text() == (
    f'3\t{image_name(3)}\n5\t{image_name(5)}\n'
  )
  source = open_set(tmp_path / 'x')
  order = [i for i in np.argsort(GIVEN, kind='stable') if i not in (3, 5)]
  assert source.read(range(10)) == [encoded(i) for i in order]


def test_damaged_records_stop_it_or_are_left_out(pack, tmp_path):
  labels = [0.0, 1.0, 1.5, 1.0]
  images = [records.jpeg(i) for i in range(4)]
  records.write(tmp_path, zip(range(4), labels, images, strict=True))
  options = {'root': tmp_path / 'train.rec', 'to': 'recordio', 'plain': True}
  with pytest.raises(errors.UserError, match=r'key 2 .*1\.5'):
    pack(**options, out=tmp_path / 'x')
  pack(**options, on_error='skip', out=tmp_path / 'x')
  source = open_set(tmp_path / 'x')
  assert source.read(range(3)) == [images[i] for i in (0, 1, 3)]


def write(root, lines):
  """A list of small images under these paths."""
  for line in lines:
    path = root / line.rsplit(' ', 1)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(1))
  (root / 'l.txt').write_text('\n'.join(lines) + '\n')
  return {'root': root, 'list': 'l.txt'}


@pytest.mark.parametrize(
  'format, lines, message',
  [
    (
      'folder',
      ['a/1.png 0', 'b/1.png 0'],
      r'b/1\.png cannot become .* a/1\.png',
    ),
    ('folder', ['a/x.png 0', 'b/X.png 0'], 'where case does not count'),
    ('folder', ['a/1.dat 0'], r'a/1\.dat .*does not end in \.jpg'),
    ('list', ['a/x.png 0', 'A/x.png 1'], 'where case does not count'),
    ('list', ['train.txt/x.png 0'], 'where the list goes'),
  ],
)
def test_names_that_would_meet_are_refused_and_can_be_numbered(
  pack, tmp_path, format, lines, message
):
  options = {**write(tmp_path / 'from', lines), 'to': format}
  with pytest.raises(errors.UserError, match=message) as caught:
    pack(**options, out=tmp_path / 'x')
  assert '--rename' in str(caught.value)
  assert not (tmp_path / 'x.partial').exists()
  pack(**options, rename=True, out=tmp_path / 'x')
  names = sorted(
    str(x.relative_to(tmp_path / 'x')) for x in tmp_path.glob('x/*/*')
  )
  labels = [line.rsplit(' ', 1)[1] for line in lines]
  assert names == [f'{x}/{i:08d}.png' for i, x in enumerate(labels)]


def test_absolute_names_need_other_ones(pack, tmp_path):
  path = tmp_path / 'elsewhere.png'
  path.write_bytes(encoded(1))
  (tmp_path / 'l.txt').write_text(f'{path} 0\n')
  options = {'root': tmp_path, 'list': 'l.txt', 'out': tmp_path / 'x'}
  with pytest.raises(errors.UserError, match='absolute path'):
    pack(**options, to='list')
  pack(**options, to='folder')
  assert (tmp_path / 'x/0/elsewhere.png').read_bytes() == encoded(1)


@pytest.mark.parametrize(
  'names, message',
  [
    (['.hidden'], 'hidden or system folder'),
    (['lost+found'], 'hidden or system folder'),
    (['a/b'], 'it has a slash'),
    (['..'], 'cannot be a folder'),
    (['x' * 300], 'more than 255 bytes'),
    (['a\n'], 'cannot be a folder'),
    (['Ann', 'ann'], '"Ann" and "ann" differ in upper and lower case alone'),
  ],
)
def test_classes_that_cannot_be_folders_are_refused(names, message):
  with pytest.raises(errors.UserError, match=message):
    image_paths.check_folders(names)


def test_labels_beyond_float32_are_refused(images, tmp_path, monkeypatch):
  source = imagelist.build(root=str(images), list='all.txt')
  writer = layouts.build('recordio', out=tmp_path)
  plain = layouts.build('recordio', out=tmp_path, plain=True)
  # 12 images, 3 identities and key 0: 16 keys; 3 labels.
  monkeypatch.setattr(recordio, 'MAX_LABEL', 15)
  assert len(writer.order(source)) == 12
  monkeypatch.setattr(recordio, 'MAX_LABEL', 14)
  with pytest.raises(errors.UserError, match=r'identity records.*--plain'):
    writer.order(source)
  monkeypatch.setattr(recordio, 'MAX_LABEL', 2)
  assert len(plain.order(source)) == 12
  monkeypatch.setattr(recordio, 'MAX_LABEL', 1)
  with pytest.raises(
    errors.UserError, match='3 classes: RecordIO keeps labels'
  ):
    plain.order(source)


def test_what_is_there_or_in_use_is_not_touched(images, pack, tmp_path):
  options = {'root': images, 'list': 'all.txt', 'to': 'list'}
  (tmp_path / 'x').mkdir()
  with pytest.raises(errors.UserError, match=r'already\. Give another --out'):
    pack(**options, out=tmp_path / 'x')
  record = {'images and labels': 'others', 'version': '1.0.0'}
  with partial.folder(tmp_path / 'y', record) as folder:
    partial.write_journal(folder, {'record': record, 'state': {'rows': 1}})
    with pytest.raises(errors.UserError, match='Another process is writing'):
      pack(**options, out=tmp_path / 'y')
  with pytest.raises(
    errors.UserError, match=r'images and labels, classes.*, version differ'
  ):
    pack(**options, out=tmp_path / 'y')
  (tmp_path / 'y.partial/bfjax-pack.json').write_text('{')
  with pytest.raises(errors.UserError, match='is damaged'):
    pack(**options, out=tmp_path / 'y')
  with pytest.raises(errors.UserError, match=r"'plain'\. There are: .*rename"):
    pack(**options, plain=True, out=tmp_path / 'z')


@pytest.mark.parametrize('name', FORMATS)
def test_a_set_that_differs_is_found_out(images, name, tmp_path, monkeypatch):
  """Of each format, if one image is written wrongly."""
  source = imagelist.build(root=str(images), list='all.txt')
  writer = layouts.build(name, out=tmp_path / 'x' / '1.0.0')
  write = type(writer).write

  def write_wrong(self, folder, source, order, images, state):
    wrong = (encoded(99) if x == encoded(6) else x for x in images)
    return write(self, folder, source, order, wrong, state)

  monkeypatch.setattr(type(writer), 'write', write_wrong)
  with pytest.raises(errors.UserError, match='is not what was to be written'):
    packing.pack(source, writer, command={})
  assert not writer.out.exists()


@pytest.mark.parametrize('name', ['list', 'recordio', 'tfds'])
def test_a_full_disk_is_a_clear_error(images, name, tmp_path):
  """As far as a limit of file sizes is one."""
  code = (
    'import resource, runpy, sys\n'
    'resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n'
    'sys.argv = sys.argv[1:]\n'
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
  )
  (tmp_path / 'from/0').mkdir(parents=True)
  for i in range(9):
    pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
    image = cv2.imencode('.png', pixels)[1].tobytes()
    (tmp_path / f'from/0/{i}.png').write_bytes(image)
  result = subprocess.run(
    [
      *(sys.executable, '-c', code, TOOL, '--root', tmp_path / 'from'),
      *('--to', name, '--out', tmp_path / 'x'),
    ],
    capture_output=True,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(TOOL.parents[1])},
  )
  assert result.returncode == 2, result.stderr
  assert 'pack: Cannot write ' in result.stderr
  assert 'File too large' in result.stderr
  assert 'Traceback' not in result.stderr
  assert not (tmp_path / 'x').is_file() and not (tmp_path / 'x/1.0.0').exists()


def test_formats_are_recognised_or_asked_for(images, sets, tmp_path):
  for name in FORMATS:
    assert ondisk.detect(str(sets[name]['root'])).format == name
  found = ondisk.detect(str(images / 'all.txt'))
  assert found.options == {
    'source': 'imagelist',
    'root': str(images),
    'list': str(images / 'all.txt'),
  }
  for name in ('train.rec', 'train.txt'):
    (tmp_path / name).touch()
  with pytest.raises(errors.UserError, match=r'list .*, recordio .*Say which'):
    ondisk.detect(str(tmp_path))
  assert ondisk.detect(str(tmp_path), format='list').format == 'list'
  (tmp_path / 'empty').mkdir()
  with pytest.raises(errors.UserError, match='is none of'):
    ondisk.detect(str(tmp_path / 'empty'))
  with pytest.raises(errors.UserError, match='There is nothing at'):
    ondisk.detect(str(tmp_path / 'gone'))
  (tmp_path / 'a.txt').write_text('a 0\n')
  (tmp_path / 'classes.tsv').write_text('1\tann\n')
  with pytest.raises(errors.UserError, match=r'no line for the label 0'):
    ondisk.open_source(ondisk.detect(str(tmp_path / 'a.txt')), check='none')


FLAT = """
import dataclasses
import os

from bfjax.datasets import layouts

SOURCE = 'imagelist'


def trace(root):
  return 'it is flat' if os.path.isfile(os.path.join(root, 'flat.txt')) else ''


def locate(root, *, list, dataset):
  return {'root': root, 'list': os.path.join(root, 'flat.txt')}


@dataclasses.dataclass(frozen=True)
class FlatWriter(layouts.Writer):
  blanks: int

  def write(self, folder, source, order, images, state):
    with open(folder / 'flat.txt', 'w') as file:
      for row, encoded in enumerate(images):
        label = source.class_names[source.labels[row]]
        (folder / f'{row}.png').write_bytes(encoded)
        file.write(f'{row}.png{self.blanks * " "}{label}\\n')
        yield lambda: {'rows': 0}


def build(*, out, blanks: int = 1):
  '''A folder without folders.

  Args:
    out: the new folder.
    blanks: so many stand between path and label.
  '''
  return FlatWriter(out, blanks)
"""


def test_a_format_with_an_option_is_one_file(
  images, tool, tmp_path, monkeypatch, capsys
):
  """Then it is recognised, read, written, and in the help of the tool."""
  package, folder = layouts.__name__, tmp_path / 'layouts'
  shutil.copytree(declared.folder(package), folder)
  (folder / 'flat.py').write_text(FLAT)

  def find(name, known=declared.folder):
    below = name.removeprefix(package)
    return known(name) if below == name else folder / below[1:]

  monkeypatch.setattr(declared, 'folder', find)
  monkeypatch.setattr(layouts, '__path__', [str(folder)])
  command = ['--root', images, '--list', 'all.txt', '--out', tmp_path / 'set']
  command += ['--to', 'flat', '--blanks', '3']
  tool.main(tool.parse_arguments([*map(str, command)]))
  assert '0.png   20\n' in (tmp_path / 'set/flat.txt').read_text()
  assert ondisk.detect(str(tmp_path / 'set')).format == 'flat'
  assert rows(open_set(tmp_path / 'set')) == [
    (a, None, c) for a, _, c in ORIGINAL
  ]
  with pytest.raises(SystemExit):
    tool.parse_arguments(['--help'])
  assert 'flat: so many stand between path and label (1)' in ' '.join(
    capsys.readouterr().out.split()
  )


def test_the_command_says_how_to_train_on_what_it_wrote(images, tmp_path):
  out = tmp_path / 'sets' / 'casia'
  result = subprocess.run(
    [
      *(sys.executable, TOOL, '--root', images, '--list', 'all.txt'),
      *('--to', 'recordio', '--out', out, '--truth', images / 'wrong.txt'),
    ],
    capture_output=True,
    text=True,
    cwd=tmp_path,
  )
  assert result.returncode == 0, result.stderr
  assert f'Wrote 12 images of 3 classes to {out}.' in result.stdout
  truth = f'truth={out}/flips.txt'
  for option in ('source=recordio', f'root={out}', truth):
    assert f'--config.data.{option}' in result.stdout
