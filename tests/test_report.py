"""Reports: what is written is read back, and pages are whole and safe."""

import base64
import json
import re

import cv2
import numpy as np
import pytest

import pages
from bfjax import errors
from bfjax.evaluation import imagepairs
from bfjax.report import markdown, modelreport, resultfiles, results, tables

pytestmark = pytest.mark.slow

NAUGHTY = '<script>alert(1)</script> & "a|b"'


class Images:
  """Files in memory."""

  def __init__(self, num_rows, suffix='.jpg'):
    self.num_rows = num_rows
    self._suffix = suffix

  def name(self, row):
    return f'{NAUGHTY}/{row}.jpg'

  def read(self, rows):
    image = np.full((150, 200, 3), 90, np.uint8)
    return [
      cv2.imencode(self._suffix, np.uint8(image + r % 50))[1].tobytes()
      for r in rows
    ]


def make_pairs(seed=0, folds=10):
  rng = np.random.default_rng(seed)
  left, right = rng.integers(0, 60, (2, 100))
  return imagepairs.Pairs(Images(60), left, right, left % 3 == right % 3, folds)


def make_record(name, quality=1.0, benchmark=None, absent=(), **others):
  """A model that knows a third of what there is to know, or more."""
  benchmark = benchmark or make_pairs()
  rng = np.random.default_rng(int(100 * quality))
  features = rng.normal(size=(60, 2, 12)).astype(np.float32)
  features[np.arange(60), :, np.arange(60) % 3] += 3 * quality
  found = {'lfw': results.found(benchmark, benchmark.analyse(features))}
  about = {
    'model': {'source': {'workdir': f'/runs/{name}', 'step': 7}},
    'date': '2030-01-02',
    'command': NAUGHTY,
    'versions': {'jax': '1'},
  }
  return results.Evaluation(
    name, about, found | others, {x: f'no {x}' for x in absent}
  )


def rank_found():
  """A benchmark of another kind, without outcomes or images."""
  curve = results.Curve(
    np.arange(1.0, 5), np.arange(4) / 4, 'rank', 'share', log_x=False
  )
  analysis = results.Analysis(
    {'rank1': 0.5, 'mean_threshold': 0.25, 'empty': float('nan')},
    {'CMC': curve},
  )
  return results.Found('search', ('rank1',), 0, '', analysis)


def test_a_record_is_read_as_it_was_written(tmp_path):
  one = make_record('mine', absent=['cfp_fp'], megaface=rank_found())
  resultfiles.write(tmp_path, one)
  back = resultfiles.read(tmp_path)
  assert back.name == 'mine'
  assert back.absent == {'cfp_fp': 'no cfp_fp'}
  assert back.about == one.about
  for name, found in one.found.items():
    other = back.found[name]
    assert other[:4] == found[:4]
    jax_free = other.analysis
    np.testing.assert_equal(jax_free.scores, dict(found.analysis.scores))
    np.testing.assert_equal(
      {k: x._asdict() for k, x in jax_free.curves.items()},
      {k: x._asdict() for k, x in found.analysis.curves.items()},
    )
    np.testing.assert_equal(
      {k: x._asdict() for k, x in jax_free.histograms.items()},
      {k: x._asdict() for k, x in found.analysis.histograms.items()},
    )
    assert jax_free.examples == found.analysis.examples
    assert jax_free.outcomes.keys() == found.analysis.outcomes.keys()
    for score, outcomes in found.analysis.outcomes.items():
      assert jax_free.outcomes[score].score() == outcomes.score()


def test_results_are_plain_json_with_protocols_and_intervals(tmp_path):
  one = make_record('mine', absent=['cfp_fp'], megaface=rank_found())
  resultfiles.write(tmp_path, one)
  text = (tmp_path / 'results.json').read_text()
  written = json.loads(text, parse_constant=pytest.fail)
  accuracy = one.found['lfw'].analysis.scores['boundaryface/accuracy']
  assert written['scores']['lfw/boundaryface/accuracy'] == accuracy
  assert written['scores']['megaface/empty'] is None
  lfw = written['benchmarks']['lfw']
  low, high = lfw['intervals']['boundaryface/accuracy']
  assert low < accuracy < high
  assert '10 contiguous folds' in lfw['protocol']
  assert written['absent'] == {'cfp_fp': 'no cfp_fp'}
  data = json.loads((tmp_path / 'results' / 'lfw.json').read_text())
  assert len(data['curves']['ROC, boundaryface']['x']) > 3
  names = {path.name for path in (tmp_path / 'results').glob('*.png')}
  assert names == {
    'lfw_ROC_boundaryface.png',
    'lfw_ROC_insightface.png',
    'lfw_scores_boundaryface.png',
    'lfw_scores_insightface.png',
    'megaface_CMC.png',
  }


