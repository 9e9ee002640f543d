"""tools/clean.py, on faces that a made-up model knows."""

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from bfjax import errors
from bfjax.cleaning import history, outcome, verdicts
from bfjax.commands import clean
from bfjax.datasets import ondisk
from bfjax.evaluation.features import extraction
from tests import spheres

PEOPLE, EACH, SHARED = 24, 10, 4
CENTRES = spheres.People(PEOPLE + 12, spread=0.4)


def write_folder(root, people, label=None):
  """Images whose first pixel tells who it is, which, and a salt."""
  for i, person in enumerate(people):
    folder = root / (label[i] if label is not None else f'p{person:02d}')
    folder.mkdir(parents=True, exist_ok=True)
    image = np.full((8, 8, 3), person, np.uint8)
    image[0, 0] = person, i % 256, i // 256
    cv2.imwrite(str(folder / f'{i:03d}.png'), image)


def embed(files, first=0):
  """Yields what an embedder would of these images."""
  out = []
  for data in files.read(np.arange(first, files.num_rows)):
    pixel = cv2.imdecode(np.frombuffer(data, np.uint8), 1)[0, 0].tolist()
    noise = np.random.default_rng(pixel).normal(size=spheres.DIM)
    out.append(CENTRES.centres[pixel[0]] + 0.1 * noise)
  yield first, np.repeat(np.array(out, np.float32)[:, None], 2, 1)


