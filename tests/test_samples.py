"""A loss over drawn classes against the oracle of a set that has no others."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cases
from bfjax import sharding
from bfjax.heads import classes, margins, penalties, rules, samples, softmax

ROWS, DIM, CLASSES, SCALE, WEIGHT, DRAW = 16, 24, 61, 32.0, 3.14, 5
MASK = np.arange(ROWS) < ROWS - 3


def noisy_case():
  return cases.noisy(ROWS, DIM, CLASSES)


def drawn(sampling, *positives, draw=DRAW, count=CLASSES, first=0):
  mine = classes.Mine(jnp.int32(first), count)
  positives = [jnp.asarray(x, jnp.int32) for x in positives]
  index = np.asarray(sampling.draw(draw, mine, CLASSES, positives))
  return first + index[index < count]


def run(sampling, devices, chunk, margin):
  """(output, gradients of embeddings and centres) of the noisy rows."""
  mesh = sharding.make_mesh(jax.devices()[:devices])
  head = softmax.Head(
    mesh,
    margin=margins.build(margin),
    rule=rules.build('boundary'),
    penalty=penalties.boundary,
    num_classes=CLASSES,
    scale=SCALE,
    chunk_classes=chunk,
    sampling=sampling,
  )
  embedding, centres, label = noisy_case()
  padded = sharding.pad_to(CLASSES, mesh)
  filled = np.full((padded, DIM), embedding[0] * 1e3)
  filled[:CLASSES] = centres

  @jax.jit
  def gradient(embedding, centres, draw):
    def objective(embedding, centres):
      now = softmax.Now(correcting=True, draw=draw)
      state = head.init_state()
      out = head(embedding, centres, label, MASK, state, now)
      per_row = out.loss + WEIGHT * out.penalty
      return jnp.where(MASK, per_row, 0).sum() / ROWS, out

    return jax.grad(objective, (0, 1), has_aux=True)(embedding, centres)

  with jax.enable_x64(True):
    (de, dw), out = jax.device_get(gradient(embedding, filled, DRAW))
  return out, de, dw[:CLASSES], head


@functools.cache
def oracle(margin, rule, drawn_classes, labels):
  """The oracle's head of these classes alone; its labels among all."""
  heads = pytest.importorskip('oracle_heads')
  embedding, centres, _ = noisy_case()
  drawn_classes = np.array(drawn_classes)
  state = {'margin': margins.build(margin).init_state(), 'rule': {}}
  want = heads.head(
    margin,
    {'m': 0.5, 't_alpha': 0.01},
    rule,
    'boundary',
    embedding,
    centres[drawn_classes],
    np.searchsorted(drawn_classes, labels).astype('i4'),
    MASK,
    state | {'class_rows': {}, 'sub_centre_use': {}},
    scale=SCALE,
    correcting=True,
    penalty_weight=WEIGHT,
    kept=0.0,
  )
  slope = np.zeros((CLASSES, DIM))
  slope[drawn_classes] = want.centres_gradient
  return want._replace(label=drawn_classes[want.label], centres_gradient=slope)


@pytest.mark.parametrize('devices, chunk', [(1, 0), (1, 7), (8, 0), (8, 3)])
@pytest.mark.parametrize('sees', ['all', 'sampled'])
@pytest.mark.parametrize('margin', ['arcface', 'curricularface'])
def test_a_sampled_loss_is_that_of_the_classes_drawn(
  devices, chunk, sees, margin
):
  sampling = samples.Sampling(0.3, seed=3, rule_sees=sees)
  given, everyone = tuple(noisy_case()[2]), tuple(range(CLASSES))
  of_all = oracle(margin, 'boundary', everyone, given)
  if sees == 'all':
    own = tuple(drawn(sampling, of_all.label))
    want = oracle(margin, 'none', own, tuple(of_all.label))
  else:
    own = tuple(drawn(sampling, given))
    want = oracle(margin, 'boundary', own, given)
  assert len(own) < CLASSES / 1.5
  out, de, dw, head = run(sampling, devices, chunk, margin)
  np.testing.assert_array_equal(out.label, want.label)
  assert (want.label != given).any()
  close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)
  for name in ('loss', 'penalty', 'target_cosine', 'other_cosine'):
    close(getattr(out, name), getattr(want, name))
  close(de, want.embedding_gradient)
  close(dw, want.centres_gradient)
  if sees == 'sampled':
    differing = MASK & (want.label != of_all.label)
    assert differing.any()
    told = head.tell(out.state)['sampled_otherwise']
    close(told, differing.sum() / MASK.sum(), rtol=1e-6)


def test_a_draw_depends_on_its_number_and_seed_alone():
  sampling = samples.Sampling(0.3, seed=3)
  one = drawn(sampling)
  np.testing.assert_array_equal(one, drawn(sampling))
  assert (np.diff(one) > 0).all()
  assert set(one) != set(drawn(sampling, draw=DRAW + 1))
  assert set(one) != set(drawn(sampling._replace(seed=4)))
  spread = [drawn(sampling, first=first, count=8) for first in range(0, 64, 8)]
  np.testing.assert_array_equal(np.concatenate(spread), one)


def test_positives_are_in_whatever_is_drawn():
  sampling = samples.Sampling(0.01, seed=0)
  label = np.arange(0, CLASSES, 2)
  for draw in range(20):
    assert set(label) <= set(drawn(sampling, label, draw=draw))


def test_as_many_are_drawn_as_asked_for():
  sampling = samples.Sampling(0.25, seed=1)
  counts = [len(drawn(sampling, draw=draw)) for draw in range(100)]
  assert np.mean(counts) == pytest.approx(CLASSES / 4, rel=0.1)