def test_nothing_of_an_evaluation_before_is_left(tmp_path):
  resultfiles.write(tmp_path, make_record('mine', megaface=rank_found()))
  (tmp_path / 'results' / 'notes.txt').write_text('mine')
  resultfiles.write(tmp_path, make_record('mine'))
  names = {path.name.split('_')[0] for path in (tmp_path / 'results').iterdir()}
  assert names == {'lfw', 'lfw.json', 'notes.txt', 'outcomes.npz'}


def test_what_is_no_results_file_is_refused(tmp_path):
  with pytest.raises(errors.UserError, match='--mode=eval'):
    resultfiles.read(tmp_path)
  (tmp_path / 'results.json').write_text('{"format": "other"}')
  with pytest.raises(errors.UserError, match='not a bfjax-results file'):
    resultfiles.read(tmp_path)


def test_the_table_is_laid_out_as_the_papers():
  found = make_record('mine').found['lfw']
  one = make_record(
    'mine',
    absent=['cfp_fp', 'tinyface'],
    own=found,
    megaface=rank_found(),
    rfw_african=found,
    agedb_30=found,
  )
  shown = tables.of_models([one])
  assert shown.headings == [
    'model',
    'protocol',
    'LFW',
    'AgeDB-30',
    'CFP-FP',
    'RFW African',
    'MegaFace rank1',
    'TinyFace',
    'own',
  ]
  assert [row[:2] for row in shown.rows] == [
    ('mine', 'boundaryface'),
    ('mine', 'insightface'),
  ]
  texts = [[cell.text for cell in row[2:]] for row in shown.rows]
  assert texts[0][2] == texts[0][5] == 'absent'
  assert (texts[0][4], texts[1][4]) == ('50.00', '')
  accuracy = found.analysis.scores['insightface/accuracy']
  assert texts[1][0] == f'{100 * accuracy:.2f}'
  lines = markdown.of_table(shown).splitlines()
  assert len(lines) == 4
  assert {line.count('|') for line in lines} == {10}


def test_the_page_is_one_whole_file_that_fetches_nothing(tmp_path):
  one = make_record('mine', absent=['cfp_fp'], megaface=rank_found())
  text = modelreport.write(tmp_path, one, {'lfw': Images(60), 'megaface': None})
  parsed = pages.parse(tmp_path / 'results.html')
  assert parsed.tags.count('svg') == 5
  assert parsed.tags.count('img') == 2 * len(one.found['lfw'].analysis.examples)
  assert all(x.startswith(('data:image/', '#')) for x in parsed.sources)
  assert 'script' not in parsed.tags
  assert '<script>alert(1)</script>' in parsed.text
  raw = (tmp_path / 'results.html').read_text()
  assert not re.search(r'https?:|url\((?!#)|@import', raw)
  assert 'width=device-width' in raw
  assert 'prefers-color-scheme: dark' in raw
  for shown in ('Protocol: 100 pairs', 'absent', 'no cfp_fp', '2030-01-02'):
    assert shown in parsed.text
    assert shown in text
  jpeg = next(x for x in parsed.sources if 'jpeg' in x)
  pixels = np.frombuffer(base64.b64decode(jpeg.split(',')[1]), np.uint8)
  assert cv2.imdecode(pixels, cv2.IMREAD_COLOR).shape == (84, 112, 3)


