"""Each backbone against the code base that it comes from: function and size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import originals
from bfjax import backbones

torch = pytest.importorskip('torch')

import torch_adaface  # noqa: E402
import torch_boundaryface  # noqa: E402
import torch_facexzoo  # noqa: E402
import torch_insightface  # noqa: E402
import torch_vit  # noqa: E402

pytestmark = pytest.mark.slow

SMALL = dict(widths=(8, 8, 16, 16, 32), blocks=(1, 2, 1, 1))
TINY = dict(widths=(16, 16, 32), blocks=(2, 1))
RATE, WEIGHT_DECAY = 0.1, 5e-4
# Compiling takes longer than computing.
QUICK = {'xla_backend_optimization_level': 0}


def iresnet(variant, make, names, *, size=32, sizes=TINY, dim='', **options):
  """Theirs, ours, names and the channels that are flattened."""
  theirs = make(image_size=size, dropout=0.0, **{dim: 16}, **sizes, **options)
  ours = backbones.build(
    'iresnet',
    variant=variant,
    image_size=size,
    embedding_dim=16,
    dropout=0.0,
    **sizes,
    **options,
  )
  return theirs, ours, names(sizes['blocks']), sizes['widths'][-1]


def boundaryface(mode='ir', **options):
  return iresnet(
    'boundaryface',
    torch_boundaryface.CBAMResNet,
    functools.partial(originals.boundaryface, mode=mode),
    dim='feature_dim',
    mode=mode,
    **options,
  )


def adaface(**options):
  names = functools.partial(
    originals.adaface, bottleneck=options.get('depth', 0) > 101
  )
  make = torch_adaface.Backbone
  return iresnet('adaface', make, names, dim='feature_dim', **options)


def facexzoo(**options):
  make, names = torch_facexzoo.Resnet, originals.facexzoo
  return iresnet('facexzoo', make, names, dim='feat_dim', **options)


def insightface():
  make, names = torch_insightface.IResNet, originals.insightface
  return iresnet('insightface', make, names, dim='num_features')


def mobilefacenet(variant, scale, blocks):
  sizes = dict(image_size=32, blocks=blocks)
  theirs = torch_insightface.MobileFaceNet(
    scale=scale, unit=4, num_features=16, **sizes
  )
  ours = backbones.build(
    'mobilefacenet', variant=variant, width=4, embedding_dim=16, **sizes
  )
  return theirs, ours, originals.mobilefacenet(blocks), 0


def vit():
  sizes = dict(image_size=32, dim=32, depth=2, heads=4)
  theirs = torch_vit.VisionTransformer(num_features=16, **sizes)
  ours = backbones.build(
    'vit', variant='vit_t_dp005_mask0', embedding_dim=16, drop_path=0, **sizes
  )
  return theirs, ours, originals.vit(2), 0


CASES = {
  'boundaryface, 112 pixels': lambda: boundaryface(size=112, sizes=SMALL),
  'boundaryface, ir_se': lambda: boundaryface('ir_se'),
  'boundaryface, ir_cam': lambda: boundaryface('ir_cam'),
  'boundaryface, ir_sam': lambda: boundaryface('ir_sam'),
  'boundaryface, ir_cbam': lambda: boundaryface('ir_cbam'),
  'insightface': insightface,
  'adaface': adaface,
  'adaface, ir_se': lambda: adaface(mode='ir_se'),
  'adaface, bottlenecks': lambda: adaface(depth=152),
  'facexzoo': facexzoo,
  'facexzoo, ir_se': lambda: facexzoo(mode='ir_se'),
  'mbf': lambda: mobilefacenet('mbf', 2, (1, 1, 0, 0)),
  'mbf_large': lambda: mobilefacenet('mbf_large', 4, (2, 0, 0, 0)),
  'vit': vit,
}


def embed(net, images):
  """What the original gives, AdaFace's direction and norm multiplied."""
  found = net(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64)))
  return found[0] * found[1] if isinstance(found, tuple) else found


def as_theirs(case, embedding):
  """Ours as the original gives it: FaceX-Zoo's has length 1."""
  if case.startswith('facexzoo'):
    return embedding / jnp.linalg.norm(embedding, axis=1, keepdims=True)
  return embedding


