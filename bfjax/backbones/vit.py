"""Vision transformers for faces, as InsightFace's arcface_torch has them.

Patches: conv9x9 (stride 9), which leaves out what is beyond the last whole
patch, plus learned positions; no class token. Blocks: x + attention(LN(x)),
x + mlp(LN(x)), with ReLU6. Head: LN - flatten - linear - BN - linear - BN.

In training, each image's patches are drawn anew: `mask_ratio` of them are left
out of the blocks and replaced by a learned token before the head, and a branch
of a block is dropped with a probability that grows linearly from 0 in the first
block to `drop_path` in the last.

Source: "vit_t", "vit_s", "vit_b", "vit_l" of deepinsight/insightface, after An
Image is Worth 16x16 Words (Dosovitskiy et al., ICLR 2021).
"""

import functools
from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax import backbones, errors
from bfjax.backbones.parts import convolution, functional, layers
from bfjax.config import limits

# Variant -> dimension, blocks, drop_path and mask_ratio.
VARIANTS = {
  'vit_t': (256, 12, 0.1, 0.1),
  'vit_t_dp005_mask0': (256, 12, 0.05, 0.0),
  'vit_s': (512, 12, 0.1, 0.1),
  'vit_s_dp005_mask_0': (512, 12, 0.05, 0.0),
  'vit_b': (512, 24, 0.1, 0.1),
  'vit_b_dp005_mask_005': (512, 24, 0.05, 0.05),
  'vit_l_dp005_mask_005': (768, 24, 0.05, 0.05),
}

# What batch norm of the head adds to a variance.
HEAD_EPSILON = 2e-5

# Normal with deviation 0.02; the original cuts it off at 2, a hundred of them.
_normal = nn.initializers.normal(0.02)
_linear = functools.partial(nn.Dense, kernel_init=_normal)
_layer_norm = functools.partial(nn.LayerNorm, epsilon=1e-5)


def attend(qkv: jax.Array) -> jax.Array:
  """Each head's `softmax(q k' / sqrt(d)) v`, in float32.

  Args:
    qkv: float [n, patches, 3, heads, d]: queries, keys and values.

  Returns:
    float32 [n, patches, heads * d].
  """
  q, k, v = jnp.moveaxis(qkv.astype(jnp.float32), 2, 0)
  weights = jnp.einsum('nqhd,nkhd->nhqk', q, k) * q.shape[-1] ** -0.5
  mixed = jnp.einsum('nhqk,nkhd->nqhd', jax.nn.softmax(weights), v)
  return mixed.reshape(*mixed.shape[:2], -1)


class _Attention(nn.Module):
  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    n, patches, dim = x.shape
    linear = functools.partial(_linear, dtype=self.dtype)
    qkv = linear(3 * dim, use_bias=False, name='qkv')(x)
    mixed = attend(qkv.reshape(n, patches, 3, self.heads, -1))
    return linear(dim, name='out')(mixed)


class _Mlp(nn.Module):
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    dim = x.shape[-1]
    linear = functools.partial(_linear, dtype=self.dtype)
    hidden = nn.relu6(linear(4 * dim, name='expand')(x))
    return linear(dim, name='project')(hidden)


class _Block(nn.Module):
  """x + attention(LN(x)), then x + mlp(LN(x)); a branch may be dropped."""

  heads: int
  dtype: jnp.dtype
  drop_path: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    def drop(branch):
      """Drops an image's branch as a whole."""
      drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2))
      return drop(branch, deterministic=not train).astype(jnp.float32)

    branch = _Attention(self.heads, self.dtype, name='attention')
    x = x + drop(branch(_layer_norm(name='norm1')(x)))
    branch = _Mlp(self.dtype, name='mlp')
    return x + drop(branch(_layer_norm(name='norm2')(x)))


def shuffle(
  key: jax.Array, rows: int, patches: int
) -> tuple[jax.Array, jax.Array]:
  """Draws a permutation of the patches for each row; the first are kept.

  Returns:
    int [rows, patches], the permutations, and their inverses.
  """
  order = jnp.argsort(jax.random.uniform(key, (rows, patches)), axis=1)
  return order, jnp.argsort(order, axis=1)


