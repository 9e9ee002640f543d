"""The page of a run: what it says, that it is whole and safe."""

import logging
import re

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import pages
from bfjax import errors
from bfjax.logbook import runcharts, runpage
from bfjax.report import charts, review, suspects


@pytest.fixture(scope='module')
def source():
  return pages.make_source()


@pytest.fixture(scope='module')
def path(tmp_path_factory, source):
  workdir = tmp_path_factory.mktemp('run')
  pages.write_run(workdir, source)
  return runpage.write(workdir, source, source.labels)


@pytest.fixture(scope='module')
def parsed(path):
  return pages.parse(path)


def test_it_is_one_file_that_fetches_nothing(path, parsed):
  raw = path.read_text()
  assert not re.search(r'https?:|url\((?!#)|@import', raw)
  assert all(x.startswith(('data:image/', '#')) for x in parsed.sources)
  policy = "default-src 'none'; img-src data:;"
  assert any(v and v.startswith(policy) for _, v in parsed.attributes)
  ids = [v for k, v in parsed.attributes if k == 'id']
  assert len(set(ids)) == len(ids)


def test_names_are_shown_and_do_nothing(parsed):
  assert parsed.tags.count('script') == 1
  assert not [k for k, _ in parsed.attributes if k.startswith('on')]
  for name in (*pages.NAUGHTY[:4], 'caf\\xe9', pages.NAUGHTY[5]):
    assert name in parsed.text


def test_it_says_what_the_run_did(parsed):
  for said in ('verification on LFW90.00 %', 'of the labels corrected20.00 %'):
    assert said in parsed.text.replace('\n', '')
  assert '24 of 120 rows are trained with another label' in parsed.text
  assert parsed.tags.count('article') == len(pages.CORRECTED)
  for title in ('Loss', 'Learning rate', 'Images a second', 'Classes'):
    assert title in parsed.text
  assert '120 rows, 24 of them corrected (20.0 %)' in parsed.text
  assert parsed.text.count('in truth right') == len(pages.CORRECTED)


def test_what_a_run_has_not_left_is_not_on_it(tmp_path, source):
  (tmp_path / 'config.json').write_text(
    '{"batch": 12, "accumulate": 1, "head": {}}'
  )
  parsed = pages.parse(runpage.write(tmp_path, source, source.labels))
  assert 'images of 6 people' in parsed.text
  assert 'script' not in parsed.tags
  assert parsed.tags.count('h2') == 1


def test_where_the_time_went_is_told_by_what_the_metrics_have():
  lines = [
    {'step': 10, 'images_per_sec': 40.0},
    {'step': 10, 'eval/secs': 2.0},
    {'step': 20, 'images_per_sec': 80.0},
  ]
  spent = runcharts.where_time_went(lines, 8)
  assert spent == {'input and step': 3.0, 'evaluation': 2.0}
  lines[0] |= {'time/secs': 4.0, 'time/input': 0.25, 'time/step': 0.75}
  lines[2] |= {'time/secs': 2.0, 'time/input': 0.5, 'time/step': 0.5}
  assert runcharts.where_time_went(lines, 8) == {'input': 2.0, 'step': 4.0}


def test_a_page_that_cannot_be_drawn_is_a_warning(tmp_path, source, caplog):
  (tmp_path / 'metrics.jsonl').write_text('damaged\n')
  (tmp_path / 'config.json').write_text('{"batch": 12, "accumulate": 1}')
  with caplog.at_level(logging.WARNING, 'bfjax'):
    runpage.write_at_end(tmp_path, source, source.labels)
  assert 'its page could not be written' in caplog.text
  assert f'bfjax report {tmp_path}' in caplog.text
  assert not (tmp_path / runpage.NAME).exists()


def test_images_are_as_many_as_a_page_can_hold(
  tmp_path, source, path, monkeypatch
):
  monkeypatch.setattr(review, '_BYTES', 30_000)
  pages.write_run(tmp_path, source)
  small = runpage.write(tmp_path, source, source.labels)
  shown = pages.parse(small).tags.count('article')
  assert 0 < shown < len(pages.CORRECTED)
  assert f'{shown} of them are here' in pages.parse(small).text


