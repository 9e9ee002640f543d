"""Collapsed and struggling trainings, told from curves that were recorded.

The curves are of configs/synthetic.py (30 steps an epoch, seed 1): the last
line of each epoch, as epoch, loss, accuracy, share of corrected rows, cosine to
the own centre and to the nearest other.
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from bfjax.heads import margins
from bfjax.logbook import collapse

# optim.lr=0.1 optim.lr_batch=64 optim.warmup_epochs=0, ArcFace, 40 % flips.
HOT = """
1 22.86 0.006 0 -0.05  0.14
2 18.91 0.019 0 -0.31 -0.22
3 13.44 0.009 0 -0.70 -0.63
4 13.00 0.005 0 -0.91 -0.88
5 12.85 0.010 0 -0.92 -0.89
15 12.03 0.095 0 -0.91 -0.89
"""
# head.lambda_=12 from the first epoch on: more than half of the rows are told
# rightly in the end, but on the far side of all centres.
PENALISED = """
1 21.29 0.051 0  0.02  0.08
2 20.15 0.123 0 -0.04  0.03
3 17.18 0.255 0 -0.30 -0.26
4 11.68 0.173 0 -0.73 -0.71
15 11.12 0.573 0 -0.89 -0.89
"""
# The demo's BoundaryFace.
HEALTHY = """
1 20.63 0.073 0     0.05 0.12
2 19.74 0.276 0     0.14 0.21
3 18.55 0.484 0     0.25 0.29
4 16.74 0.618 0     0.34 0.34
5 11.15 0.737 0.103 0.54 0.39
6  7.42 0.767 0.145 0.68 0.44
15 1.41 0.798 0.179 0.84 0.43
"""
# ArcFace on 40 % flips: slow, and the wrong labels are never told.
NOISY = """
1 20.83 0.029 0 0.03 0.12
2 20.45 0.092 0 0.06 0.16
3 19.99 0.190 0 0.08 0.17
4 19.42 0.282 0 0.12 0.20
5 18.58 0.345 0 0.13 0.20
6 17.36 0.421 0 0.13 0.17
15 12.52 0.584 0 0.10 0.06
"""
NAMES = ('loss', 'accuracy', 'corrected', 'cosine_target', 'cosine_other')


def read(curve):
  """The lines of a metrics file."""
  lines = []
  for text in curve.strip().splitlines():
    epoch, *values = map(float, text.split())
    named = {f'train/{k}': v for k, v in zip(NAMES, values, strict=True)}
    lines.append({'step': 30 * epoch, 'epoch': epoch, **named})
  return lines


def make_task(**changes):
  task = collapse.Task(margins.arcface(m=0.5), 32.0, 192, 6, noise=0.0)
  return task._replace(**changes)


def watch(lines, task=None, known=()):
  """All that is said of a training, as it goes."""
  watched = collapse.Watch(task or make_task(), list(known))
  said = []
  for line in lines:
    verdict, words = watched.see(line, line is lines[-1])
    assert bool(verdict) == bool(words)
    if verdict:
      said.append((line['epoch'], verdict, words))
  return said


@pytest.mark.parametrize('margin', ['arcface', 'cosface', 'mv_arc_softmax'])
@pytest.mark.parametrize('cosine', [-0.9, 0.0, 0.4])
def test_chance_is_the_loss_of_a_net_that_tells_no_classes_apart(
  margin, cosine
):
  margin = margins.MARGINS[margin]()
  logits = jnp.full((7, 1), cosine)
  target = margin.phi(logits[0], jnp.ones(1), {})
  if margin.others:
    logits = margin.others(logits, logits[0], {})
  logits = 32 * logits[:, 0].at[3].set(target[0])
  loss = jnp.log(jnp.exp(logits).sum()) - logits[3]
  task = collapse.Task(margin, 32.0, 7)
  np.testing.assert_allclose(
    collapse.chance_loss(task, cosine), loss, rtol=1e-5
  )


def test_chance_without_a_margin_is_the_logarithm_of_the_classes():
  task = collapse.Task(margins.softmax(), 64.0, 10)
  assert collapse.chance_loss(task, 0.3) == pytest.approx(math.log(10))


@pytest.mark.parametrize(('curve', 'epoch'), [(HOT, 2), (PENALISED, 3)])
def test_a_collapse_is_told_once_when_it_is_plain(curve, epoch):
  [(told_in, verdict, words)] = watch(read(curve))
  assert told_in == verdict[collapse.COLLAPSED] == epoch
  assert 'turned away from all class centres' in words


@pytest.mark.parametrize(
  ('curve', 'noise'), [(HEALTHY, 0.0), (NOISY, 0.4), (HEALTHY, None)]
)
def test_nothing_is_said_of_a_training_that_learns(curve, noise):
  task = make_task(noise=noise)
  assert not watch(read(curve), task)
  # Nor without a warm-up, or with one that ended later.
  assert not watch(read(curve), task._replace(first_epoch=4))


def test_no_more_than_chance_is_a_collapse_but_not_in_the_first_epochs():
  lines = read(HOT)
  for line in lines:
    line |= {'train/cosine_target': 0.0, 'train/cosine_other': 0.1}
    line |= {'train/loss': 20.5, 'train/accuracy': 0.006}
  [(epoch, _, words)] = watch(lines, make_task(first_epoch=4))
  assert epoch == 4
  assert '0.6 % of the rows are told rightly (0.5 % by chance)' in words
  assert 'a loss of 20.50 (20.59' in words
  lines[3]['train/accuracy'] = 0.03  # it begins to learn
  assert watch(lines[:4], make_task(first_epoch=4, noise=1.0)) == []


def test_what_has_been_learned_and_is_lost_is_a_collapse():
  lines = read(HEALTHY)
  lines[-1] |= {'train/accuracy': 0.2, 'train/corrected': 0.0}
  [(epoch, _, words)] = watch(lines)
  assert epoch == 15
  assert '20.0 % of the rows are told rightly, after 91.2 % before' in words


def test_a_resumed_training_does_not_repeat_it_and_may_recover():
  lines = read(HOT)
  known = [*lines[:2], {'step': 60, collapse.COLLAPSED: 2.0}]
  assert not watch(lines[2:], known=known)
  [(epoch, verdict, words)] = watch(read(HEALTHY)[2:], known=known)
  assert (epoch, verdict) == (3, {collapse.COLLAPSED: 0.0})
  assert 'recovered' in words
  both = [*known, {'step': 120, **verdict}]
  assert collapse.verdicts(both, 60) == {collapse.COLLAPSED: 2}
  assert collapse.verdicts(both) == {}


def test_a_training_that_ends_short_is_told_so_with_the_noise_in_mind():
  lines = read(HEALTHY)
  lines[-1] |= {'train/accuracy': 0.60, 'train/corrected': 0.06}
  lines[-1]['train/loss'] = 5.0
  [(_, verdict, words)] = watch(lines)
  assert verdict == {collapse.STRUGGLING: pytest.approx(0.66)}
  assert '66 % of the rows told rightly, at a loss of 5.00' in words
  assert 'where up to 100 % can be' in words
  [(_, _, words)] = watch(lines, make_task(noise=None))
  assert 'unless some 34 % of the labels are wrong' in words
  assert not watch(lines, make_task(noise=0.25))
