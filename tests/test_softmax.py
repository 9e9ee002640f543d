"""The class-parallel head against the float64 oracle, and how it is spread."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cases
from bfjax import errors, labels, sharding
from bfjax.heads import (
  margins,
  penalties,
  posterior,
  rules,
  softmax,
  subcentres,
)

ROWS, DIM, CLASSES, SCALE, WEIGHT = 16, 24, 61, 32.0, 3.14
KEPT = 0.9
MASK = np.arange(ROWS) < ROWS - 3
# Classes that a device looks at together, by the number of devices: all, chunks
# that are alike, and chunks of which the last is smaller.
CHUNKS = {1: 0, 2: 16, 8: 3}


def numbers(name):
  """The defaults of a margin's options."""
  options = inspect.signature(margins.MARGINS[name]).parameters
  return {k: p.default for k, p in options.items()}


def mesh_of(devices):
  return sharding.make_mesh(jax.devices()[:devices])


def build(name, options):
  numbers = dict(options)
  threshold = numbers.pop('filter', 0)
  return margins.filtered(margins.build(name, **numbers), threshold)


def init_state(name, rule, devices=1):
  """A new head's, but that rows have been counted already."""
  rule = rules.build(rule)
  state = softmax.Head(
    mesh_of(devices),
    margin=margins.build(name),
    rule=rule,
    penalty=None,
    num_classes=CLASSES,
    scale=SCALE,
  ).init_state()
  if rule and rule.guarded:
    counts = np.zeros(state['class_rows'].shape)
    counts[:CLASSES] = np.random.default_rng(6).uniform(0, 9, (CLASSES, 2))
    state['class_rows'] = counts
  if rule and rule.remembers:
    state['rule'] = {'gap': np.float32(45), 'rows': np.float32(100)}
  return state


def past_of(case, rule):
  """What a rule remembers: every other row has told its nearest class."""
  if rule != 'repface':
    return None
  embedding, centres, label = case
  unit = centres / np.linalg.norm(centres, axis=1, keepdims=True)
  nearest = (embedding @ unit.T).argmax(1).astype('i4')
  rows = np.arange(ROWS, dtype='i4')
  proposed = np.where(rows % 2, nearest, (nearest + 1) % CLASSES)
  return labels.Past(label, proposed, 1 + rows % 4)


@functools.cache
def compiled(devices, name, options, rule, penalty, dtype, chunk):
  """(arrays, state, correcting) -> (gradients, output), jitted."""
  head = softmax.Head(
    mesh_of(devices),
    margin=build(name, options),
    rule=rules.build(rule),
    penalty=penalties.PENALTIES[penalty],
    num_classes=CLASSES,
    scale=SCALE,
    kept=KEPT,
    chunk_classes=chunk,
  )

  # In float64 the formulas are tested, in float32 the code as it is used.
  compiler = {'xla_backend_optimization_level': 0} if dtype == 'f8' else {}

  @functools.partial(jax.jit, compiler_options=compiler)
  def run(embedding, centres, label, mask, state, correcting, past):
    def objective(embedding, centres):
      now = softmax.Now(correcting)
      out = head(embedding, centres, label, mask, state, now, past)
      per_row = out.weight * (out.loss + WEIGHT * out.penalty)
      return jnp.where(mask, per_row, 0).sum() / ROWS, out

    gradient = jax.grad(objective, (0, 1), has_aux=True)
    return gradient(embedding, centres)

  return run