@pytest.fixture
def model(monkeypatch):
  """Instead of a network: people are known by a pixel."""

  def compute(path, files, out, *, checkpoint, form, batch, **_):
    settings = {'weights_sha256': 'w', 'checkpoint': checkpoint}
    extraction.extract(
      lambda images, first: embed(images, first),
      files,
      out,
      form=form,
      batch=batch,
      embedding_dim=spheres.DIM,
      settings=settings,
    )

  monkeypatch.setattr(extraction, 'compute', compute)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A set with 24 labels wrong, and the labels of the rows that these are."""
  root = tmp_path_factory.mktemp('faces')
  true = np.repeat(np.arange(PEOPLE), EACH)
  label = [f'p{person:02d}' for person in true]
  for row in range(0, len(true), EACH):
    label[row] = f'p{(true[row] + 5) % PEOPLE:02d}'
  write_folder(root, true, label)
  return root


def run(folder, out, *flags):
  given = ['--model', 'none', '--root', str(folder), '--out', str(out)]
  clean.main(clean.parse_arguments([*given, *flags]))


def opened(path):
  return ondisk.open_source(ondisk.detect(str(path)))


def person(source, row):
  return cv2.imdecode(np.frombuffer(source.read([row])[0], np.uint8), 1)[
    0, 0, 0
  ]


def test_wrong_labels_are_found_and_set_right(model, folder, tmp_path):
  run(folder, tmp_path)
  source = opened(folder)
  found, names = verdicts.read(tmp_path / verdicts.PARQUET, source.class_names)
  assert (found.verdict == verdicts.RELABEL).sum() == PEOPLE
  cleaned = opened(tmp_path / 'cleaned')
  assert cleaned.num_rows == source.num_rows
  for row in range(cleaned.num_rows):
    name = cleaned.class_names[cleaned.labels[row]]
    assert name == f'p{person(cleaned, row):02d}'
  # Each change is told, and taken back gives what was.
  lines = (tmp_path / outcome.CHANGES).read_text().splitlines()[1:]
  assert len(lines) == PEOPLE
  for line in lines:
    row, path, what, old, new = line.split('\t')
    assert (source.name(int(row)), what) == (path, 'relabel')
    assert names[found.given[int(row)]] == old != new
  words = (tmp_path / 'summary.md').read_text()
  assert f'{PEOPLE} get another label' in words
  # Once more: nothing to do, and the same is said.
  run(folder, tmp_path)
  assert (tmp_path / 'summary.md').read_text() == words


def test_a_person_may_disagree(model, folder, tmp_path):
  run(folder, tmp_path / 'a', '--to', 'none')
  first, second = (
    line.split('\t')[:2]
    for line in (tmp_path / 'a/changes.tsv').read_text().splitlines()[1:3]
  )
  marks = tmp_path / 'marks.tsv'
  marks.write_text('row\tpath\tmark\n' + '\t'.join([*first, 'wrong']) + '\n')
  run(folder, tmp_path / 'a', '--to', 'none', '--overrides', str(marks))
  changes = (tmp_path / 'a/changes.tsv').read_text()
  assert first[1] not in changes and second[1] in changes
  marks.write_text('row\tpath\tmark\n0\tother.png\twrong\n')
  with pytest.raises(errors.UserError, match='row 0 is not other'):
    run(folder, tmp_path / 'a', '--to', 'none', '--overrides', str(marks))


def test_a_class_is_not_lost_without_a_word(model, folder, tmp_path):
  with pytest.raises(errors.UserError, match='p02: 1 of 10 rows') as refused:
    run(folder, tmp_path, '--allow-class-loss', '0.05')
  assert '--allow-class-loss 1 allows it' in str(refused.value)
  assert (tmp_path / verdicts.PARQUET).exists()
  assert not (tmp_path / 'cleaned').exists()
  with pytest.raises(errors.UserError, match='% of all rows'):
    run(folder, tmp_path, '--allow-changes', '0.05')


def test_people_of_other_sets_are_named_left_out_and_joined(
  model, folder, tmp_path
):
  other = tmp_path / 'other'
  people = np.repeat(np.arange(PEOPLE - SHARED, PEOPLE + 12), 6)
  write_folder(other, people, [f'q{p}' for p in people])
  run(folder, tmp_path / 'a', '--against', str(other), '--drop-overlap')
  shared = {f'p{p}' for p in range(PEOPLE - SHARED, PEOPLE)}
  lines = (tmp_path / 'a/overlap.tsv').read_text().splitlines()[1:]
  assert {line.split('\t')[1] for line in lines} == shared
  left = set(opened(tmp_path / 'a/cleaned').class_names)
  assert left == {f'p{p:02d}' for p in range(PEOPLE)} - shared
  run(folder, tmp_path / 'b', '--join', str(other), '--to', 'folder')
  joined = opened(tmp_path / 'b/cleaned')
  assert joined.num_classes == PEOPLE + 12
  assert joined.num_rows == PEOPLE * EACH + len(people)


def test_verdicts_are_read_as_they_were_written(tmp_path):
  names = ['a/1.jpg', 'tab\there.jpg', 'caf\udce9.jpg']
  half = np.array([0.5, 0.25, np.nan], np.float32)
  written = verdicts.Verdicts(
    names,
    np.array([0, 1, 2], np.int32),
    np.array([0, 2, 2], np.int32),
    *(half, half, half),
    *(np.array([0, 3, 1], np.int32),) * 2,
    np.array([verdicts.KEEP, verdicts.RELABEL, verdicts.UNSURE], np.uint8),
    half,
  )
  labels = ['x', 'y', '\udce9']
  path = tmp_path / verdicts.PARQUET
  verdicts.write(path, written, labels)
  found, _ = verdicts.read(path, labels)
  for a, b in zip(written, found, strict=True):
    np.testing.assert_array_equal(list(a), list(b))
  with pytest.raises(errors.UserError, match='none of this data set'):
    verdicts.read(path, ['x', 'y', 'z'])
  table = pyarrow.parquet.read_table(path)
  assert table['verdict'].to_pylist() == ['keep', 'relabel', 'unsure']
  verdicts.write(tmp_path / verdicts.TSV, written, labels)
  lines = (tmp_path / verdicts.TSV).read_bytes().splitlines()
  assert lines[0].split(b'\t') == [x.encode() for x in table.column_names]
  assert lines[3].endswith(b'unsure\tnan')


def test_the_logs_tell_since_when_and_how_often(tmp_path):
  folder = tmp_path / 'corrections'
  folder.mkdir()
  heading = 'row\tpath\tgiven_label\tnew_label\n'
  for epoch, rows in ((4, []), (5, [1]), (6, [1, 3]), (7, [3])):
    lines = ''.join(f'{row}\ta.jpg\t0\t1\n' for row in rows)
    (folder / f'epoch_{epoch:03d}.tsv').write_text(heading + lines)
  since, count = history.read(tmp_path, 4)
  np.testing.assert_array_equal(since, [0, 5, 0, 6])
  np.testing.assert_array_equal(count, [0, 2, 0, 2])
  with pytest.raises(errors.UserError, match='of another set'):
    history.read(tmp_path, 3)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--min-keep', '90'], 'is a share'),
    (['--drop-overlap'], 'needs --against'),
    (['--source', 'synthetic'], 'not both'),
  ],
)
def test_options_that_do_not_fit_are_refused(folder, tmp_path, flags, message):
  with pytest.raises(errors.UserError, match=message):
    run(folder, tmp_path, *flags)
