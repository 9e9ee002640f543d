"""What the info tool tells of sets whose contents are known."""

import ast
import importlib.util
import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from bfjax import configfile, errors, recipes
from bfjax.data.sources import imagelist
from bfjax.datasets.inspection import census, looking
from bfjax.evaluation.benchmarks import pairs
from bfjax.formats import packs
from tests import records

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module')
def faces(tmp_path_factory):
  """Labels 0, 2, 7: 5, 2 and 1 images; one twice, one grey, one broken."""
  root = tmp_path_factory.mktemp('faces')
  rng = np.random.default_rng(0)
  lines = []
  for label, count in ((0, 5), (2, 2), (7, 1)):
    for i in range(count):
      name = f'{label}_{i}.jpg'
      pixels = rng.integers(0, 255, [16, 16, 3], np.uint8)
      if name == '0_4.jpg':
        pixels = cv2.resize(pixels[:, :, 0], (20, 12))
      cv2.imwrite(str(root / name), pixels)
      lines.append(f'{name}  {label}\n')
  (root / '7_0.jpg').write_bytes((root / '0_1.jpg').read_bytes())
  (root / '0_3.jpg').write_bytes((root / '0_2.jpg').read_bytes())
  (root / '2_1.jpg').write_bytes((root / '2_1.jpg').read_bytes()[:200])
  (root / 'list.txt').write_text(''.join(lines))
  (root / 'truth.txt').write_text('7_0.jpg  0\n')
  return root


def tool(*arguments):
  command = [sys.executable, ROOT / 'tools' / 'info.py', *map(str, arguments)]
  return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope='module')
