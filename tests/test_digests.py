"""Whatever happens to a file of a folder with digests is noticed."""

import hashlib
import os
import pathlib

import pytest

import damages
from bfjax.storage import digests


@pytest.fixture
def folder(tmp_path):
  """Two files, and a folder with digests of its own."""
  below = tmp_path / 'folder' / 'below'
  below.mkdir(parents=True)
  (below / 'deep').mkdir()
  (below / 'deep' / 'c').write_bytes(b'c' * 1000)
  digests.write(below)
  (below.parent / 'a').write_bytes(b'a')
  (below / 'b').write_bytes(bytes(range(256)))
  digests.write(below.parent)
  return below.parent


def test_lists_are_as_sha256sum_writes_them(folder):
  assert digests.problems(folder) == []
  text = (folder / 'below' / 'sha256sums').read_text()
  assert text == f'{hashlib.sha256(b"c" * 1000).hexdigest()}  deep/c\n'
  lines = (folder / 'sha256sums').read_text().splitlines()
  assert [line[66:] for line in lines] == ['a', 'below/b', 'below/sha256sums']


@pytest.mark.parametrize('damage', damages.ALL)
@pytest.mark.parametrize(
  'file', ['a', 'below/b', 'below/deep/c', 'below/sha256sums', 'sha256sums']
)
def test_damage_is_noticed(folder, file, damage):
  damage(folder / file)
  assert digests.problems(folder)


@pytest.mark.parametrize('file', ['below/sha256sums', 'sha256sums'])
def test_no_byte_of_a_list_can_change(folder, file):
  whole = (folder / file).read_bytes()
  for place in range(0, len(whole), 3):
    for bit in (0, 5, 7):
      changed = bytearray(whole)
      changed[place] ^= 1 << bit
      (folder / file).write_bytes(changed)
      assert digests.problems(folder), (place, bit)


def test_a_file_more_is_wrong_but_what_desktops_leave(folder):
  (folder / 'below' / '.DS_Store').write_bytes(b'')
  assert digests.problems(folder) == []
  (folder / 'below' / 'd').write_bytes(b'')
  assert digests.problems(folder) == ['below/d: not in sha256sums']


def test_what_is_wrong_is_said(folder):
  (folder / 'a').write_bytes(b'b')
  (folder / 'below' / 'b').unlink()
  assert digests.problems(folder) == [
    'below/b: missing',
    'a: not what was written',
  ]
  (folder / 'sha256sums').unlink()
  [said] = digests.problems(folder)
  assert 'no sha256sums' in said
  assert digests.problems(folder / 'nothing') == [said]


def test_what_cannot_be_opened_is_wrong(folder, monkeypatch):
  opened = pathlib.Path.open

  def refuse(path, *arguments, **options):
    if path.name == 'b':
      raise PermissionError(13, os.strerror(13), str(path))
    return opened(path, *arguments, **options)

  monkeypatch.setattr(pathlib.Path, 'open', refuse)
  assert digests.problems(folder) == [
    'below/b: cannot be read (Permission denied)'
  ]


def test_shares_together_are_the_whole(folder):
  for file in damages.files(folder):
    content = (folder / file).read_bytes()
    damages.flip(folder / file)
    assert any(digests.problems(folder, share, 3) for share in range(3))
    (folder / file).write_bytes(content)
  assert not any(digests.problems(folder, share, 3) for share in range(3))