def run(
  case,
  devices,
  name,
  rule,
  penalty,
  *,
  correcting=True,
  options=(),
  dtype='f8',
  chunk=None,
):
  chunk = CHUNKS[devices] if chunk is None else chunk
  embedding, centres, label = case
  padded = sharding.pad_to(CLASSES, mesh_of(devices))
  # Padding that would win and explode if it were looked at.
  filled = np.full((padded, DIM), embedding[0] * 1e3)
  filled[:CLASSES] = centres
  state = init_state(name, rule, devices)
  function = compiled(devices, name, options, rule, penalty, dtype, chunk)
  (de, dw), out = function(
    embedding.astype(dtype),
    filled.astype('f4' if dtype == jnp.bfloat16 else dtype),
    label,
    MASK,
    state,
    correcting,
    past_of(case, rule),
  )
  dw = np.asarray(dw)
  np.testing.assert_array_equal(dw[CLASSES:], 0)
  return jax.tree.map(np.asarray, out), np.asarray(de), dw[:CLASSES]


def random_case():
  rng = np.random.default_rng(1)
  centres = rng.normal(size=(CLASSES, DIM))
  embedding = 20 * rng.normal(size=(ROWS, DIM))
  return embedding, centres, rng.integers(0, CLASSES, ROWS).astype('i4')


def noisy_case():
  return cases.noisy(ROWS, DIM, CLASSES)


def one_hot_case():
  """Cosines of exactly 1, 0 and -1, and every centre twice: ties."""
  rng = np.random.default_rng(3)
  axes = np.concatenate([np.eye(DIM), -np.eye(DIM)])
  centres = np.concatenate([axes, axes])[:CLASSES]
  embedding = 4 * axes[rng.integers(0, len(axes), ROWS)]
  label = rng.integers(0, CLASSES, ROWS)
  label[:8] = np.argmax(embedding[:8] @ centres.T, axis=1)
  label[4:8] = np.argmin(embedding[4:8] @ centres.T, axis=1)
  return embedding, centres, label.astype('i4')


def negative_case():
  """Every cosine is below 0: the rule's and the penalty's zeros count."""
  rng = np.random.default_rng(4)
  axis = rng.normal(size=DIM)
  centres = axis + 0.3 * rng.normal(size=(CLASSES, DIM))
  embedding = -axis + 0.3 * rng.normal(size=(ROWS, DIM))
  return 7 * embedding, centres, rng.integers(0, CLASSES, ROWS).astype('i4')


CASES = {
  'random': random_case,
  'noisy': noisy_case,
  'one_hot': one_hot_case,
  'negative': negative_case,
}


@functools.cache
def expected(case, name, rule, penalty, correcting, options):
  pytest.importorskip('torch', reason='the oracle is written in PyTorch')
  import oracle_heads

  return oracle_heads.head(
    name,
    {**numbers(name), **dict(options)},
    rule,
    penalty,
    *CASES[case](),
    MASK,
    init_state(name, rule),
    scale=SCALE,
    correcting=correcting,
    penalty_weight=WEIGHT,
    kept=KEPT,
    grid=(posterior.KAPPAS, posterior.RATES),
    past=past_of(CASES[case](), rule),
  )


def check(case, devices, name, rule, penalty, *, tol, dtype, options=()):
  for correcting in (False, True) if rule != 'none' else (True,):
    want = expected(case, name, rule, penalty, correcting, options)
    out, de, dw = run(
      CASES[case](),
      devices,
      name,
      rule,
      penalty,
      correcting=correcting,
      options=options,
      dtype=dtype,
    )
    np.testing.assert_array_equal(out.label, want.label)
    np.testing.assert_array_equal(out.correct, want.correct)
    close = functools.partial(np.testing.assert_allclose, rtol=tol, atol=tol)
    close(out.loss, want.loss)
    close(out.weight, want.weight)
    close(out.penalty, want.penalty)
    close(out.target_cosine, want.target_cosine)
    close(out.other_cosine, want.other_cosine)
    rows = out.state['class_rows']
    out.state['class_rows'] = rows[:CLASSES] if len(rows) else rows
    jax.tree.map(close, (out.state, out.past), (want.state, want.past))
    # Relative to the largest entry: small ones are differences of large ones.
    close(de, want.embedding_gradient, atol=tol * abs(de).max())
    close(dw, want.centres_gradient, atol=tol * abs(dw).max())
  return want


