"""Charts: that what is drawn is there, seen in the pixels."""

import cv2
import numpy as np
import pytest

from bfjax.evaluation.protocols import explanations
from bfjax.report import charts, results


def pixels(png):
  return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)


def has_colour(png, colour):
  wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
  distance = np.abs(pixels(png).astype(int) - wanted).max(axis=2)
  return (distance < 12).sum() > 40


def roc(seed):
  rng = np.random.default_rng(seed)
  same = rng.random(500) < 0.5
  return explanations.roc(rng.normal(same, 0.6), same)


def test_every_curve_is_drawn_in_a_colour_of_its_own():
  one = charts.draw_curves({'a': roc(0)}, 'a')
  two = charts.draw_curves({'a': roc(0), 'b': roc(1)}, 'ROC')
  assert has_colour(one, '#0072B2')
  assert not has_colour(one, '#D55E00')
  assert has_colour(two, '#0072B2')
  assert has_colour(two, '#D55E00')


def test_the_same_chart_is_the_same_bytes():
  assert charts.draw_curves({'a': roc(0)}) == charts.draw_curves({'a': roc(0)})


def test_names_are_drawn_as_they_are():
  plain = charts.draw_curves({'run': roc(0), 'x': roc(1)}, 'ROC')
  for name in ('_run', 'a$b$', '$', 'x_1^2', '\udce9'):
    png = charts.draw_curves({name: roc(0), 'x': roc(1)}, name)
    assert png != plain
    assert pixels(png).shape == pixels(plain).shape


@pytest.mark.parametrize(
  'same', [np.ones(5, bool), np.zeros(5, bool), np.arange(5) < 2]
)
def test_curves_without_a_point_between_are_drawn(same):
  constant = explanations.roc(np.full(5, 0.5), same)
  apart = explanations.roc(np.where(same, 1.0, 0.0), same)
  linear = results.Curve(np.arange(3.0), np.arange(3.0), 'rank', 'rate')
  for curve in (constant, apart, linear):
    assert pixels(charts.draw_curves({'a': curve})).shape[2] == 3


def test_a_logarithmic_axis_goes_as_far_as_the_curve():
  x = np.arange(1.0, 101)
  cmc = results.Curve(x, 1 - 0.5 / x, 'rank', 'rate', log_x=True)
  assert has_colour(charts.draw_curves({'a': cmc}), '#0072B2')


def test_kinds_of_pairs_have_colours_of_their_own():
  scores = np.random.default_rng(0).normal(size=400)
  histogram = explanations.histogram(
    {'different': scores[scores <= 0.2], 'same': scores[scores > 0.2]}, 'cosine'
  )
  png = charts.draw_histogram(histogram, 'scores')
  # The two colours as they shine through, over white.
  assert has_colour(png, '#8CBFDC')
  assert has_colour(png, '#ECB68C')
  for ones in (np.ones(4), np.linspace(1 - 1e-15, 1, 4)):
    constant = explanations.histogram({'all': ones}, 'cosine')
    assert constant.counts['all'].sum() == 4
    assert pixels(charts.draw_histogram(constant)).size