@pytest.mark.parametrize('with_history', [True, False])
def test_logs_are_read_with_and_without_a_history(
  tmp_path, source, with_history
):
  pages.write_log(tmp_path / 'log.tsv', source, with_history)
  found = suspects.read(tmp_path / 'log.tsv', source)
  np.testing.assert_array_equal(found.row, pages.CORRECTED)
  np.testing.assert_array_equal(
    found.proposed, source.true_labels[pages.CORRECTED]
  )
  assert np.isnan(found.confidence).all()
  assert np.isnan(found.proposed_cosine).all() != with_history
  np.testing.assert_array_equal(
    found.since, with_history * (1 + pages.CORRECTED % 3)
  )


def test_a_log_of_other_data_is_refused(tmp_path, source):
  path = tmp_path / 'log.tsv'
  path.write_text('row\tpath\tgiven_label\tnew_label\n120\ta.jpg\t0\t1\n')
  with pytest.raises(errors.UserError, match='of other data'):
    suspects.read(path, source)
  path.write_text('row\tpath\tgiven_label\tnew_label\nx\ta.jpg\t0\t1\n')
  with pytest.raises(errors.UserError, match='Cannot read'):
    suspects.read(path, source)


def test_verdicts_are_read_but_for_what_is_kept(tmp_path, source):
  names = [x.encode('utf-8', 'surrogateescape') for x in source.class_names]
  columns = {
    'row': [0, 1, 2, 3],
    'verdict': ['relabel', 'keep', 'outlier', 'unsure'],
    'proposed_label': pa.array([names[4], names[0], None, names[0]]),
    'given_cosine': [0.1, 0.9, 0.0, 0.4],
    'confidence': [0.99, 0.9, None, 0.5],
    'since_epoch': [7, None, 0, None],
  }
  path = tmp_path / 'verdicts.parquet'
  parquet.write_table(pa.table(columns), path)
  found = suspects.read(path, source)
  assert found.row.tolist() == [0, 2, 3]
  assert found.proposed.tolist() == [4, -1, 0]
  assert [suspects.VERDICTS[x] for x in found.verdict] == [
    *('relabel', 'outlier', 'unsure')
  ]
  assert found.since.tolist() == [7, 0, 0]
  np.testing.assert_allclose(found.confidence, [0.99, np.nan, 0.5], atol=1e-6)
  assert np.isnan(found.proposed_cosine).all()


def make_suspects(verdict, confidence):
  count = len(verdict)
  nothing = np.full(count, np.nan, np.float32)
  zeros = np.zeros(count, np.int32)
  return suspects.Suspects(
    *(np.arange(count), np.array(verdict, np.int8), zeros, nothing, nothing),
    *(np.array(confidence, np.float32), zeros, zeros),
  )


def test_what_is_looked_at_is_balanced_and_has_the_doubtful():
  rng = np.random.default_rng(0)
  verdict = np.repeat([0, 1, 2], [900, 10, 90])
  confidence = rng.random(1000)
  found = make_suspects(verdict, confidence)
  given = rng.integers(0, 300, 1000).astype(np.int32)
  chosen = suspects.worth_a_look(found, given, 100)
  assert len(set(chosen.tolist())) == 100
  assert np.bincount(verdict[chosen]).tolist() == [45, 10, 45]
  # Every kind from the beginning on.
  assert set(verdict[chosen[:20]].tolist()) == {0, 1, 2}
  relabelled = chosen[verdict[chosen] == 0]
  doubtful = np.argsort(confidence[:900])[:10]
  assert set(doubtful.tolist()) <= set(relabelled.tolist())
  assert (confidence[relabelled] > 0.9).any()


def test_no_class_has_all_the_turns():
  found = make_suspects([0] * 100, np.arange(100) / 100)
  given = np.where(np.arange(100) < 90, 0, np.arange(100)).astype(np.int32)
  chosen = suspects.worth_a_look(found, given, 20)
  assert np.sum(given[chosen] == 0) < 15
  assert {*range(90, 98)} <= set(chosen.tolist())


def test_charts_of_pages_have_the_colours_of_the_page():
  sheet, axis = charts.page_chart()
  axis.plot([0, 1], color=charts.COLOURS[1], label='<b id="x">#000000')
  charts.legend(axis, 1)
  drawn = charts.svg(sheet).decode()
  assert 'var(--c1)' in drawn
  assert '#d55e00' not in drawn.lower().replace('#000000', '')
  assert '&lt;b id="x"&gt;#000000' in drawn
  assert 'xmlns' not in drawn
  assert charts.svg(sheet) == charts.svg(sheet)