SPHERE = (('m1', 1.7), ('m2', 0.2), ('m3', 0.1))
MARGINS = [(name, ()) for name in margins.MARGINS] + [('combined', SPHERE)]


# On two devices, a margin without a state and those with one.
@pytest.mark.parametrize(
  'name, options, devices',
  [(*margin, devices) for margin in MARGINS for devices in (1, 8)]
  + [(name, (), 2) for name in ('adaface', 'arcface', 'curricularface')],
)
def test_boundary_heads_equal_the_oracle(name, options, devices):
  how = dict(tol=1e-10, dtype='f8', options=options)
  with jax.enable_x64(True):
    for case in CASES:
      want = check(case, devices, name, 'boundary', 'boundary', **how)
      if case == 'noisy':
        # Or nothing was tested: with labels that are wrong, some are replaced.
        assert (want.label != CASES['noisy']()[2]).any()


@pytest.mark.parametrize('name, options', MARGINS)
def test_plain_heads_equal_the_oracle(name, options):
  how = dict(tol=1e-10, dtype='f8', options=options)
  with jax.enable_x64(True):
    for case in CASES:
      check(case, 8, name, 'none', 'none', **how)


@pytest.mark.parametrize('name', ['arcface', 'mv_arc_softmax'])
def test_filtered_heads_equal_the_oracle(name):
  how = dict(tol=1e-10, dtype='f8')
  with jax.enable_x64(True):
    for case in CASES:
      want = check(
        case, 8, name, 'none', 'none', options=(('filter', 0.3),), **how
      )
      if case == 'noisy':  # or nothing was filtered
        plain = check(case, 8, name, 'none', 'none', **how)
        assert (want.loss < plain.loss - 1).sum() > 4


@pytest.mark.parametrize(
  'rule, penalty', [('boundary', 'none'), ('none', 'boundary')]
)
def test_rule_and_penalty_stand_alone(rule, penalty):
  with jax.enable_x64(True):
    for case in CASES:
      check(case, 2, 'arcface', rule, penalty, tol=1e-10, dtype='f8')


@pytest.mark.parametrize('devices', [1, 8])
@pytest.mark.parametrize('name', ['arcface', 'curricularface'])
def test_posterior_heads_equal_the_oracle(name, devices):
  corrected = unsure = refused = 0
  with jax.enable_x64(True):
    for case in CASES:
      want = check(
        case, devices, name, 'posterior', 'boundary', tol=1e-10, dtype='f8'
      )
      corrected += (want.label != CASES[case]()[2]).sum()
      unsure += (want.weight == 0).sum()
      refused += want.refused
  # Or nothing was tested.
  assert 2 < corrected < 3 * ROWS and 2 < unsure < 3 * ROWS and refused > 2


@pytest.mark.parametrize('devices', [1, 2, 8])
@pytest.mark.parametrize('name', ['arcface', 'curricularface'])
def test_repface_heads_equal_the_oracle(name, devices):
  corrected = refused = 0
  with jax.enable_x64(True):
    for case in CASES:
      how = dict(tol=1e-10, dtype='f8')
      want = check(case, devices, name, 'repface', 'boundary', **how)
      corrected += (want.label != CASES[case]()[2]).sum()
      refused += want.refused
  assert 2 < corrected < 3 * ROWS and refused > 2  # or nothing was tested


def test_noise_is_learned_from_some_rows_where_there_are_many(monkeypatch):
  monkeypatch.setattr(rules, '_CHEAP', 0)
  monkeypatch.setattr(rules, '_LEAST_ROWS', 4)
  embedding, centres, label = noisy_case()
  some = embedding.copy()
  some[4:] = -some[4:]
  how = dict(devices=2, name='cosface', rule='posterior', penalty='none')
  (a, *_), (b, *_), (c, *_) = (
    run((x, centres, label), dtype='f4', **how)
    for x in (embedding, some, -embedding)
  )
  likelihoods = [x.state['rule']['likelihood'] for x in (a, b, c)]
  np.testing.assert_array_equal(likelihoods[0], likelihoods[1])
  assert not np.array_equal(likelihoods[0], likelihoods[2])


