"""Layers against PyTorch; batch norm by groups; options and bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bfjax import backbones, errors
from bfjax.backbones.parts import convolution, layers

pytestmark = pytest.mark.slow

TINY = dict(widths=(8, 16, 32), blocks=(1, 2), embedding_dim=16)
MINI = dict(widths=(8, 16), blocks=(2,), embedding_dim=16, image_size=16)
MINI_MBF = dict(width=4, blocks=(1, 1, 0, 0), embedding_dim=16, image_size=16)
MINI_VIT = dict(
  dim=16, depth=2, heads=2, patch_size=4, embedding_dim=16, image_size=16
)
# Compiling takes longer than computing.
QUICK = {'xla_backend_optimization_level': 0}
DEMO = dict(
  widths=(32, 32, 64, 128),
  blocks=(1, 1, 1),
  stem_stride=2,
  image_size=48,
  embedding_dim=128,
)


def random_weights(net, seed=0):
  """Parameters and statistics without the time that compiling init takes."""
  generator = np.random.default_rng(seed)

  def leaf(shape):
    if shape.ndim > 1:
      scale = (2 / shape.size * shape.shape[-1]) ** 0.5
      value = scale * generator.normal(size=shape.shape)
    else:
      value = generator.uniform(0.1, 1, shape.shape)
    return value.astype(np.float32)

  shapes = jax.eval_shape(net.init, jax.random.key(0))
  return jax.tree.map(leaf, shapes)


def random_images(rows, size, seed=0):
  generator = np.random.default_rng(seed)
  return generator.uniform(-1, 1, (rows, size, size, 3)).astype(np.float32)


def to_torch(torch, images):
  return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64))


def assert_trees_close(ours, theirs, tolerance=1e-5):
  """Differences relative to each leaf's largest value, or to 1 if smaller."""

  def check(path, a, b):
    np.testing.assert_allclose(
      a,
      b,
      atol=tolerance * max(np.abs(b).max(), 1),
      rtol=0,
      err_msg=jax.tree_util.keystr(path),
    )

  jax.tree_util.tree_map_with_path(check, ours, theirs)


def test_initial_values_are_those_of_the_recipe():
  net = backbones.build('iresnet', image_size=16, **TINY)
  params, stats = jax.jit(net.init)(jax.random.key(0))
  block = params['stage2_block1']
  kernel = block['conv1']['kernel']
  limit = (6 / (9 * (16 + 32))) ** 0.5
  assert 0.95 * limit < jnp.max(jnp.abs(kernel)) <= limit
  np.testing.assert_allclose(jnp.var(kernel), limit**2 / 3, rtol=0.1)
  assert jnp.all(block['prelu']['slope'] == 0.25)
  assert jnp.all(block['norm1']['scale'] == 1)
  assert jnp.all(params['head_linear']['bias'] == 0)
  assert jnp.all(stats['embedding_norm']['mean'] == 0)
  assert jnp.all(stats['embedding_norm']['variance'] == 1)


def test_groups_are_separate_batches_with_averaged_statistics():
  torch = pytest.importorskip('torch')
  generator = np.random.default_rng(0)
  x = generator.normal(3, 2, (12, 5, 4, 8)).astype(np.float32)
  weight = generator.normal(size=x.shape).astype(np.float32)
  theirs = torch.nn.BatchNorm2d(8, momentum=1.0).double()
  inputs = to_torch(torch, x).requires_grad_()
  outputs, means, variances = [], [], []
  for group in inputs.split(4):
    outputs.append(theirs(group))
    means.append(theirs.running_mean.numpy().copy())
    variances.append(theirs.running_var.numpy().copy())
  output = torch.cat(outputs)
  (output * to_torch(torch, weight)).sum().backward()

  norm = layers.BatchNorm(group_rows=4, momentum=0.1)
  variables = norm.init(jax.random.key(0), x, train=False)

  def loss(params, x):
    y, updated = norm.apply(
      {'params': params, 'batch_stats': variables['batch_stats']},
      x,
      train=True,
      mutable=['batch_stats'],
    )
    return jnp.sum(y * weight), (y, updated['batch_stats'])

  (gradients, dx), (y, stats) = jax.grad(loss, (0, 1), has_aux=True)(
    variables['params'], x
  )
  np.testing.assert_allclose(
    y, output.detach().numpy().transpose(0, 2, 3, 1), atol=1e-5
  )
  np.testing.assert_allclose(
    dx, inputs.grad.numpy().transpose(0, 2, 3, 1), atol=1e-5
  )
  np.testing.assert_allclose(gradients['scale'], theirs.weight.grad, atol=1e-4)
  np.testing.assert_allclose(gradients['bias'], theirs.bias.grad, atol=1e-4)
  np.testing.assert_allclose(
    stats['mean'], 0.1 * np.mean(means, axis=0), rtol=1e-5
  )
  np.testing.assert_allclose(
    stats['variance'], 0.9 + 0.1 * np.mean(variances, axis=0), rtol=1e-5
  )