class VisionTransformer(nn.Module):
  """The network; see `build` for the attributes, docs/backbones.md for names.

  The residual sums are float32.
  """

  dim: int
  depth: int
  heads: int
  patch_size: int
  embedding_dim: int
  drop_path: float
  mask_ratio: float
  dtype: jnp.dtype
  norm: Callable[..., layers.BatchNorm]
  wrap: Callable

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Images [n, h, w, c] to embeddings [n, d]."""
    x = nn.Conv(
      self.dim,
      (self.patch_size, self.patch_size),
      strides=self.patch_size,
      padding='VALID',
      kernel_init=convolution.torch_uniform,
      name='patch_conv',
    )(images.astype(jnp.float32))
    n = x.shape[0]
    x = x.reshape(n, -1, self.dim)
    patches = x.shape[1]
    x = x + self.param('pos_embed', _normal, (patches, self.dim))[None]
    mask_token = self.param('mask_token', _normal, (self.dim,))
    masked = train and self.mask_ratio > 0
    if masked:
      order, back = shuffle(self.make_rng('dropout'), n, patches)
      kept = int(patches * (1 - self.mask_ratio))
      x = jnp.take_along_axis(x, order[:, :kept, None], axis=1)
    for i in range(self.depth):
      rate = self.drop_path * i / max(self.depth - 1, 1)
      name = f'block{i + 1}'
      block = self.wrap(_Block)(self.heads, self.dtype, rate, name=name)
      x = block(x, train)
    x = _layer_norm(name='final_norm')(x)
    if masked:
      tokens = jnp.broadcast_to(mask_token, (n, patches - kept, self.dim))
      x = jnp.concatenate([x, tokens], axis=1)
      x = jnp.take_along_axis(x, back[:, :, None], axis=1)
    return self._head(x.reshape(n, -1), train)

  def _head(self, x, train):
    norm = functools.partial(self.norm, epsilon=HEAD_EPSILON)
    linear = functools.partial(_linear, use_bias=False, dtype=self.dtype)
    x = linear(self.dim, name='head_linear')(x).astype(jnp.float32)
    x = norm(name='head_norm')(x, train=train)
    x = linear(self.embedding_dim, name='out_linear')(x).astype(jnp.float32)
    return norm(name='embedding_norm')(x, train=train)


def build(
  *,
  variant: str = 'vit_t',
  dim: int = 0,
  depth: int = 0,
  heads: int = 8,
  patch_size: int = 9,
  drop_path: float | None = None,
  mask_ratio: float | None = None,
  **common: Unpack[functional.Options],  # type: ignore[misc]
) -> backbones.Backbone:
  """Builds a vision transformer.

  Args:
    variant: 'vit_t', 'vit_s', 'vit_b', or one of arcface_torch's for
      WebFace42M, whose names end in what they drop and mask: see `VARIANTS`.
    dim: the length of a patch's vector, a multiple of `heads`; 0 for the
      variant's.
    depth: blocks; 0 for the variant's.
    heads: of attention.
    patch_size: height and width of a patch in pixels.
    drop_path: the probability to drop a branch of the last block; None for the
      variant's.
    mask_ratio: the part of the patches that is masked in training; None for
      the variant's.
    **common: see `functional.Options`; what is computed in `dtype` is linear
      layers.

  Raises:
    UserError: if an option has a value that it cannot have.
  """
  options = functional.Options(**common)
  original = errors.choose('variant of backbone vit', variant, VARIANTS)
  dim, depth = dim or original[0], depth or original[1]
  drop_path = original[2] if drop_path is None else drop_path
  mask_ratio = original[3] if mask_ratio is None else mask_ratio
  limits.check('backbone.drop_path', drop_path)
  limits.check('backbone.mask_ratio', mask_ratio)
  if dim % heads:
    raise errors.UserError(
      f'dim = {dim} of backbone vit must be a multiple of heads = {heads}.'
    )
  if options.image_size < patch_size:
    raise errors.UserError(
      f'image_size = {options.image_size} of backbone vit must be at least'
      f' patch_size = {patch_size}.'
    )
  net = VisionTransformer(
    dim=dim,
    depth=depth,
    heads=heads,
    patch_size=patch_size,
    drop_path=drop_path,
    mask_ratio=mask_ratio,
    **options.attributes(),
  )
  return functional.backbone(net, options.image_size)