def test_the_best_of_several_is_bold_with_intervals(tmp_path):
  several = [make_record('weak', 0.3), make_record('strong', 0.9)]
  modelreport.compare(tmp_path, several)
  shown = tables.of_models(several)
  weak, strong = shown.rows[0][2], shown.rows[2][2]
  assert strong.best
  assert not weak.best
  assert weak.margin.startswith('-')
  text = (tmp_path / 'comparison.md').read_text()
  assert f'**{strong.text}** [{strong.interval}]' in text
  assert f'**{weak.text}**' not in text
  parsed = pages.parse(tmp_path / 'comparison.html')
  assert parsed.tags.count('strong') == 2  # one a protocol
  assert parsed.tags.count('svg') == 2  # their curves
  written = json.loads((tmp_path / 'comparison.json').read_text())
  best = [x['model'] for x in written['cells'] if x['best']]
  assert best == ['strong'] * 2
  assert written['protocols'] == {'LFW': several[0].found['lfw'].protocol}
  assert (tmp_path / 'LFW_ROC_boundaryface.png').exists()


def test_a_comparison_says_once_what_all_models_have_in_common(tmp_path):
  several = [make_record('one'), make_record('two')]
  for one, m in zip(several, (0.3, 0.5), strict=True):
    one.about[results.CONFIG] = {'seed': 1, 'head.m': m}
  text = modelreport.compare(tmp_path, several)
  assert '- config.head.m: 0.5' in text
  assert 'config.seed' not in text
  (common,) = re.findall(r'what all have in common:\n\n(.*)', text, re.DOTALL)
  assert 'date: 2030-01-02' in common
  assert text.count('2030-01-02') == 1
  assert '- model.source.workdir: /runs/one' in text
  assert text.count('- model.source.step: 7') == 1
  parsed = pages.parse(tmp_path / 'comparison.html')
  assert parsed.text.count('2030-01-02') == 1


def test_a_training_that_went_wrong_is_noted_at_the_table(tmp_path):
  good, bad = make_record('good'), make_record('bad')
  bad.about[results.TRAINING] = 'collapsed in epoch 4'
  said = 'bad: its training collapsed in epoch 4.'
  assert said in modelreport.write(tmp_path, bad, {})
  assert said in pages.parse(tmp_path / 'results.html').text
  assert said in modelreport.compare(tmp_path, [good, bad])
  assert said in pages.parse(tmp_path / 'comparison.html').text


def test_equally_good_models_are_both_the_best():
  one = make_record('one')
  shown = tables.of_models([one, one._replace(name='two')])
  assert [row[2].best for row in shown.rows] == [True] * 4


def test_what_cannot_be_compared_is_refused(tmp_path):
  one = make_record('one')
  with pytest.raises(errors.UserError, match='one name'):
    modelreport.compare(tmp_path, [one, one])
  other = make_record('two', benchmark=make_pairs(folds=5))
  with pytest.raises(errors.UserError, match=r'LFW of one .*two.*protocol'):
    modelreport.compare(tmp_path, [one, other])
  found = one.found['lfw']._replace(images_sha256='other')
  other = one._replace(name='two', found={'lfw': found})
  with pytest.raises(errors.UserError, match='the images differ'):
    modelreport.compare(tmp_path, [one, other])


def test_a_benchmark_that_only_some_have(tmp_path):
  several = [make_record('one', megaface=rank_found()), make_record('two')]
  text = modelreport.compare(tmp_path, several)
  assert 'MegaFace rank1' in text
  shown = tables.of_models(several)
  cells = [row[3] for row in shown.rows]
  assert [cell.text for cell in cells] == ['50.00', '', '-', '']
  assert not any(cell.best for cell in cells)


def test_examples_without_images_are_told_by_their_names(tmp_path):
  one = make_record('mine')
  modelreport.write(tmp_path, one, {'lfw': None})
  parsed = pages.parse(tmp_path / 'results.html')
  assert parsed.tags.count('svg') == 4
  assert 'img' not in parsed.tags
  row, name = one.found['lfw'].analysis.examples[0].images[0]
  assert name == f'{NAUGHTY}/{row}.jpg'
  assert name in parsed.text


def test_an_image_that_cannot_be_shown_spoils_no_report(tmp_path):
  class Broken(Images):
    def read(self, rows):
      return [b'no image' for _ in rows]

  modelreport.write(tmp_path, make_record('mine'), {'lfw': Broken(60)})
  assert pages.parse(tmp_path / 'results.html').tags.count('img') > 4
