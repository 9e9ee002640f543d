"""The sheet of corrections: what it says of each sample."""

import types

import cv2
import numpy as np
import pytest

from bfjax.logbook import sheet


def make_source(true_labels, names=('3', '7', '9')):
  picture = cv2.imencode('.png', np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
  return types.SimpleNamespace(
    class_names=names,
    true_labels=true_labels,
    num_rows=9,
    read=lambda rows: [picture] * len(rows),
    name=lambda row: f'{("Ann", "Bob", "Cy$_d$")[row % 3]}/{row}.jpg',
  )


@pytest.fixture
def draw(tmp_path, monkeypatch):
  """Draws a sheet and returns all that is written on it."""
  sheets = []

  class Figure(sheet.figure.Figure):
    def __init__(self, *args, **kwargs):
      super().__init__(*args, **kwargs)
      sheets.append(self)

  monkeypatch.setattr(sheet.figure, 'Figure', Figure)

  def draw(source, given, table):
    picture = sheet.picture_corrections(
      tmp_path / 'sheet.png',
      source,
      given,
      corrected := np.flatnonzero(given != table),
      table[corrected],
      seed=0,
    )
    assert picture.std() > 10
    titles = [axis.get_title('left') for axis in sheets[-1].axes]
    return [title for title in titles if title]

  return draw


def test_corrections_are_judged_where_the_truth_is_known(draw):
  true = np.arange(9) % 3
  given, table = true.copy(), true.copy()
  given[[0, 4]] = 2
  table[4], table[5] = 0, 1
  written = draw(make_source(true), given, table)
  assert written[::3] == ['right', 'wrong: is 7', 'wrong: was right']
  assert written[1] == 'given: 9 (Cy$_d$)'
  assert written[2] == 'new: 3 (Ann)'


def test_nothing_is_judged_without_a_truth(draw):
  given = np.arange(9) % 3
  table = given.copy()
  table[8] = 0
  names = ('Ann', 'Bob', 'x' * 300)
  given_name, new_name = draw(make_source(None, names), given, table)
  assert new_name == 'new: Ann'
  assert len(given_name) < 60
