"""The page of a cleaned set: what it says of rows and of classes."""

import json
import os
import re

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import pages
from bfjax import errors
from bfjax import pages as again
from bfjax.report import cleanpage, suspects

STRANGERS, UNSURE = [3, 24], [48]
KINDS = 'relabel', 'outlier'


@pytest.fixture(scope='module')
def source():
  return pages.make_source()


def columns(source):
  """What verdicts.parquet holds: wrong labels are found, and three rows."""
  num_rows, names = source.num_rows, [os.fsencode(x) for x in pages.NAUGHTY]
  verdict = np.full(num_rows, 'keep', object)
  verdict[pages.CORRECTED] = 'relabel'
  verdict[STRANGERS], verdict[UNSURE] = 'outlier', 'unsure'
  proposed = np.where(verdict == 'relabel', source.true_labels, source.labels)
  return {
    'row': np.arange(num_rows),
    'path': [os.fsencode(source.name(row)) for row in range(num_rows)],
    'given_label': [names[x] for x in source.labels],
    'proposed_label': [names[x] for x in proposed],
    'given_cosine': np.full(num_rows, 0.25, np.float32),
    'proposed_cosine': np.full(num_rows, 0.5, np.float32),
    'since_epoch': np.where(verdict == 'relabel', 2, 0).astype(np.int32),
    'corrected_epochs': np.where(verdict == 'relabel', 1, 0).astype(np.int32),
    'verdict': verdict.tolist(),
    'confidence': np.linspace(0.4, 1, num_rows, dtype=np.float32),
  }


def calibration():
  """Bins: two of one verdict, and one without a verdict in it."""
  bins = [
    {'predicted': 0.7, 'measured_planted': 0.75, 'measured_true': 0.6},
    {'predicted': 0.9, 'measured_planted': 0.95, 'measured_true': None},
    {'predicted': None, 'measured_planted': 0.5, 'measured_true': None},
  ]
  return [{'verdict': 'relabel', **x} for x in bins]


def write(out, source, **summary):
  table = columns(source)
  parquet.write_table(pa.table(table), out / 'verdicts.parquet')
  (out / 'summary.json').write_text(json.dumps(summary))
  return table


@pytest.fixture(scope='module')
def path(tmp_path_factory, source):
  out = tmp_path_factory.mktemp('cleaned')
  finding = {'false_rate': 0.01, 'evidence': {'cosine': 0.75, 'first': 1200}}
  two, person = (
    {**finding, 'classes': [0, 1]},
    {'set': 'lfw', 'name': '<b>', 'rows': [1, 7]},
  )
  write(
    out,
    source,
    noise_rate=0.2,
    stranger_rate=0.0125,
    calibration=calibration(),
    planted=[
      {'from': 100, 'below': None, 'rows': 9}
      | {f'{x}_{y}': 7 for x in ('planted', 'found') for y in KINDS}
    ],
    scores={'wrong_given': 0.225, 'left_out_of_strangers': None},
    merges=[{**two, 'rows': [[1], [22]]}] * 13,
    splits=[{**finding, 'classes': [2], 'rows': [[41, 42], [43]]}],
    shared=[{**two, 'rows': [[1], [22]]}],
    overlap=[{**finding, 'classes': [5], 'rows': [[104]], 'other': person}],
  )
  return cleanpage.write(out, source, source.labels, {'lfw': pages.Images()})