@pytest.mark.parametrize('devices', [1, 8])
@pytest.mark.parametrize('dropping', [False, True])
def test_sub_centres_equal_the_oracle(devices, dropping):
  oracle = pytest.importorskip('oracle_heads')
  sub_centres = subcentres.SubCentres(count=3, drop_angle=1.2)
  mesh = mesh_of(devices)
  padded = sharding.pad_to(CLASSES, mesh)
  margin, rule = margins.build('arcface'), rules.build('boundary')
  head = softmax.Head(
    mesh,
    margin=margin,
    rule=rule,
    penalty=penalties.boundary,
    num_classes=CLASSES,
    scale=SCALE,
    kept=KEPT,
    sub_centres=sub_centres,
  )
  embedding, of_classes, label = noisy_case()
  rng = np.random.default_rng(5)
  shape = CLASSES, sub_centres.count, DIM
  centres = (of_classes[:, None] + 0.5 * rng.normal(size=shape)).reshape(
    -1, DIM
  )
  use = rng.uniform(size=len(centres))
  filled = np.full((padded * sub_centres.count, DIM), embedding[0] * 1e3)
  filled[: len(centres)] = centres

  @jax.jit
  def run(embedding, centres, state):
    def objective(embedding, centres):
      now = softmax.Now(correcting=True, dropping=dropping)
      out = head(embedding, centres, label, MASK, state, now)
      per_row = out.weight * (out.loss + WEIGHT * out.penalty)
      return jnp.where(MASK, per_row, 0).sum() / ROWS, out

    return jax.grad(objective, (0, 1), has_aux=True)(embedding, centres)

  state = {'margin': {}, 'rule': {}, 'class_rows': {}, 'sub_centre_use': use}
  want = oracle.head(
    *('arcface', numbers('arcface'), 'boundary', 'boundary'),
    *(embedding, centres, label, MASK, state),
    scale=SCALE,
    correcting=True,
    penalty_weight=WEIGHT,
    kept=KEPT,
    sub_centres=sub_centres,
    dropping=dropping,
  )
  with jax.enable_x64(True):
    all_use = np.zeros(len(filled))
    all_use[: len(use)] = use
    given = state | {'sub_centre_use': all_use}
    (de, dw), out = jax.tree.map(np.asarray, run(embedding, filled, given))
  close = functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10)
  for name in ('loss', 'penalty', 'label', 'weight', 'target_cosine'):
    close(getattr(out, name), getattr(want, name))
  close(out.state['sub_centre_use'][: len(use)], want.state['sub_centre_use'])
  close(de, want.embedding_gradient)
  close(dw[: len(centres)], want.centres_gradient)
  np.testing.assert_array_equal(dw[len(centres) :], 0)
  assert (want.weight.min() == 0) == dropping  # some are far, and then dropped
  assert (want.label != label).any()


@pytest.mark.parametrize('name, options', MARGINS)
def test_float32_heads_equal_the_oracle(name, options):
  how = dict(tol=1e-5, dtype='f4', options=options)
  for case in CASES:
    check(case, 8, name, 'boundary', 'boundary', **how)


@pytest.mark.parametrize('name', margins.MARGINS)
def test_float32_heads_stay_float32_in_64_bit_mode(name):
  with jax.enable_x64(True):
    check('noisy', 2, name, 'boundary', 'boundary', tol=1e-5, dtype='f4')
    out, de, dw = run(
      CASES['noisy'](), 2, name, 'boundary', 'boundary', dtype='f4'
    )
  for values in (out.loss, out.penalty, out.target_cosine, de, dw):
    assert values.dtype == np.float32
  assert out.label.dtype == np.int32
  assert {x.dtype for x in jax.tree.leaves(out.state)} <= {np.dtype('f4')}