def randomise(net):
  """Random affine parameters and statistics: none is 0 or 1 any more."""
  with torch.no_grad():
    for value in net.parameters():
      if value.ndim == 1 and value.requires_grad:
        value.add_(0.2 * torch.randn(value.shape))
    for name, value in net.named_buffers():
      if name.endswith(('running_mean', 'running_var')):
        value.add_(0.3 * torch.rand(value.shape))


def step_of_theirs(net, images, weight):
  """One step of SGD; returns the gradients by name."""
  net.train()
  (embed(net, images) * torch.from_numpy(weight)).sum().backward()
  trained = {k: p for k, p in net.named_parameters() if p.requires_grad}
  for p in trained.values():  # ViT's mask token takes no part without masking
    p.grad = torch.zeros_like(p) if p.grad is None else p.grad
  gradients = {name: p.grad.clone() for name, p in trained.items()}
  with torch.no_grad():
    for p in trained.values():
      p -= RATE * (p.grad + WEIGHT_DECAY * p)
  return gradients


def assert_trees_close(ours, theirs, tolerance):
  """Differences relative to each leaf's largest value, or to 1 if smaller."""

  def check(path, a, b):
    limit = tolerance * max(np.abs(b).max(), 1)
    where = jax.tree_util.keystr(path)
    np.testing.assert_allclose(a, b, atol=limit, rtol=0, err_msg=where)

  jax.tree_util.tree_map_with_path(check, ours, theirs)


@pytest.mark.parametrize('case', CASES)
def test_inference_and_a_training_step_equal_the_originals(case):
  torch.manual_seed(0)
  theirs, ours, names, channels = CASES[case]()
  randomise(theirs)
  theirs.double().eval()
  shapes = jax.eval_shape(ours.init, jax.random.key(0))
  in_ours = functools.partial(originals.place, names=names, channels=channels)
  params, stats = (in_ours(theirs.state_dict(), like=like) for like in shapes)
  size = 112 if case.endswith('112 pixels') else 32
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (6, size, size, 3)).astype(np.float32)
  weight = rng.normal(size=(6, 16)).astype(np.float32)

  @functools.partial(jax.jit, compiler_options=QUICK)
  def infer_and_step(params):
    def loss(params):
      embedding, new_stats = ours.apply(params, stats, images, train=True)
      return jnp.sum(as_theirs(case, embedding) * weight), new_stats

    inferred, _ = ours.apply(params, stats, images, train=False)
    gradients, new_stats = jax.grad(loss, has_aux=True)(params)
    moved = jax.tree.map(
      lambda p, g: p - RATE * (g + WEIGHT_DECAY * p), params, gradients
    )
    return as_theirs(case, inferred), gradients, moved, new_stats

  inferred, gradients, moved, new_stats = infer_and_step(params)
  with torch.no_grad():
    expected = embed(theirs, images).numpy()
  np.testing.assert_allclose(inferred, expected, atol=1e-5, rtol=1e-5)
  their_gradients = step_of_theirs(theirs, images, weight)
  after = theirs.state_dict()
  assert_trees_close(gradients, in_ours(their_gradients, like=params), 1e-4)
  assert_trees_close(moved, in_ours(after, like=params), 1e-4)
  assert_trees_close(new_stats, in_ours(after, like=stats), 1e-5)


def test_ir50_whole_equals_the_original():
  torch.manual_seed(0)
  theirs = torch_boundaryface.CBAMResNet()
  randomise(theirs)
  theirs.double().eval()
  ours = backbones.build('iresnet')
  names = originals.boundaryface((3, 4, 14, 3))
  params, stats = (
    originals.place(theirs.state_dict(), names, like, channels=512)
    for like in jax.eval_shape(ours.init, jax.random.key(0))
  )
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (2, 112, 112, 3)).astype(np.float32)
  with torch.no_grad():
    expected = embed(theirs, images).numpy()
  infer = jax.jit(functools.partial(ours.apply, train=False))
  embedding, _ = infer(params, stats, images)
  # Weights drawn at random let the map grow to hundreds along the way.
  scale = np.abs(expected).max()
  np.testing.assert_allclose(embedding / scale, expected / scale, atol=1e-5)