def test_variance_survives_a_mean_far_above_the_spread():
  generator = np.random.default_rng(0)
  x = (1000 + 0.1 * generator.normal(size=(8, 6, 6, 4))).astype(np.float32)
  exact = x.astype(np.float64).var(axis=(0, 1, 2))
  _, _, variance = layers.normalize_groups(x, jnp.ones(4), jnp.zeros(4), 8)
  np.testing.assert_allclose(variance[0], exact, rtol=1e-3)


@pytest.mark.parametrize(
  'options',
  [
    dict(name='iresnet', mode='ir_se', **MINI),
    dict(name='mobilefacenet', **MINI_MBF),
    dict(name='vit', drop_path=0.3, mask_ratio=0.5, **MINI_VIT),
  ],
)
def test_rematerialised_blocks_are_the_same_function(options):
  images = random_images(8, 16)
  results, kept = [], []
  for remat in (False, True):
    net = backbones.build(**options, remat=remat)
    params, stats = random_weights(net)

    def loss(params, images, net=net, stats=stats):
      embedding, new_stats = net.apply(
        params, stats, images, train=True, dropout_key=jax.random.key(1)
      )
      return jnp.mean(embedding**2), (embedding, new_stats)

    results.append(
      jax.jit(jax.grad(loss, has_aux=True), compiler_options=QUICK)(
        params, images
      )
    )
    _, pull = jax.eval_shape(
      lambda params, loss=loss: jax.vjp(lambda p: loss(p, images)[0], params),
      params,
    )
    kept.append(sum(x.size for x in jax.tree.leaves(pull)))
  assert_trees_close(*results)
  assert kept[1] < kept[0]


