"""IR-ResNet, the backbone of the published results, and its relatives.

Stem: conv3x3 - BN - PReLU. Stages of blocks, the first of each with stride 2.
A block: BN - conv3x3 - BN - PReLU - conv3x3 (stride) - BN (- attention), plus
the shortcut: conv1x1 (stride) - BN in a stage's first block, else identity.
Head: BN - dropout - flatten - linear - BN.

Sources: "Res50_IR" of SWJTU-3DVision/BoundaryFace, after ArcFace (Deng et al.,
CVPR 2019); iresnet of deepinsight/insightface (arcface_torch), net.py of
mk-minchul/AdaFace and ResNets.py of JDAI-CV/FaceX-Zoo. What the four do
differently is in `VARIANTS`.
"""

from typing import Unpack

from flax import linen as nn

from bfjax import backbones, errors
from bfjax.backbones.parts import (
  attention,
  convolution,
  functional,
  residual,
)
from bfjax.config import limits

_18, _34, _50 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 14, 3)
_100, _152 = (3, 13, 30, 3), (3, 8, 36, 3)

VARIANTS = {
  'boundaryface': residual.Variant(
    blocks={50: _50, 100: _100, 152: _152},
    kernel_init=convolution.xavier_uniform,
    linear_init=convolution.xavier_uniform,
  ),
  'insightface': residual.Variant(
    blocks={18: _18, 34: _34, 50: _50, 100: _100, 200: (6, 26, 60, 6)},
    kernel_init=nn.initializers.normal(0.1),
    linear_init=convolution.torch_uniform,
    dropout=0.0,
    embedding_scale='fixed',
  ),
  'adaface': residual.Variant(
    blocks={
      18: _18,
      34: _34,
      50: _50,
      101: _100,
      152: _152,
      200: (3, 24, 36, 3),
    },
    kernel_init=convolution.kaiming_fan_out,
    linear_init=convolution.kaiming_fan_out,
    pooled_shortcut=True,
    embedding_scale='none',
    embedding_bias=False,
    bottlenecks=(152, 200),
  ),
  'facexzoo': residual.Variant(
    blocks={50: _50, 100: _100, 152: _152},
    kernel_init=convolution.torch_uniform,
    linear_init=convolution.torch_uniform,
    pooled_shortcut=True,
    middle_norm=False,
  ),
}

# Channels of the stem and of each stage; are the blocks bottlenecks?
WIDTHS = {
  False: (64, 64, 128, 256, 512),
  True: (64, 256, 512, 1024, 2048),
}

# What ends a residual branch, by mode.
ATTENTION = {
  'ir': None,
  'ir_se': attention.SqueezeExcite,
  'ir_cam': attention.ChannelAttention,
  'ir_sam': attention.SpatialAttention,
  'ir_cbam': attention.ChannelSpatialAttention,
}


def build(
  *,
  variant: str = 'boundaryface',
  depth: int = 50,
  mode: str = 'ir',
  widths: tuple[int, ...] = (),
  blocks: tuple[int, ...] = (),
  stem_stride: int = 1,
  dropout: float | None = None,
  **common: Unpack[functional.Options],  # type: ignore[misc]
) -> backbones.Backbone:
  """Builds an IR-ResNet.

  Args:
    variant: whose: 'boundaryface', 'insightface', 'adaface' or 'facexzoo'.
    depth: how many blocks the four stages have, and whether they are
      bottlenecks: 50, 100 or 152, see `VARIANTS` for the others'.
    mode: what ends a residual branch: 'ir' nothing, 'ir_se' squeeze-excite,
      'ir_cam' channel attention, 'ir_sam' spatial attention, 'ir_cbam' both.
    widths: channels of the stem and of each stage; () for the original's: (64,
      64, 128, 256, 512), but for bottlenecks.
    blocks: blocks in each stage, for nets of other sizes; () to go by `depth`.
    stem_stride: the stem's stride; 2 for small and quick nets.
    dropout: the rate of dropout before the linear layer; None for the
      variant's own.
    **common: see `functional.Options`; the image size is a multiple of the
      total stride, 16 with four stages and a stem of stride 1.

  Raises:
    UserError: if an option has a value that it cannot have.
  """
  options = functional.Options(**common)
  theirs = errors.choose('variant of backbone iresnet', variant, VARIANTS)
  if not blocks and depth not in theirs.blocks:
    raise errors.UserError(
      f'No depth {depth!r} of backbone iresnet, variant {variant!r}. There are:'
      f' {", ".join(map(str, theirs.blocks))}; or give `blocks`, one number a'
      ' stage.'
    )
  blocks = tuple(blocks) or theirs.blocks[depth]
  bottlenecks = depth in theirs.bottlenecks
  widths = tuple(widths) or WIDTHS[bottlenecks]
  dropout = theirs.dropout if dropout is None else dropout
  if len(widths) != len(blocks) + 1:
    raise errors.UserError(
      f'widths = {widths} of backbone iresnet must name the channels of the '
      f'stem and of each of the {len(blocks)} stages of blocks = {blocks}: '
      f'{len(blocks) + 1} numbers.'
    )
  functional.check_image_size(
    options.image_size, stem_stride * 2 ** len(blocks)
  )
  limits.check('backbone.dropout', dropout)
  net = residual.IResNet(
    variant=theirs,
    block=residual.Bottleneck if bottlenecks else residual.Block,
    attention=errors.choose('mode of backbone iresnet', mode, ATTENTION),
    widths=widths,
    blocks=blocks,
    stem_stride=stem_stride,
    dropout=dropout,
    **options.attributes(),
  )
  return functional.backbone(net, options.image_size)
