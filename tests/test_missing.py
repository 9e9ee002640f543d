"""Lists none of whose files are there: what is said instead of their names."""

import pytest

from bfjax import errors
from bfjax.data import files
from bfjax.data.sources import imagelist
from bfjax.evaluation.benchmarks import pairs

NAMES = [f'p{i // 3}/{i}.jpg' for i in range(20)]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """A folder in a folder, with all images but the second."""
  root = tmp_path_factory.mktemp('sets') / 'casia'
  for name in NAMES[:1] + NAMES[2:]:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b'x')
  return root


@pytest.mark.parametrize(
  'change, below, message',
  [
    (lambda x: x, '..', r'data\.root=\S*/casia in'),
    (lambda x: f'casia/{x}', '', r'data\.root=\S*sets\d+ in'),
    (
      lambda x: f'imgs/{x}',
      '',
      r"without imgs/ in front.* sed 's\|\^imgs/\|\|'",
    ),
    (lambda x: f'/home/me/{x}', '', 'without /home/me/ in front'),
    (lambda x: f'D:\\{x}'.replace('/', '\\'), '', 'tr .* without D:/ in'),
    (str.upper, '', r'There is p0/0\.jpg: upper and lower case'),
    (lambda x: x.replace('jpg', 'png'), '', r'There is p0/0\.jpg: .*endings'),
  ],
)
def test_what_explains_it_is_said(
  root, tmp_path, change, below, message, caplog
):
  path = tmp_path / 'list.txt'
  path.write_text(''.join(f'{change(name)} 3\n' for name in NAMES))
  options = {'root': str(root / below), 'list': str(path)}
  with pytest.raises(errors.UserError, match=message) as caught:
    imagelist.build(**options)
  assert 'None of the first images is there' in str(caught.value)
  assert imagelist.build(check='none', **options).num_rows == 20
  assert str(caught.value) in caplog.text


def test_pair_lists_say_so_too(root, tmp_path):
  windows = [name.replace('/', '\\') for name in NAMES]
  lines = zip(windows[::2], windows[1::2], '10' * 5, strict=True)
  (tmp_path / 'pairs.txt').write_text(
    ''.join('\t'.join(x) + '\n' for x in lines)
  )
  with pytest.raises(
    errors.UserError, match=r'pairs\.txt:1: .*Write slashes for'
  ):
    pairs.build(root=str(root), pairs=str(tmp_path / 'pairs.txt'), folds=2)


def test_some_missing_files_need_no_explanation(root):
  images = files.ImageFiles(NAMES, root)
  assert images.why_absent() == ''
  with pytest.raises(errors.UserError, match='1 of 20 images cannot be used'):
    images.check_exist()
  strangers = files.ImageFiles(['x/y.jpg', 'z'], root)
  with pytest.raises(errors.UserError, match='2 of 2 images cannot be used'):
    strangers.check_exist()