@pytest.mark.parametrize(
  'options',
  [
    dict(name='iresnet', mode='ir_se', batch_norm_rows=4, **MINI),
    dict(name='iresnet', mode='ir_se', batch_norm_rows=16, **MINI),
    dict(name='vit', batch_norm_rows=4, mask_ratio=0.5, **MINI_VIT),
  ],
)
def test_sharded_batch_gives_the_same_numbers(options):
  net = backbones.build(**options)
  params, stats = random_weights(net)
  images = random_images(32, 16)
  weight = np.random.default_rng(1).normal(size=(32, 16)).astype(np.float32)

  @functools.partial(jax.jit, compiler_options=QUICK)
  @functools.partial(jax.grad, has_aux=True)
  def gradient_of_loss(params, images):
    embedding, new_stats = net.apply(
      params, stats, images, train=True, dropout_key=jax.random.key(1)
    )
    return jnp.sum(embedding * weight), (embedding, new_stats)

  mesh = jax.make_mesh(
    (8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
  everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  one = gradient_of_loss(params, images)
  eight = gradient_of_loss(
    jax.device_put(params, everywhere), jax.device_put(images, rows)
  )
  # The sums over the batch are taken in another order.
  assert_trees_close(eight, one, 1e-4)


@pytest.mark.parametrize(
  'options',
  [
    dict(name='iresnet', dropout=0.0, mode='ir_cbam', **MINI),
    dict(name='mobilefacenet', **MINI_MBF),
    dict(name='vit', drop_path=0.0, mask_ratio=0.0, **MINI_VIT),
  ],
)
def test_bfloat16_computes_close_to_float32_and_keeps_float32_around(options):
  images = random_images(8, 16)
  results = {}
  for dtype in ('float32', 'bfloat16'):
    net = backbones.build(dtype=dtype, **options)
    params, stats = random_weights(net)

    @functools.partial(jax.jit, compiler_options=QUICK)
    @functools.partial(jax.grad, has_aux=True)
    def gradient_of_loss(params, net=net, stats=stats):
      embedding, new_stats = net.apply(params, stats, images, train=True)
      return jnp.sum(jnp.square(embedding[0])), (embedding, new_stats)

    gradients, (embedding, new_stats) = gradient_of_loss(params)
    for leaf in jax.tree.leaves((params, gradients, embedding, new_stats)):
      assert leaf.dtype == jnp.float32
      assert jnp.all(jnp.isfinite(leaf))
    results[dtype] = embedding
  error = jnp.abs(results['bfloat16'] - results['float32'])
  # bfloat16 has 8 bits: 0.4 % a rounding, some ten of them in a row.
  assert 0 < jnp.mean(error) < 0.05


@pytest.mark.parametrize(
  ('size', 'side', 'stride', 'groups'),
  [
    (3, 6, 1, 1),
    (3, 6, 2, 1),
    (3, 7, 2, 1),
    (1, 6, 2, 1),
    (1, 7, 2, 1),
    (3, 6, 1, 4),  # a channel each
    (3, 6, 2, 4),
    (3, 7, 2, 2),  # two channels each
  ],
)
def test_convolution_and_its_derivative_equal_torch(size, side, stride, groups):
  torch = pytest.importorskip('torch')
  generator = np.random.default_rng(0)
  x = generator.normal(size=(2, side, side, 4)).astype(np.float32)
  kernel = generator.normal(size=(size, size, 4 // groups, 8))
  inputs = to_torch(torch, x).requires_grad_()
  weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
  weight.requires_grad_()
  output = torch.nn.functional.conv2d(
    inputs, weight, stride=stride, padding=size // 2, groups=groups
  )
  output.square().sum().backward()
  convolve = convolution.convolve
  if groups > 1:
    convolve = convolution.convolve_groups

  @functools.partial(jax.jit, compiler_options=QUICK)
  def forward_and_back(x, kernel):
    y, pullback = jax.vjp(lambda *of: convolve(*of, stride), x, kernel)
    return y, *pullback(2 * y)

  y, dx, dkernel = forward_and_back(x, jnp.float32(kernel))
  for ours, theirs, axes in (
    (y, output.detach(), (0, 2, 3, 1)),
    (dx, inputs.grad, (0, 2, 3, 1)),
    (dkernel, weight.grad, (2, 3, 1, 0)),
  ):
    assert_trees_close(ours, theirs.numpy().transpose(axes))


def test_prelu_has_the_derivative_of_torch():
  torch = pytest.importorskip('torch')
  x = np.array([[-2.0, 1.5], [0.0, 0.0], [3.0, -1.0]], np.float32)
  slope = np.array([0.25, -0.5], np.float32)
  inputs = torch.tensor(x, requires_grad=True)
  weight = torch.tensor(slope, requires_grad=True)
  output = torch.nn.functional.prelu(inputs, weight)
  output.square().sum().backward()
  ours = layers.prelu(x, slope)
  dx, dslope = jax.grad(
    lambda x, slope: jnp.sum(jnp.square(layers.prelu(x, slope))), (0, 1)
  )(x, slope)
  np.testing.assert_allclose(ours, output.detach().numpy())
  np.testing.assert_allclose(dx, inputs.grad.numpy())
  np.testing.assert_allclose(dslope, weight.grad.numpy())
  ones = jnp.ones_like(x)
  _, pullback = jax.vjp(layers.prelu, x, slope)
  torch.nn.functional.prelu(inputs, weight).sum().backward()
  np.testing.assert_allclose(pullback(ones)[0][1], slope)


@pytest.mark.parametrize(
  'options',
  [
    dict(name='iresnet', dropout=0.5, **MINI),
    dict(name='vit', drop_path=0.5, mask_ratio=0.0, **MINI_VIT),
    dict(name='vit', drop_path=0.0, mask_ratio=0.5, **MINI_VIT),
  ],
)
def test_what_is_drawn_follows_its_key(options):
  net = backbones.build(**options)
  params, stats = random_weights(net)
  images = random_images(8, 16)
  train = jax.jit(functools.partial(net.apply, train=True))
  first, again, other = (
    train(params, stats, images, dropout_key=jax.random.key(seed))[0]
    for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  assert jnp.any(first != other)


def test_the_demo_net_embeds():
  net = backbones.build('iresnet', **DEMO)
  params, stats = jax.eval_shape(net.init, jax.random.key(0))
  embedding, _ = jax.eval_shape(
    functools.partial(net.apply, train=False),
    params,
    stats,
    jax.ShapeDtypeStruct((4, 48, 48, 3), jnp.float32),
  )
  assert embedding.shape == (4, net.embedding_dim) == (4, 128)


def test_pixels_are_scaled_to_plus_minus_one():
  pixels = jnp.array([0, 51, 255], jnp.uint8)
  scaled = backbones.scale_pixels(pixels)
  assert scaled.dtype == jnp.float32
  np.testing.assert_allclose(scaled, [-1, -0.6, 1], atol=1e-6)


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    (dict(name='vgg'), 'No backbone called .vgg.. There are: .*iresnet'),
    (dict(name='layers'), 'No backbone called .layers.'),
    (
      dict(width=3),
      'No option of the backbone .iresnet. called .width.*widths',
    ),
    (dict(depth=34), '34.*50, 100, 152'),
    (dict(mode='se'), 'mode.*ir_cbam, ir_sam, ir_se'),
    (dict(image_size=100), '100.*total stride of the backbone, 16.*96 and 112'),
    (dict(blocks=(1, 1)), '3 numbers'),
    (dict(dtype='float16'), "float16.*'float32' or 'bfloat16'"),
    (dict(dropout=1.0), 'dropout=1.0: .* at least 0 and below 1'),
    (dict(batch_norm_rows=-1), 'batch_norm_rows=-1: expected 0 or more'),
    (dict(batch_norm_momentum=0.0), 'batch_norm_momentum=0.0: .*above 0'),
    (dict(variant='arcface'), 'arcface.*adaface, boundaryface, facexzoo'),
    (dict(variant='adaface', depth=100), "'adaface'. .*18, 34, 50, 101"),
    (dict(name='mobilefacenet', variant='small'), 'mbf, mbf_large'),
    (dict(name='mobilefacenet', blocks=(1, 2)), 'four numbers'),
    (dict(name='mobilefacenet', image_size=40), '40.*stride .*16.*32 and 48'),
    (dict(name='mobilefacenet', depth=50), 'called .depth.*blocks'),
    (dict(name='vit', variant='vit_x'), 'vit_x.*vit_b, .*vit_t'),
    (dict(name='vit', dim=100), '100.*multiple of heads = 8'),
    (dict(name='vit', image_size=8), 'image_size = 8.*patch_size = 9'),
    (dict(name='vit', mask_ratio=1.0), 'mask_ratio=1.0'),
    (dict(name='vit', drop_path=-0.1), 'drop_path=-0.1'),
  ],
)
def test_bad_options_are_refused_with_the_remedy(options, said):
  with pytest.raises(errors.UserError, match=said):
    backbones.build(**{'name': 'iresnet', **options})


def test_groups_that_do_not_divide_the_batch_are_refused():
  net = backbones.build('iresnet', batch_norm_rows=4, **MINI)
  params, stats = jax.eval_shape(net.init, jax.random.key(0))
  with pytest.raises(errors.UserError, match=r'batch of 6 .*= 4 images'):
    jax.eval_shape(
      functools.partial(net.apply, train=True),
      params,
      stats,
      jax.ShapeDtypeStruct((6, 16, 16, 3), jnp.float32),
    )