@pytest.mark.parametrize('name', ['adaface', 'arcface', 'curricularface'])
def test_bfloat16_embeddings_are_computed_with_in_float32(name):
  how = dict(devices=8, name=name, rule='boundary', penalty='boundary')
  for case in CASES.values():
    embedding, centres, label = case()
    rounded = embedding.astype(jnp.bfloat16)
    out, de, dw = run((rounded, centres, label), dtype=jnp.bfloat16, **how)
    want, _, want_dw = run((rounded, centres, label), dtype='f4', **how)
    assert out.loss.dtype == np.float32 and de.dtype == jnp.bfloat16
    np.testing.assert_array_equal(out.label, want.label)
    np.testing.assert_allclose(out.loss, want.loss, rtol=1e-6)
    np.testing.assert_allclose(dw, want_dw, atol=1e-6 * abs(want_dw).max())
    assert np.isfinite(np.float32(de)).all()


@pytest.mark.parametrize('name', margins.MARGINS)
def test_vectors_of_length_zero_stay_finite_and_get_no_gradient(name):
  embedding, centres, label = noisy_case()
  embedding[0], embedding[1] = 0, 1e-30
  centres[label[2]] = 0
  case = embedding, centres, label
  out, de, dw = run(case, 8, name, 'boundary', 'boundary', dtype='f4')
  for values in jax.tree.leaves((out, de, dw)):
    assert np.isfinite(values).all()
  np.testing.assert_array_equal(de[0], 0)
  np.testing.assert_array_equal(dw[label[2]], 0)
  assert not out.correct[0], 'a tie of all classes is no success'


def test_masked_rows_leave_no_trace_in_the_state():
  for name in ('adaface', 'curricularface'):
    embedding, centres, label = noisy_case()
    how = dict(devices=8, name=name, rule='boundary', penalty='boundary')
    before, *_ = run((embedding, centres, label), dtype='f4', **how)
    embedding[~MASK] *= -5
    after, *_ = run((embedding, centres, label), dtype='f4', **how)
    assert before.state == after.state


def lowered(rows, dim, classes, rule):
  """The gradient of a head for 8 devices, compiled, class-sharded."""
  mesh = mesh_of(8)
  margin, rule = margins.build('curricularface'), rules.build(rule)
  head = softmax.Head(
    mesh,
    margin=margin,
    rule=rule,
    penalty=penalties.PENALTIES['boundary'],
    num_classes=classes - 1,
    scale=SCALE,
  )

  def objective(embedding, centres, label, mask, state, past):
    out = head(embedding, centres, label, mask, state, softmax.Now(True), past)
    return (out.loss + out.penalty).mean()

  split, whole = sharding.rows(mesh), sharding.replicated(mesh)
  numbers = jax.ShapeDtypeStruct((rows,), 'i4')
  return jax.jit(
    jax.grad(objective, (0, 1)),
    in_shardings=(split, split, split, split, whole, split),
  ).lower(
    jax.ShapeDtypeStruct((rows, dim), 'f4'),
    jax.ShapeDtypeStruct((classes, dim), 'f4'),
    numbers,
    jax.ShapeDtypeStruct((rows,), '?'),
    jax.eval_shape(head.init_state),
    labels.Past(*[numbers] * 3) if head.remembers else None,
  )


@pytest.mark.parametrize('rule', ['boundary', 'repface'])
def test_nothing_of_the_size_of_the_classes_crosses_devices(rule):
  rows, dim, classes = 16, 8, 4096
  text = lowered(rows, dim, classes, rule).compile().as_text()
  kinds = 'all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute'
  sent = re.findall(rf'= (.*?) ({kinds})(?:-start)?\(', text)
  assert {kind for _, kind in sent} >= {'all-gather', 'reduce-scatter'}
  for shapes, kind in sent:
    for dims in re.findall(r'\w+\[([\d,]*)\]', shapes):
      size = np.prod([int(d) for d in dims.split(',') if d])
      assert size <= rows * dim, f'{kind} of {shapes}'