BF, IF, AF, FZ = (
  dict(name='iresnet', variant=variant)
  for variant in ('boundaryface', 'insightface', 'adaface', 'facexzoo')
)
MBF, VIT = dict(name='mobilefacenet'), dict(name='vit')
COUNTS = [
  (BF, dict(), torch_boundaryface.CBAMResNet, 43_590_848),
  (BF, dict(mode='ir_se'), torch_boundaryface.CBAMResNet, 43_813_568),
  (BF, dict(mode='ir_cbam'), torch_boundaryface.CBAMResNet, 43_814_000),
  (BF, dict(depth=100), torch_boundaryface.CBAMResNet, 65_156_160),
  (BF, dict(depth=152), torch_boundaryface.CBAMResNet, 70_765_760),
  (IF, dict(depth=18), torch_insightface.IResNet, 24_025_600),
  (IF, dict(depth=34), torch_insightface.IResNet, 34_139_328),
  (IF, dict(depth=50), torch_insightface.IResNet, 43_590_848),
  (IF, dict(depth=100), torch_insightface.IResNet, 65_156_160),
  (IF, dict(depth=200), torch_insightface.IResNet, 118_833_920),
  (AF, dict(depth=18), torch_adaface.Backbone, 24_020_352),
  (AF, dict(depth=34), torch_adaface.Backbone, 34_134_080),
  (AF, dict(depth=50), torch_adaface.Backbone, 43_585_600),
  (AF, dict(depth=50, mode='ir_se'), torch_adaface.Backbone, 43_808_320),
  (AF, dict(depth=101), torch_adaface.Backbone, 65_150_912),
  (AF, dict(depth=152), torch_adaface.Backbone, 109_636_736),
  (AF, dict(depth=200), torch_adaface.Backbone, 114_138_240),
  (FZ, dict(depth=50), torch_facexzoo.Resnet, 43_574_976),
  (FZ, dict(depth=100, mode='ir_se'), torch_facexzoo.Resnet, 65_502_016),
  (FZ, dict(depth=152), torch_facexzoo.Resnet, 70_737_600),
  (MBF, dict(blocks=(1, 4, 6, 2)), torch_insightface.MobileFaceNet, 2_059_520),
  (VIT, dict(dim=256, depth=12), torch_vit.VisionTransformer, 19_137_792),
  (VIT, dict(dim=512, depth=12), torch_vit.VisionTransformer, 76_023_296),
  (VIT, dict(dim=512, depth=24), torch_vit.VisionTransformer, 113_833_472),
  (VIT, dict(dim=768, depth=24), torch_vit.VisionTransformer, 255_684_352),
]


@pytest.mark.parametrize(('ours', 'sizes', 'theirs', 'count'), COUNTS)
def test_parameters_are_as_many_as_the_originals(ours, sizes, theirs, count):
  with torch.device('meta'):  # sizes alone
    parameters = list(theirs(**sizes).parameters())
  assert sum(p.numel() for p in parameters) == count
  trained = sum(p.numel() for p in parameters if p.requires_grad)
  # InsightFace's last norm has 512 scales that are fixed at 1.
  assert count - trained == (512 if ours == IF else 0)
  net = backbones.build(**ours, **sizes)
  params, _ = jax.eval_shape(net.init, jax.random.key(0))
  assert sum(p.size for p in jax.tree.leaves(params)) == trained


def test_variants_are_as_large_as_the_originals():
  for name, variant, count in [
    ('mobilefacenet', 'mbf', 2_059_520),
    ('mobilefacenet', 'mbf_large', 6_314_880),
    ('vit', 'vit_t', 19_137_792),
    ('vit', 'vit_s', 76_023_296),
    ('vit', 'vit_b', 113_833_472),
    ('vit', 'vit_l_dp005_mask_005', 255_684_352),
  ]:
    net = backbones.build(name, variant=variant)
    params, _ = jax.eval_shape(net.init, jax.random.key(0))
    assert sum(p.size for p in jax.tree.leaves(params)) == count, variant
