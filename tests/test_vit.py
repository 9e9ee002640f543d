"""What a vision transformer draws in training, and how it starts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import originals
from bfjax import backbones
from bfjax.backbones import vit

pytestmark = pytest.mark.slow

SIZES = dict(image_size=16, dim=16, depth=2, heads=2, patch_size=4)


def test_masked_patches_skip_the_blocks_and_a_token_stands_for_them(
  monkeypatch,
):
  torch = pytest.importorskip('torch')
  import torch_vit

  torch.manual_seed(0)
  theirs = torch_vit.VisionTransformer(num_features=8, **SIZES).double().eval()
  ours = backbones.build(
    'vit', drop_path=0.0, mask_ratio=0.3, embedding_dim=8, **SIZES
  )
  params, stats = (
    originals.place(theirs.state_dict(), originals.vit(2), like)
    for like in jax.eval_shape(ours.init, jax.random.key(0))
  )
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (5, 16, 16, 3)).astype(np.float32)
  order = np.argsort(rng.random((5, 16)), axis=1)
  back = np.argsort(order, axis=1)
  monkeypatch.setattr(vit, 'shuffle', lambda key, n, patches: (order, back))
  embedding, _ = jax.jit(functools.partial(ours.apply, train=True))(
    params, stats, images, dropout_key=jax.random.key(0)
  )

  x = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64))
  with torch.no_grad():
    x = theirs.patch_embed(x) + theirs.pos_embed
    # 16 patches less 30 %: 11.2, so 11 are kept.
    rows = []
    for row, kept in zip(x, order[:, :11], strict=True):
      y = row[kept][None]
      for block in theirs.blocks:
        y = block(y)
      whole = theirs.mask_token[0].repeat(16, 1)
      whole[kept] = theirs.norm(y)[0]
      rows.append(whole.flatten())
    expected = theirs.feature.train()(torch.stack(rows))
  np.testing.assert_allclose(embedding, expected, atol=1e-4)


def test_every_patch_is_kept_as_often_as_any_other():
  order, back = vit.shuffle(jax.random.key(0), 2000, 16)
  every = np.broadcast_to(np.arange(16), order.shape)
  np.testing.assert_array_equal(np.sort(order, axis=1), every)
  np.testing.assert_array_equal(np.take_along_axis(order, back, 1), every)
  kept = np.bincount(np.asarray(order[:, :8]).ravel(), minlength=16) / 2000
  # A share of 1/2 in 2000 draws deviates by 0.011.
  assert np.abs(kept - 0.5).max() < 0.05


def test_an_images_branch_is_dropped_whole_or_doubled():
  block = vit._Block(heads=2, dtype=jnp.float32, drop_path=0.5)
  x = np.random.default_rng(0).normal(size=(200, 4, 8)).astype(np.float32)
  variables = block.init(jax.random.key(0), x, train=False)
  # The other branch gives nothing.
  project = variables['params']['mlp']['project']
  project['kernel'] = jnp.zeros_like(project['kernel'])
  whole = block.apply(variables, x, train=False) - x
  dropped = block.apply(
    variables, x, train=True, rngs={'dropout': jax.random.key(1)}
  )
  factor = jnp.sum((dropped - x) * whole, (1, 2)) / jnp.sum(whole**2, (1, 2))
  np.testing.assert_allclose(
    dropped - x, factor[:, None, None] * whole, atol=1e-5
  )
  share = np.mean(np.isclose(factor, 2, atol=1e-4))
  assert np.all(np.isclose(factor, 2, atol=1e-4) | np.isclose(factor, 0))
  # 200 draws deviate by 0.035.
  assert abs(share - 0.5) < 0.15


def test_variants_differ_in_what_they_draw():
  _, _, drop_path, mask_ratio = vit.VARIANTS['vit_b']
  assert (drop_path, mask_ratio) == (0.1, 0.1)
  assert vit.VARIANTS['vit_t_dp005_mask0'][2:] == (0.05, 0.0)
  assert vit.VARIANTS['vit_b_dp005_mask_005'][2:] == (0.05, 0.05)


def test_initial_values_are_those_of_the_original():
  net = backbones.build('vit', embedding_dim=8, **{**SIZES, 'dim': 64})
  params, _ = net.init(jax.random.key(0))
  qkv = params['block1']['attention']['qkv']
  np.testing.assert_allclose(jnp.std(qkv['kernel']), 0.02, rtol=0.05)
  np.testing.assert_allclose(jnp.std(params['pos_embed']), 0.02, rtol=0.1)
  patch = params['patch_conv']['kernel']
  limit = (3 * 4 * 4) ** -0.5
  assert 0.95 * limit < jnp.max(jnp.abs(patch)) <= limit