def test_start_of_correction_compiles_nothing():
  case = noisy_case()
  how = dict(devices=8, name='arcface', rule='boundary', penalty='boundary')
  off, *_ = run(case, correcting=False, dtype='f4', **how)
  function = compiled(8, 'arcface', (), 'boundary', 'boundary', 'f4', CHUNKS[8])
  count = function._cache_size()
  on, *_ = run(case, correcting=True, dtype='f4', **how)
  assert function._cache_size() == count
  np.testing.assert_array_equal(off.label, case[2])
  assert (on.label != case[2]).any()


def test_memory_of_chunks_does_not_grow_with_the_classes():
  rows, dim, chunk = 64, 16, 512
  mesh = mesh_of(1)

  def working_bytes(classes):
    head = softmax.Head(
      mesh,
      margin=margins.build('arcface'),
      rule=rules.build('boundary'),
      penalty=penalties.boundary,
      num_classes=classes,
      scale=SCALE,
      chunk_classes=chunk,
    )

    def objective(embedding, centres, label, mask):
      state, now = head.init_state(), softmax.Now(True)
      out = head(embedding, centres, label, mask, state, now)
      return (out.loss + out.penalty).mean()

    compiled = jax.jit(jax.grad(objective, (0, 1))).lower(
      jax.ShapeDtypeStruct((rows, dim), 'f4'),
      jax.ShapeDtypeStruct((classes, dim), 'f4'),
      jax.ShapeDtypeStruct((rows,), 'i4'),
      jax.ShapeDtypeStruct((rows,), '?'),
    )
    return compiled.compile().memory_analysis().temp_size_in_bytes

  few, many = working_bytes(9_999), working_bytes(40_000)
  assert many == pytest.approx(few, rel=0.05)
  # Cosines, and what XLA:CPU makes of them twice at a time; centres and their
  # gradients; some numbers a row. (A card does with twice the cosines.)
  assert many <= 4 * (3 * rows * chunk + 3 * dim * chunk + 64 * rows)


@pytest.mark.parametrize('precision, tol', [('tf32', 1e-2), ('bfloat16', 5e-2)])
def test_coarser_products_decide_the_same_labels(precision, tol):
  """TF32 is float32 on a CPU."""
  embedding, centres, label = noisy_case()
  outs = []
  for products in ('float32', precision):
    head = softmax.Head(
      mesh_of(2),
      margin=margins.build('arcface'),
      rule=rules.build('boundary'),
      penalty=penalties.boundary,
      num_classes=CLASSES,
      scale=SCALE,
      chunk_classes=16,
      precision=products,
    )

    def objective(embedding, centres, head=head):
      state, now = head.init_state(), softmax.Now(True)
      out = head(embedding, centres, label, MASK, state, now)
      return out.loss.mean(), out

    arrays = embedding.astype('f4'), np.pad(centres, ((0, 1), (0, 0)))
    gradient = jax.jit(jax.grad(objective, (0, 1), has_aux=True))
    outs.append(gradient(arrays[0], arrays[1].astype('f4')))
  (slopes, out), (coarse_slopes, coarse) = outs
  assert coarse.loss.dtype == np.float32
  assert (out.label != label).any()
  np.testing.assert_array_equal(coarse.label, out.label)
  np.testing.assert_allclose(coarse.loss, out.loss, rtol=tol, atol=SCALE * tol)
  for x, y in zip(coarse_slopes, slopes, strict=True):
    np.testing.assert_allclose(x, y, atol=tol * abs(y).max())


def test_one_class_is_refused():
  with pytest.raises(errors.UserError, match='at least 2 classes, not 1'):
    softmax.Head(
      mesh_of(1),
      margin=margins.build('arcface'),
      rule=None,
      penalty=None,
      num_classes=1,
      scale=SCALE,
    )
