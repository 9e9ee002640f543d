"""List files: read in blocks as line by line, whatever is in them."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfjax import errors, text
from bfjax.data import lists

BLANK = st.sampled_from([b' ', b'  ', b'\t', b' \t ', b'\v', b'\f', b'\r'])
NAME = st.sampled_from(
  [b'a', b'b/1.jpg', b'one two', b'caf\xc3\xa9', b'\xff\xfe', b'x' * 300]
)
LABEL = st.sampled_from(
  [b'0', b'7', b'007', b'85741', b'9' * 18, b'-1', b'1.0', b'nan', b'9' * 19]
)
GOOD_LINE = st.builds(
  lambda *parts: b''.join(parts),
  *(st.one_of(st.just(b''), BLANK), NAME, BLANK, LABEL.filter(bytes.isdigit)),
  *(st.one_of(st.just(b''), BLANK), st.sampled_from([b'\n', b'\r\n', b'\n\n'])),
)
ANY_LINE = st.one_of(
  GOOD_LINE,
  st.builds(lambda *parts: b''.join(parts), NAME, BLANK, LABEL, BLANK),
  st.sampled_from(
    [b'\n', b'  \n', b'alone\n', b'a\0b 1\n', b'5', b'\xef\xbb\xbf']
  ),
)


def _line_by_line(path):
  try:
    lines = list(lists.parse_lines(path))
  except errors.UserError as error:
    return str(error)
  return [name for _, name, _ in lines], [label for _, _, label in lines]


def _in_blocks(path):
  try:
    found = lists.read(path)
  except errors.UserError as error:
    return str(error)
  return list(found.names.all_encoded()), found.labels.tolist()


@pytest.mark.parametrize('line, count', [(GOOD_LINE, 200), (ANY_LINE, 200)])
def test_blocks_give_what_single_lines_give(
  tmp_path_factory, monkeypatch, line, count
):
  path = str(tmp_path_factory.mktemp('lists') / 'list.txt')
  seen = []

  @settings(max_examples=count, deadline=None)
  @given(
    st.lists(line, max_size=12),
    st.sampled_from([5, 64, 1 << 22]),
    st.booleans(),
  )
  def check(parts, block_bytes, mark):
    monkeypatch.setattr(lists, '_BLOCK_BYTES', block_bytes)
    with open(path, 'wb') as file:
      file.write(b'\xef\xbb\xbf' * mark + b''.join(parts))
    found = _in_blocks(path)
    assert found == _line_by_line(path)
    seen.append(type(found))

  check()
  assert tuple in seen and (line is GOOD_LINE or str in seen)


@pytest.mark.parametrize('filling', [b'x', b' ', b'a 1 ', b'\0', b'\xff'])
def test_a_line_without_end_is_refused_at_once(tmp_path, filling):
  path = tmp_path / 'list.txt'
  path.write_bytes(b'good.jpg 1\n' + filling * (10_000_000 // len(filling)))
  for read in (lists.read, lambda x: list(lists.parse_lines(x))):
    with pytest.raises(
      errors.UserError, match='more than 65536 bytes'
    ) as caught:
      read(str(path))
    assert str(caught.value).startswith(f'{path}:2: the line ')
    assert len(str(caught.value)) < 2000


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
  pipe = tmp_path / 'pipe.txt'
  os.mkfifo(pipe)
  with pytest.raises(errors.UserError, match=r'pipe.txt: it is .* a pipe'):
    lists.read(str(pipe))


def test_the_line_of_a_row_is_found(tmp_path):
  path = tmp_path / 'list.txt'
  path.write_text('a 0\n\n\nb 1\n')
  assert [text.line_number(path, row) for row in (0, 1)] == [1, 4]


def test_a_list_in_a_folder_that_is_not_utf8_can_be_named(tmp_path):
  path = str(tmp_path) + '/n\udcff.txt'
  with pytest.raises(errors.UserError) as caught:
    lists.read(path)
  assert r'n\xff.txt' in str(caught.value)
  with open(path, 'wb') as file:
    file.write(b'alone\n')
  with pytest.raises(errors.UserError) as caught:
    lists.read(path)
  assert str(caught.value).encode('utf-8').startswith(str(tmp_path).encode())


def test_labels_are_read_exactly(tmp_path):
  path = tmp_path / 'list.txt'
  labels = [0, 9, 10, 2**31 - 1, 2**53 + 1, 10**18 - 1]
  path.write_text(''.join(f'{i} {x}\n' for i, x in enumerate(labels)))
  found = lists.read(str(path)).labels
  assert found.dtype == np.int64 and found.tolist() == labels