def info():
  """The tool as a module, which takes no second to start."""
  path = ROOT / 'tools' / 'info.py'
  spec = importlib.util.spec_from_file_location('info_tool', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def said(info, capsys):
  """(arguments) -> what the tool prints."""

  def run(*arguments):
    info.main(info.parse_arguments([str(x) for x in arguments]))
    return capsys.readouterr().out

  return run


@pytest.fixture
def report(said):
  """(arguments) -> what it prints as JSON."""
  return lambda *arguments: json.loads(said(*arguments, '--json'))


def people(root, counts):
  """Writes a folder of so many images for each person."""
  for name, count in counts.items():
    (root / name).mkdir(parents=True)
    for i in range(count):
      path = root / name / f'{name.strip()}_{i:04d}.jpg'
      path.write_bytes(records.jpeg(hash((name, i)) % 2**32, size=16))


def inspect(faces, **options):
  source = imagelist.build(
    root=str(faces), list='list.txt', truth='truth.txt', check='none'
  )
  return census.take(source, **{'sample': 0, **options})


def test_counts_labels_sizes_and_modes(faces):
  seen = inspect(faces)
  assert (seen.images, seen.classes, seen.wrong_labels) == (8, 3, 1)
  assert seen.per_class == {'fewest': 1, 'median': 2, 'mean': 8 / 3, 'most': 5}
  assert seen.histogram == [(1, 1, 1), (2, 3, 1), (4, 7, 1)]
  assert seen.label_gaps == {
    'largest': 7,
    'missing': 5,
    'first': [1, 3, 4, 5, 6],
  }
  assert seen.sizes == {'16 x 16': 6, '20 x 12': 1}
  assert seen.modes == {'JPEG RGB': 6, 'JPEG L': 1}


def test_finds_broken_and_equal_images(faces):
  seen = inspect(faces)
  assert seen.unreadable['images'] == 1
  assert seen.unreadable['first'][0][0] == '2_1.jpg'
  assert seen.duplicates == {
    'groups': 2,
    'images': 4,
    'groups_across_classes': 1,
    'images_across_classes': 2,
  }
  assert seen.across_classes == [[1, 7]]


def test_a_sample_is_decoded_and_everything_compared(faces):
  seen = inspect(faces, sample=3)
  assert (seen.decoded, sum(seen.sizes.values()), seen.read) == (3, 3, 8)
  assert seen.across_classes == [[1, 7]]
  assert inspect(faces, sample=3, compare=False).read == 3


def test_equal_images_are_found_as_by_comparing_all_pairs():
  rng = np.random.default_rng(0)
  content = [bytes([value]) * 9 for value in rng.integers(0, 60, 200)]

  class Source:
    num_rows, num_classes, true_labels = 200, 5, None
    labels = rng.integers(0, 5, 200).astype(np.int32)
    class_names = ('a', 'b', 'c', 'd', 'e')

    def read(self, rows):
      return [content[row] for row in rows]

    def name(self, row):
      return str(row)

    path = name

  seen = census.take(Source(), sample=1)
  equal = [[j for j in range(200) if content[j] == c] for c in content]
  groups = [g for i, g in enumerate(equal) if len(g) > 1 and g[0] == i]
  across = [g for g in groups if len({Source.labels[i] for i in g}) > 1]
  assert seen.duplicates['groups'] == len(groups)
  assert seen.across_classes == across
  assert seen.label_gaps == {}


def test_the_tool_tells_people_and_machines(said, report, faces, tmp_path):
  text = said(
    *('--root', faces, faces / 'list.txt', '--picture', tmp_path / 'info.png'),
    *('--duplicates-out', tmp_path / 'equal.tsv'),
  )
  for line in (
    '8 images of 3 classes',
    'Labels: 5 of 0 .. 7 have no image',
    'Unreadable: 1\n  2_1.jpg: truncated or corrupt JPEG',
    '0_1.jpg [0]  =  7_0.jpg [7]',
    '--config.data.list=',
    '--config.data.on_error=skip',
    '--config.data.check=none',
  ):
    assert line in text
  assert cv2.imread(str(tmp_path / 'info.png')).std() > 10
  rows = (tmp_path / 'equal.tsv').read_text().splitlines()
  assert rows[1:] == ['0\t1\t0_1.jpg\t0', '0\t7\t7_0.jpg\t7']
  found = report('--root', faces, faces / 'list.txt')
  assert (found['format'], found['images'], found['classes']) == ('list', 8, 3)
  assert found['duplicates']['groups_across_classes'] == 1


def test_damaged_records_are_left_out_and_counted(report, caplog, tmp_path):
  labels = [0.0, 1.0, float('nan'), 1.0]
  images = [records.jpeg(i) for i in range(4)]
  records.write(tmp_path, zip(range(4), labels, images, strict=True))
  found = report(tmp_path)
  assert (found['images'], found['left_out']) == (3, 1)
  assert found['config'][-1] == '--config.data.on_error=skip'
  assert 'key 2' in caplog.text


def test_the_tool_tells_of_packs(report, faces, tmp_path):
  images = [(faces / f'0_{i}.jpg').read_bytes() for i in range(4)]
  packs.write(tmp_path / 'lfw.bin', images, [True, False])
  found = report(tmp_path / 'lfw.bin')
  assert (found['pairs'], found['pairs_of_one_person']) == (2, 1)
  assert found['images'] == 3  # 0_2 is 0_3
  assert found['sizes'] == {'16 x 16': 3}


def test_the_command_prints_and_refuses_what_is_no_data_set(faces, tmp_path):
  run = tool('--root', faces, faces / 'list.txt', '--json')
  assert run.returncode == 0, run.stderr
  assert json.loads(run.stdout)['images'] == 8
  run = tool(tmp_path / 'none')
  assert run.returncode == 2
  assert run.stderr.startswith('info: There is nothing at')


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_sizes_are_as_decoded(tmp_path, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.new('RGB', (20, 12)).save(tmp_path / 'a.jpg', exif=exif)
  files = imagelist.files.ImageFiles(['a.jpg'], tmp_path)
  seen = looking.look(files, sample=0, compare=True)
  assert seen.looks.sizes == {'12 x 20' if orientation > 4 else '20 x 12': 1}


def test_classes_without_a_readable_image_are_named(said, tmp_path):
  people(tmp_path, {'anna': 3, 'bert': 2, 'carl': 3, 'dora': 8})
  for path in (tmp_path / 'bert').iterdir():
    path.write_bytes(b'GIF89a')
  (tmp_path / 'carl' / 'carl_0001.jpg').write_bytes(b'')
  text = said(tmp_path)
  assert 'Classes without a readable image: 1 (bert)' in text
  # 3 of 16 are more than the tenth that a run skips.
  assert '--config.data.max_skipped=0.3' in text


def test_a_list_is_tried_in_other_folders_before_it_is_given_up(
  said, report, tmp_path
):
  people(tmp_path / 'my faces', {'anna': 2, 'bert': 2})
  (tmp_path / 'list').mkdir()
  path = tmp_path / 'list' / 'train.txt'
  path.write_text('anna/anna_0000.jpg 0\nbert/bert_0001.jpg 1\n')
  found = report(path, '--root', tmp_path)
  assert 'None of 2 images can be read' in found['problem']
  root = f"--root '{tmp_path}/my faces'"
  assert found['config'] == [f'python tools/info.py {root} {path}']
  text = said(path)
  assert 'give the right folder as --root' in text
  assert 'bfjax.main' not in text


def test_one_class_is_no_set_to_train_on(report, tmp_path):
  people(tmp_path / 'train', {'anna': 2, 'bert': 2})
  found = report(tmp_path)
  assert 'one class' in found['problem']
  assert found['config'] == [f'python tools/info.py {tmp_path}/train']
  assert report(tmp_path / 'train')['problem'] == ''
  (tmp_path / 'list.txt').write_text('train/anna/anna_0000.jpg 5\n')
  assert 'last word' in report(tmp_path / 'list.txt')['problem']


def test_the_readable_part_of_a_broken_set_becomes_a_set(report, tmp_path):
  people(tmp_path / 'faces', {'anna': 4, 'bert': 4})
  lines = [
    f'{n}/{n}_{i:04d}.jpg {i % 2}\n'
    for n in ('anna', 'bert', 'carl')
    for i in range(4)
  ]
  for i in (0, 1, 2):
    (tmp_path / 'faces' / 'anna' / f'anna_{i:04d}.jpg').write_bytes(b'no')
  (tmp_path / 'faces' / 'train.txt').write_text(''.join(lines))
  found = report(tmp_path / 'faces')
  assert found['problem'].startswith('58% of the images cannot be read')
  [command] = found['config']
  command = command.replace('python', sys.executable, 1)
  out = str(tmp_path / 'readable')
  subprocess.run(
    command.replace('READABLE', out),
    shell=True,
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  assert report(out)['problem'] == ''
  assert report(out)['images'] == 5


@pytest.mark.parametrize('lines', [
  '2\nanna 0 1\nanna 1 2\nanna 1 bert 0\nanna 2 bert 1\n',
  'anna 0 1\nanna 1 2\nanna 1 bert 0\nanna 2 bert 1\n',
  'anna/anna_0000.jpg anna/anna_0001.jpg 1\n'
  'anna/anna_0001.jpg bert/bert_0000.jpg -1\n'
  'anna/anna_0001.jpg anna/anna_0002.jpg 1\n'
  'anna/anna_0002.jpg bert/bert_0001.jpg 0\n',
])  # fmt: skip
def test_a_list_of_pairs_is_told_as_one(report, tmp_path, lines):
  people(tmp_path / 'faces', {'anna': 3, 'bert': 2})
  path = tmp_path / 'pairs.txt'
  path.write_text(lines)
  found = report(path, '--root', tmp_path / 'faces')
  assert found['format'] == 'pairs'
  assert (found['pairs'], found['pairs_of_one_person']) == (4, 2)
  assert (found['images'], found['problem']) == (5, '')
  assert found['config'][1:] == [
    '--config.eval.benchmarks="(\'own\',)"',
    f'--config.benchmarks.own.root={tmp_path}/faces',
    f'--config.benchmarks.own.pairs={path}',
    '--config.benchmarks.own.folds=4',  # ten there cannot be
  ]
  assert 'give the right folder' not in report(path)['problem']
  assert report(path)['config'] == [
    f'python tools/info.py --root {tmp_path}/faces {path}'
  ]


def test_pairs_that_no_number_of_folds_divides_have_other_lines(
  report, tmp_path
):
  people(tmp_path, {'anna': 14, 'bert': 1})
  for path in tmp_path.glob('*/*.jpg'):
    path.rename(path.with_suffix('.png'))
  (tmp_path / 'pairs.txt').write_text(
    ''.join(f'anna 0 {i}\n' for i in range(1, 13)) + 'anna 13 bert 0\n'
  )
  found = report(tmp_path / 'pairs.txt')
  options = {'suffix': '.png', 'protocols': "('insightface',)"}
  assert (found['problem'], found['options']) == ('', options)
  benchmark = pairs.build(root=str(tmp_path), pairs='pairs.txt', **{
    **options, 'protocols': ast.literal_eval(options['protocols']),
  })  # fmt: skip
  assert len(benchmark.same) == 13
  (tmp_path / 'pairs.txt').write_text('anna 0 1\nanna 0 2\n')
  assert 'of one kind' in report(tmp_path / 'pairs.txt')['problem']


def test_paths_with_blanks_are_no_pairs(report, tmp_path):
  people(tmp_path, {'my anna': 1, 'bert': 1})
  path = tmp_path / 'train.txt'
  path.write_text('my anna/my anna_0000.jpg 1\nbert/bert_0000.jpg 0\n')
  found = report(path)
  assert (found['format'], found['images']) == ('list', 2)


@pytest.mark.parametrize(('num_images', 'device', 'config'), [
  (1_000, 'cpu', 'small.py:1000'),
  (500_000, 'cpu', 'small.py:500000'),
  (100_000, 'gpu', 'small.py:100000'),
  (455_000, 'gpu', 'casia_noisy.py'),
  (5_000_000, 'gpu', 'ms1m.py'),
])  # fmt: skip
def test_the_config_is_for_the_size_and_the_device(num_images, device, config):
  recipe = recipes.recommend(num_images, device)
  assert recipe.config == f'configs/{config}'
  path = ROOT / 'configs' / config
  epochs = configfile.load(str(path)).epochs
  # No device trains a million images a second, or one a second.
  assert num_images * epochs / 1e6 < recipe.secs < num_images * epochs


def test_a_gpu_is_one_that_jax_can_use(monkeypatch):
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  monkeypatch.setattr(recipes.glob, 'glob', lambda _: ['/dev/nvidia0'])
  plugins = []
  monkeypatch.setattr(
    recipes.runtime.importlib.metadata, 'entry_points', lambda group: plugins
  )
  assert recipes.find_device() == 'cpu'
  assert "pip install -e '.[cuda]'" in recipes.recommend(1000).time
  plugins.append('cuda')
  assert recipes.find_device() == 'gpu'
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  assert recipes.find_device() == 'cpu'
  monkeypatch.delenv('JAX_PLATFORMS')
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  assert recipes.find_device() == 'cpu'


def test_an_unknown_device_is_refused():
  with pytest.raises(errors.UserError, match='cpu, gpu'):
    recipes.recommend(1000, 'abacus')


def test_the_printed_command_trains(said, tmp_path):
  root = tmp_path / 'my faces'
  people(root, {'anna': 8, 'bert': 8})
  lines = [
    f'{n}/{n}_{i:04d}.jpg {k}\n'
    for k, n in enumerate(('anna', 'bert'))
    for i in range(8)
  ]
  (root / 'train.txt').write_text(''.join(lines))
  (root / 'flips.txt').write_text('bert/bert_0007.jpg 0\n')
  text = said('--truth', root / 'flips.txt', root, '--device', 'cpu')
  assert 'Known wrong labels: 1' in text
  assert 'about 1 minute on' in text
  command = text[text.index('  python -m bfjax.main') :].strip()
  assert command.startswith('python -m bfjax.main --config=configs/small.py:16')
  command = command.replace('WORKDIR', str(tmp_path / 'run'))
  done = subprocess.run(
    command.replace('python', sys.executable, 1)
    + ' --config.epochs=1 --config.data.image_size=16'
    ' --config.backbone.widths="(8,8)" --config.backbone.blocks="(1,)"'
    ' --config.backbone.embedding_dim=8',
    shell=True,
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  scores = (tmp_path / 'run' / 'metrics.jsonl').read_text()
  assert '"corrections/wrong_labels": 0.0625' in scores  # the truth is known
