"""IR-ResNet, the backbone of the published results.

Stem: conv3x3 - BN - PReLU. Stages of blocks, the first of each with stride 2.
A block: BN - conv3x3 - BN - PReLU - conv3x3 (stride) - BN (- attention), plus
the shortcut: conv1x1 (stride) - BN in a stage's first block, else identity.
Head: BN - dropout - flatten - linear - BN.

Source: "Res50_IR" of SWJTU-3DVision/BoundaryFace, after ArcFace (Deng et al.,
CVPR 2019).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from bfjax import backbones, errors
from bfjax.backbones.parts import attention, convolution, layers

# Blocks in each stage, by depth.
BLOCKS = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)}

# What ends a residual branch, by mode.
ATTENTION = {
  'ir': None,
  'ir_se': attention.SqueezeExcite,
  'ir_cam': attention.ChannelAttention,
  'ir_sam': attention.SpatialAttention,
  'ir_cbam': attention.ChannelSpatialAttention,
}

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


class _Block(nn.Module):
  """A residual block; `first` has stride 2 and a shortcut with weights."""

  features: int
  first: bool
  mode: str
  norm: Callable[..., layers.BatchNorm]

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    def norm(y, name):
      return self.norm(name=name)(y, train=train)

    def conv(y, size, stride, name):
      return convolution.Conv(self.features, size, stride, name=name)(y)

    stride = 2 if self.first else 1
    branch = conv(norm(x, 'norm1'), 3, 1, 'conv1')
    branch = layers.PReLU(name='prelu')(norm(branch, 'norm2'))
    branch = norm(conv(branch, 3, stride, 'conv2'), 'norm3')
    if ATTENTION[self.mode] is not None:
      branch = ATTENTION[self.mode](name='attention')(branch)
    if self.first:
      x = norm(conv(x, 1, stride, 'shortcut_conv'), 'shortcut_norm')
    return branch + x


class IResNet(nn.Module):
  """The network; see `build` for the attributes.

  Names: `stem_conv`, `stem_norm`, `stem_prelu`; `stage<i>_block<j>` (from 1)
  with `norm1`, `conv1`, `norm2`, `prelu`, `conv2`, `norm3`, `attention`,
  `shortcut_conv`, `shortcut_norm`; `head_norm`, `head_linear`,
  `embedding_norm`. Kernels are [height, width, in, out] and [in, out].

  The map is flattened in (height, width, channel) order. Torch flattens
  (channel, height, width): its weight W [out, c * h * w] is this kernel as
  `W.reshape(out, c, h, w).transpose(2, 3, 1, 0).reshape(h * w * c, out)`.
  """

  mode: str
  embedding_dim: int
  widths: tuple[int, ...]
  blocks: tuple[int, ...]
  stem_stride: int
  dropout: float
  dtype: jnp.dtype
  batch_norm_rows: int
  batch_norm_momentum: float

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    norm = functools.partial(
      layers.BatchNorm,
      group_rows=self.batch_norm_rows,
      momentum=self.batch_norm_momentum,
    )
    x = images.astype(self.dtype)
    x = convolution.Conv(self.widths[0], 3, self.stem_stride, name='stem_conv')(
      x
    )
    x = norm(name='stem_norm')(x, train=train)
    x = layers.PReLU(name='stem_prelu')(x)
    for i, (features, blocks) in enumerate(
      zip(self.widths[1:], self.blocks, strict=True), start=1
    ):
      for j in range(1, blocks + 1):
        block = _Block(
          features, j == 1, self.mode, norm, name=f'stage{i}_block{j}'
        )
        x = block(x, train=train)
    x = norm(name='head_norm')(x, train=train)
    x = nn.Dropout(self.dropout, name='head_dropout')(
      x, deterministic=not train
    )
    x = nn.Dense(
      self.embedding_dim,
      dtype=self.dtype,
      kernel_init=convolution.xavier_uniform,
      name='head_linear',
    )(x.reshape(x.shape[0], -1))
    x = x.astype(jnp.float32)
    return norm(name='embedding_norm')(x, train=train)


def build(
  *,
  depth: int = 50,
  mode: str = 'ir',
  image_size: int = 112,
  embedding_dim: int = 512,
  widths: tuple[int, ...] = (64, 64, 128, 256, 512),
  blocks: tuple[int, ...] = (),
  stem_stride: int = 1,
  dropout: float = 0.4,
  dtype: str = 'float32',
  batch_norm_rows: int = 0,
  batch_norm_momentum: float = 0.1,
) -> backbones.Backbone:
  """Builds an IR-ResNet.

  Args:
    depth: 50, 100 or 152: how many blocks the four stages have.
    mode: what ends a residual branch: 'ir' nothing, 'ir_se' squeeze-excite,
      'ir_cam' channel attention, 'ir_sam' spatial attention, 'ir_cbam' both.
    image_size: height and width in pixels, a multiple of the total stride
      (16 with four stages and a stem of stride 1).
    embedding_dim: the length of an embedding.
    widths: channels of the stem and of each stage.
    blocks: blocks in each stage, for nets of other sizes; () to go by `depth`.
    stem_stride: the stem's stride; 2 for small and quick nets.
    dropout: the rate of dropout before the linear layer.
    dtype: 'float32' or 'bfloat16', what is computed in; parameters, statistics
      and embeddings are float32 in either case.
    batch_norm_rows: rows whose batch-norm statistics are taken together; 0
      for the whole batch. A batch that it does not divide is a UserError.
    batch_norm_momentum: the weight of a batch in the running statistics.

  Raises:
    UserError: if an option has a value that it cannot have.
  """
  errors.choose('mode of backbone iresnet', mode, ATTENTION)
  dtype = errors.choose('dtype of backbone iresnet', dtype, DTYPES)
  if not blocks:
    _check_depth(depth)
    blocks = BLOCKS[depth]
  _check_shape(image_size, tuple(widths), tuple(blocks), stem_stride)
  _check_numbers(dropout, batch_norm_rows, batch_norm_momentum)
  net = IResNet(
    mode=mode,
    embedding_dim=embedding_dim,
    widths=tuple(widths),
    blocks=tuple(blocks),
    stem_stride=stem_stride,
    dropout=dropout,
    dtype=dtype,
    batch_norm_rows=batch_norm_rows,
    batch_norm_momentum=batch_norm_momentum,
  )

  def init(key):
    # One image is enough to know the shapes, and inference needs no groups.
    images = jnp.zeros((1, image_size, image_size, 3), jnp.float32)
    variables = net.init(key, images, train=False)
    return variables['params'], variables['batch_stats']

  def apply(params, stats, images, *, train, dropout_key=None):
    variables = {'params': params, 'batch_stats': stats}
    if not train:
      return net.apply(variables, images, train=False), stats
    rngs = None if dropout_key is None else {'dropout': dropout_key}
    embedding, updated = net.apply(
      variables, images, train=True, rngs=rngs, mutable=['batch_stats']
    )
    return embedding, updated['batch_stats']

  return backbones.Backbone(init, apply, embedding_dim)


def _check_depth(depth):
  if depth not in BLOCKS:
    raise errors.UserError(
      f'No depth {depth!r} of backbone iresnet. There are: '
      f'{", ".join(map(str, BLOCKS))}; or give `blocks`, one number a stage.'
    )


def _check_shape(image_size, widths, blocks, stem_stride):
  if len(widths) != len(blocks) + 1:
    raise errors.UserError(
      f'widths = {widths} of backbone iresnet must name the channels of the '
      f'stem and of each of the {len(blocks)} stages of blocks = {blocks}: '
      f'{len(blocks) + 1} numbers.'
    )
  stride = stem_stride * 2 ** len(blocks)
  if image_size < stride or image_size % stride:
    raise errors.UserError(
      f'image_size = {image_size} of backbone iresnet must be a multiple of '
      f'its total stride, {stride}: {stride}, {2 * stride}, ...'
    )


def _check_numbers(dropout, batch_norm_rows, batch_norm_momentum):
  if not 0 <= dropout < 1:
    raise errors.UserError(
      f'dropout = {dropout} of backbone iresnet must be at least 0 and below 1.'
    )
  if batch_norm_rows < 0:
    raise errors.UserError(
      f'batch_norm_rows = {batch_norm_rows} of backbone iresnet must be a '
      'number of rows, or 0 for the whole batch.'
    )
  if not 0 < batch_norm_momentum <= 1:
    raise errors.UserError(
      f'batch_norm_momentum = {batch_norm_momentum} of backbone iresnet must '
      'be above 0 and at most 1.'
    )