def test_it_says_what_was_found(path):
  parsed = pages.parse(path)
  said = re.sub(r'\s+', ' ', parsed.text)
  for words in (
    'of the labels wrong20.00 %',
    'of the images nobody of the set1.25 %',
    '27 of 120 rows are not kept as they are. 27 of them are here',
    'One person under two names? The surest 12 of 13',
    'Two people under one name?',
    'One image under two names',
    'People of another set, too',
    'lfw: <b>',
    'cosine 0.75, first 1,200, false rate 1.00 %',
    f'{pages.NAUGHTY[2]}: person 2',
    'The surest 2 of 2',
    '100 and more 7 of 7 7 of 7',
    'wrong given 22.50 %',
    'Right, of the planted ones',
    'Right, in truth',
    'Classes that lose most',
  ):
    assert words in said, words
  assert 'Nobody?' not in said  # there was no such finding
  assert parsed.tags.count('article') == 27
  verdicts = [v for k, v in parsed.attributes if k == 'data-verdict']
  assert sorted(set(verdicts)) == ['outlier', 'relabel', 'unsure']
  # A row that is unsure of its own class is shown beside that alone.
  proposed = [v for k, v in parsed.attributes if k == 'data-proposed']
  assert proposed.count('') == len(STRANGERS + UNSURE)


def test_it_is_as_safe_as_the_page_of_a_run(path):
  parsed = pages.parse(path)
  assert parsed.tags.count('script') == 1
  assert 'b' not in parsed.tags
  assert not [k for k, _ in parsed.attributes if k.startswith('on')]
  assert all(x.startswith(('data:image/', '#')) for x in parsed.sources)


def test_what_is_not_told_is_not_on_it(tmp_path, source):
  table = write(tmp_path, source)
  kept = {**table, 'verdict': ['keep'] * source.num_rows}
  parquet.write_table(pa.table(kept), tmp_path / 'verdicts.parquet')
  parsed = pages.parse(cleanpage.write(tmp_path, source, source.labels))
  assert parsed.tags.count('h2') == 2
  assert 'script' not in parsed.tags
  assert '120' in parsed.text


def test_a_table_of_text_says_the_same(tmp_path, source):
  table = write(tmp_path, source)
  lines = ['\t'.join(table).encode()]
  for row in zip(*table.values(), strict=True):
    fields = (x if isinstance(x, bytes) else str(x).encode() for x in row)
    lines.append(b'\t'.join(fields))
  (tmp_path / 'verdicts.tsv').write_bytes(b'\n'.join(lines) + b'\n')
  one, other = (
    suspects.read(tmp_path / f'verdicts.{suffix}', source)
    for suffix in ('parquet', 'tsv')
  )
  assert len(one.row) == 27
  for a, b in zip(one, other, strict=True):
    np.testing.assert_array_equal(a, b)


def on_disk(folder, source):
  """The settings of a set whose images are files, and whose names are plain."""
  lines = []
  for row, label in enumerate(source.labels):
    name = f'{row}.jpg'
    (folder / name).write_bytes(source.read([row])[0])
    lines.append(f'{name}  {label}\n')
  (folder / 'train.txt').write_text(''.join(lines))
  names = ('dataset', 'split', 'format', 'truth', 'source', 'model')
  given = {'root': str(folder), 'list': str(folder / 'train.txt'), 'option': []}
  return dict.fromkeys(names, '') | given


def test_it_is_made_again_from_its_folder(tmp_path, source):
  settings = on_disk(tmp_path, source)
  table = write(tmp_path, source, settings=settings)
  for name in ('given_label', 'proposed_label'):
    table[name] = [
      str(pages.NAUGHTY.index(os.fsdecode(x))) for x in table[name]
    ]
  parquet.write_table(pa.table(table), tmp_path / 'verdicts.parquet')
  other = tmp_path / 'other' / 'Ann'
  other.mkdir(parents=True)
  (other / '1.jpg').write_bytes(source.read([9])[0])
  person = {'set': str(other.parent), 'name': 'Ann', 'rows': [0]}
  match = {'classes': [0], 'rows': [[1]], 'other': person}
  summary = {'settings': settings, 'overlap': [match]}
  (tmp_path / 'summary.json').write_text(json.dumps(summary))
  path = again.write(tmp_path)
  assert 'Ann/1.jpg' in path.read_text()
  assert path == tmp_path / 'report.html'
  assert '27 of 120 rows are not kept' in pages.parse(path).text
  settings['root'] = settings['list'] = ''
  write(tmp_path, source, settings=settings)
  with pytest.raises(errors.UserError, match='give --root or --source'):
    again.write(tmp_path)
