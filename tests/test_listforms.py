"""Lists of other columns, slashes and encodings: each image with its label."""

import unicodedata

import pytest

from bfjax import errors
from bfjax.data import lists
from bfjax.data.sources import imagelist
from bfjax.datasets import listnoise

NAMES = ['p 0/1.jpg', 'p1/12.jpg', 'p1/2.jpg', '3/4']
LABELS = [7, 0, 0, 12]
BOX = '\t1\t2\t30\t40'
POINTS = '\t38.2\t-1.5e+01' * 5
FORMS = {
  'insightface': '1\t{path}\t{label}\n',
  'insightface, unaligned': '0\t{path}\t{label}' + BOX + '\n',
  'insightface, landmarks': '0\t{path}\t{label}' + BOX + POINTS + '\r\n',
  'mxnet': '{i}\t{label}.000000\t{path}\n',
  'mxnet, whole': '{i}\t{label}\t{path}\r\n',
  'label first': '{label}  {path}\n',
  'commas': '{path},{label}\n',
  'semicolons': '{path}; {label}\n',
  'quotes': '"{path}" {label}\n',
  'quotes and commas': "'{path}','{label}'\n",
}
# That look like another form, if the files are not there to tell.
DOUBTFUL = {
  'insightface, blanks': '{i} {path} {label}\n',
  'backslashes': '{windows}\t{label}\r\n',
  'backslashes, insightface': '1\t.\\{windows}\t{label}\r\n',
}


def _lines(line, names=NAMES, labels=LABELS):
  return ''.join(
    line.format(i=i, path=name, windows=name.replace('/', '\\'), label=label)
    for i, (name, label) in enumerate(zip(names, labels, strict=True))
  )


def _make(root, names):
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b'x')


def _write(folder, text):
  path = folder / 'list.lst'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return str(path)


def _read(path, root=''):
  """What both readers say; they agree."""
  found = lists.read(path, root)
  names = list(found.names)
  lines = list(lists.parse_lines(path, root))
  assert lines == [
    (i, name.encode(), label)
    for i, (name, label) in enumerate(
      zip(names, found.labels.tolist(), strict=True), 1
    )
  ]
  return names, found.labels.tolist()


@pytest.mark.parametrize('name', [*FORMS, *DOUBTFUL])
def test_every_form_gives_its_images_their_labels(tmp_path, name, caplog):
  names, labels = NAMES[:3], LABELS[:3]
  _make(tmp_path, names)
  path = _write(tmp_path, _lines((FORMS | DOUBTFUL)[name], names, labels))
  source = imagelist.build(root=str(tmp_path), list=path)
  assert [source.name(row) for row in range(3)] == names
  given = [int(source.class_names[label]) for label in source.labels]
  assert given == labels
  [said] = [text for text in caplog.messages if 'is read as' in text]
  assert ('not aligned' in said) == ('aligned' in name or 'landmarks' in name)
  if name in FORMS:  # without the images, too
    assert _read(path) == (names, labels)


def test_the_usual_form_is_not_taken_for_another(tmp_path, caplog):
  names = ['1 a/1.jpg', '12', '1,5/a.jpg', '"a"', 'a\\b.jpg', '0.5 1 a.jpg']
  text = _lines('{path} {label}\n', names, range(6))
  assert _read(_write(tmp_path, text)) == (names, list(range(6)))
  _make(tmp_path, names)
  assert _read(_write(tmp_path, text), str(tmp_path))[0] == names
  assert not caplog.messages


def test_files_that_are_there_decide(tmp_path):
  """`1<TAB>a 5` is an image `1<TAB>a` if there is such a file."""
  path = _write(tmp_path, '1\ta.jpg\t5\n1\tb.jpg\t6\n')
  assert _read(path, str(tmp_path)) == (['a.jpg', 'b.jpg'], [5, 6])
  _make(tmp_path, ['1\ta.jpg', '1\tb.jpg'])
  assert _read(path, str(tmp_path)) == (['1\ta.jpg', '1\tb.jpg'], [5, 6])


@pytest.mark.parametrize(
  'encoding, line',
  [
    ('gb18030', '{path} {label}\n'),
    ('gb18030', '{windows} {label}\r\n'),
    ('gb18030', '{i}\t{label}\t{path}\n'),
    ('big5', '{path} {label}\n'),
  ],
)
def test_names_of_another_encoding(tmp_path, encoding, line):
  """The second bytes of some of these are backslashes in ASCII."""
  names = [f'p{i}/{i}.jpg' for i in range(40)] + ['\u8a31 \u529f/\u84cb.jpg']
  _make(tmp_path, names)
  path = _write(tmp_path, _lines(line, names, range(41)).encode(encoding))
  assert _read(path, str(tmp_path)) == (names, list(range(41)))


def test_names_composed_as_on_another_system(tmp_path):
  composed = unicodedata.normalize('NFC', 'Jos\u00e9/1.jpg')
  apart = unicodedata.normalize('NFD', composed)
  _make(tmp_path, [apart])
  path = _write(tmp_path, f'{composed} 3\n')
  assert _read(path, str(tmp_path)) == ([apart], [3])


def test_noise_is_put_into_every_form_alike(tmp_path):
  names = [f'p{i}/{i}.jpg' for i in range(20)]
  labels = [i // 5 for i in range(20)]
  made = set()
  for line in ('{path} {label}\n', *FORMS.values()):
    path = _write(tmp_path, _lines(line, names, labels))
    out, flips = tmp_path / 'out.txt', tmp_path / 'flips.txt'
    listnoise.flip_list(path, rate=0.5, seed=1, out=out, truth_out=flips)
    made.add((out.read_text(), flips.read_text()))
  assert len(made) == 1 and flips.read_text().count('\n') == 8


@pytest.mark.parametrize('later', ['a.jpg 5', '5 a.jpg', 'a.jpg,5'])
def test_a_later_line_of_another_form_is_named(tmp_path, later):
  lines = [f'1\tp/{i}.jpg\t{i}\n' for i in range(100)]
  path = _write(tmp_path, ''.join(lines) + f'{later}\n')
  for read in (lists.read, lambda x: list(lists.parse_lines(x))):
    with pytest.raises(errors.UserError, match=r':101: .*not as the first'):
      read(path)


@pytest.mark.parametrize(
  'line', ['{i}\t{label}\t3\t{path}\n', '{path}\t{label}\ttrain\n']
)
def test_columns_that_are_not_known_are_said(tmp_path, line):
  with pytest.raises(errors.UserError, match=r':1: .* awk .* > NEW_LIST'):
    lists.read(_write(tmp_path, _lines(line)))


def test_a_heading_is_named(tmp_path):
  with pytest.raises(errors.UserError, match=r':1: .*heading, remove it'):
    lists.read(_write(tmp_path, 'path,label\n' + _lines('{path},{label}\n')))
