"""What the info tool tells of sets whose contents are known."""

import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from bfjax.data.inspection import inspection
from bfjax.data.packs import packs
from bfjax.data.sources import imagelist
from tests import records

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


def inspect(faces, **options):
  source = imagelist.build(
    root=str(faces), list='list.txt', truth='truth.txt', check='none'
  )
  return inspection.inspect(source, **{'sample': 0, **options})


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

  seen = inspection.inspect(Source(), sample=1)
  equal = [[j for j in range(200) if content[j] == c] for c in content]
  groups = [g for i, g in enumerate(equal) if len(g) > 1 and g[0] == i]
  across = [g for g in groups if len({Source.labels[i] for i in g}) > 1]
  assert seen.duplicates['groups'] == len(groups)
  assert seen.across_classes == across
  assert seen.label_gaps == {}


def test_the_tool_tells_people_and_machines(faces, tmp_path):
  run = tool(
    *('--root', faces, faces / 'list.txt', '--picture', tmp_path / 'info.png'),
    *('--duplicates-out', tmp_path / 'equal.tsv'),
  )
  assert run.returncode == 0, run.stderr
  for line in (
    '8 images of 3 classes',
    'Labels: 5 of 0 .. 7 have no image',
    'Unreadable: 1\n  2_1.jpg: truncated or corrupt JPEG',
    '0_1.jpg [0]  =  7_0.jpg [7]',
    '--config.data.list=',
    '--config.data.on_error=skip',
    '--config.data.check=none',
  ):
    assert line in run.stdout
  assert cv2.imread(str(tmp_path / 'info.png')).std() > 10
  rows = (tmp_path / 'equal.tsv').read_text().splitlines()
  assert rows[1:] == ['0\t1\t0_1.jpg\t0', '0\t7\t7_0.jpg\t7']
  run = tool('--root', faces, faces / 'list.txt', '--json')
  report = json.loads(run.stdout)
  assert (report['format'], report['images'], report['classes']) == (
    'list',
    8,
    3,
  )
  assert report['duplicates']['groups_across_classes'] == 1


def test_damaged_records_are_left_out_and_counted(tmp_path):
  labels = [0.0, 1.0, float('nan'), 1.0]
  images = [records.jpeg(i) for i in range(4)]
  records.write(tmp_path, zip(range(4), labels, images, strict=True))
  run = tool(tmp_path, '--json')
  report = json.loads(run.stdout)
  assert (report['images'], report['left_out']) == (3, 1)
  assert report['config'][-1] == '--config.data.on_error=skip'
  assert 'key 2' in run.stderr


def test_the_tool_tells_of_packs(faces, tmp_path):
  images = [(faces / f'0_{i}.jpg').read_bytes() for i in range(4)]
  packs.write(tmp_path / 'lfw.bin', images, [True, False])
  report = json.loads(tool(tmp_path / 'lfw.bin', '--json').stdout)
  assert (report['pairs'], report['pairs_of_one_person']) == (2, 1)
  assert report['sizes'] == {'16 x 16': 4}


def test_the_tool_refuses_what_is_no_data_set(tmp_path):
  run = tool(tmp_path / 'none')
  assert run.returncode == 2
  assert run.stderr.startswith('info: There is nothing at')
