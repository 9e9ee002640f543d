"""Names in little memory, labels without gaps, and files of class names."""

import numpy as np
import pytest

from bfjax import errors
from bfjax.data import labelled
from bfjax.data.names import Names

ODD = ['a', '', 'n\udcff', 'caf\u00e9', 'x' * 300, 'two words']


def test_names_are_a_sequence_of_strings():
  names = Names.of(ODD)
  assert names == ODD and names == Names.of(iter(ODD))
  assert len(names) == 6 and names[2] == 'n\udcff' and names[-1] == 'two words'
  assert names[1:4:2] == ['', 'caf\u00e9']
  assert names.encoded(2) == b'n\xff'
  assert list(names.all_encoded())[2:4] == [b'n\xff', b'caf\xc3\xa9']
  assert names.arrow.to_pylist() == list(names.all_encoded())
  assert names != ODD[:5] and names != [*ODD[:5], 'other']
  with pytest.raises(IndexError):
    names[6]


def test_numbers_are_names_too():
  values = np.array([0, 7, 10**18 - 1])
  assert Names.of_numbers(values) == ['0', '7', '9' * 18]
  assert len(Names.of_numbers(values[:0])) == 0


def test_names_are_found_in_others():
  names = Names.of(ODD)
  wanted = Names.of(['caf\u00e9', 'gone', '', 'n\udcff', '', 'A'])
  assert names.places(wanted).tolist() == [3, -1, 1, 2, 1, -1]
  assert names.places(Names.of([])).tolist() == []
  assert Names.of([]).places(wanted).tolist() == [-1] * 6


@pytest.mark.parametrize('largest', [9, 10**9])
def test_labels_are_numbered_without_gaps(largest):
  numbers, values = labelled.dense(np.array([5, largest, 5, 2]))
  assert numbers.dtype == np.int32 and numbers.tolist() == [1, 2, 1, 0]
  assert values.tolist() == [2, 5, largest]
  assert [len(x) for x in labelled.dense(np.zeros(0, np.int64))] == [0, 0]


def test_classes_that_no_row_has_are_left_out():
  names = ['a', 'b', 'c', 'd', 'e']
  true = np.array([0, labelled.NOBODY, 2], np.int32)
  labels, true, kept = labelled.used_classes(np.array([4, 4, 2]), true, names)
  assert labels.dtype == true.dtype == np.int32
  assert labels.tolist() == [2, 2, 1] and true.tolist() == [0, -1, 1]
  assert kept == ['a', 'c', 'e']
  labels, true, kept = labelled.used_classes(np.arange(5), None, names)
  assert labels.tolist() == [*range(5)] and true is None and kept is names


def test_class_names_are_saved_and_read(tmp_path):
  path = tmp_path / 'classes.tsv'
  labelled.save_class_names(path, ['a b', 'n\udcff', 'tab\there'])
  assert labelled.read_class_names(path) == ['a b', 'n\udcff', 'tab\there']
  path.write_bytes(b'\xef\xbb\xbf7\tseven\r\n\r\n0\tzero\r\n')
  assert labelled.read_class_names(path, [7, 0, 7]) == [
    'seven',
    'zero',
    'seven',
  ]


@pytest.mark.parametrize(
  'content, message',
  [
    ('0\ta\nb\n', r':2: expected `label<TAB>name`, each label once, not .b.\.'),
    ('0\ta\nx\tb\n', ":2: expected .* not 'x"),
    ('0\ta\n1\t\n', ':2: expected'),
    ('0\ta\n0\tb\n', ':2: expected'),
    ('0\ta\n1\ta\n', 'two classes have one name'),
    ('0\ta\n2\tb\n', 'no line for the label 1'),
  ],
)
def test_wrong_files_of_class_names_are_refused(tmp_path, content, message):
  path = tmp_path / 'classes.tsv'
  path.write_text(content)
  with pytest.raises(errors.UserError, match=message) as caught:
    labelled.read_class_names(path)
  assert str(path) in str(caught.value)
  path.unlink()
  with pytest.raises(errors.UserError, match=r'Cannot read .*classes\.tsv'):
    labelled.read_class_names(path)
