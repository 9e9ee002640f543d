"""IR-ResNets of BoundaryFace, InsightFace, AdaFace and FaceX-Zoo.

CBAMResNet of SWJTU-3DVision/BoundaryFace in all its modes; IResNet of
deepinsight/insightface, arcface_torch: r18 to r200; Backbone (net.py) of
mk-minchul/AdaFace: IR_18 to IR_200, IR_SE; Resnet of JDAI-CV/FaceX-Zoo.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from bfjax.backbones import iresnet
from bfjax.convert import naming


def _numbered(*modules: str) -> dict[str, str]:
  """The modules of a residual branch that is a sequence there."""
  return {ours: f'res_layer.{i}' for i, ours in enumerate(modules)}


def _channel(squeeze: str, expand: str, ours: str = 'attention'):
  """The 1x1 convolutions of channel attention, dense layers here."""
  return {
    f'{ours}/mlp/squeeze': f'res_layer.{squeeze}',
    f'{ours}/mlp/expand': f'res_layer.{expand}',
  }


_ENDS = {
  'stem_conv': 'input_layer.0',
  'stem_norm': 'input_layer.1',
  'stem_prelu': 'input_layer.2',
  'head_norm': 'output_layer.0',
  'head_linear': 'output_layer.3',
  'embedding_norm': 'output_layer.4',
}
_BLOCK = _numbered('norm1', 'conv1', 'norm2', 'prelu', 'conv2', 'norm3')
_SHORTCUT = {
  'shortcut_conv': 'shortcut_layer.0',
  'shortcut_norm': 'shortcut_layer.1',
}
_SHARED = ('6.shared_mlp.0', '6.shared_mlp.2')


class _Nets(NamedTuple):
  """What a code base calls the modules of its IR-ResNets."""

  # What a name of its state dicts, and of no earlier one of `_NETS`, begins
  # with.
  sign: str
  # Of our iresnet that these nets are; the first is their own.
  variants: tuple[str, ...]
  # Mode -> what ends a block's residual branch -> name there.
  attention: Mapping[str, Mapping[str, str]]
  # Module in a block -> name in that block there; of bottlenecks, where there
  # are; of the shortcut of either.
  block: Mapping[str, str] = _BLOCK
  bottleneck: Mapping[str, str] = {}
  shortcut: Mapping[str, str] = _SHORTCUT
  ends: Mapping[str, str] = _ENDS  # likewise, outside the blocks

  @property
  def in_stages(self) -> bool:
    """Whether blocks are `layer<stage>.<number>`; else `body.<number>`."""
    return self.sign.startswith('layer')


_NETS = {
  'adaface': _Nets(
    sign='body.0.res_layer.2.running_mean',  # FaceX-Zoo has PReLU there
    variants=('adaface',),
    attention={'ir': {}, 'ir_se': _channel('se_block.fc1', 'se_block.fc2')},
    bottleneck=_numbered(
      *('norm1', 'conv1', 'norm2', 'prelu1', 'conv2', 'norm3', 'prelu2'),
      *('conv3', 'norm4'),
    ),
  ),
  'boundaryface': _Nets(
    sign='layer1.0.res_layer.',
    variants=('boundaryface', 'insightface'),
    attention={
      'ir': {},
      'ir_se': _channel('6.fc1', '6.fc2'),
      'ir_cam': _channel(*_SHARED),
      'ir_sam': {'attention/conv': 'res_layer.6.conv'},
      'ir_cbam': {
        **_channel(*_SHARED, ours='attention/channel'),
        'attention/spatial/conv': 'res_layer.7.conv',
      },
    },
  ),
  'facexzoo': _Nets(
    sign='body.0.res_layer.3.',
    variants=('facexzoo',),
    attention={'ir': {}, 'ir_se': _channel('5.fc1', '5.fc2')},
    block=_numbered('norm1', 'conv1', 'prelu', 'conv2', 'norm3'),
  ),
  # BoundaryFace's are these, without attention; only, the scale of the last
  # batch norm is not trained here.
  'insightface': _Nets(
    sign='layer1.0.bn1.',
    variants=('insightface', 'boundaryface'),
    attention={'ir': {}},
    block={
      'norm1': 'bn1',
      'conv1': 'conv1',
      'norm2': 'bn2',
      'prelu': 'prelu',
      'conv2': 'conv2',
      'norm3': 'bn3',
    },
    shortcut={'shortcut_conv': 'downsample.0', 'shortcut_norm': 'downsample.1'},
    ends={
      'stem_conv': 'conv1',
      'stem_norm': 'bn1',
      'stem_prelu': 'prelu',
      'head_norm': 'bn2',
      'head_linear': 'fc',
      'embedding_norm': 'features',
    },
  ),
}


def _has(nets: _Nets, backbone: Mapping[str, Any]) -> bool:
  return (
    backbone['name'] == 'iresnet'
    and backbone.get('variant', 'boundaryface') in nets.variants
    and backbone.get('mode', 'ir') in nets.attention
    and backbone.get('stem_stride', 1) == 1
  )


def _names(
  nets: _Nets, leaves: naming.Shapes, backbone: Mapping[str, Any]
) -> naming.Names:
  is_bottleneck = any('/conv3/' in name for name in leaves)
  attention = nets.attention[backbone.get('mode', 'ir')]
  block = nets.bottleneck if is_bottleneck else nets.block
  block = {**block, **nets.shortcut, **attention}
  modules = dict(nets.ends)
  parts = {name.split('/')[1] for name in leaves}
  blocks = (x.removeprefix('stage').split('_block') for x in parts)
  blocks = sorted((int(x[0]), int(x[1])) for x in blocks if len(x) == 2)
  for index, (stage, number) in enumerate(blocks):
    place = f'layer{stage}.{number - 1}' if nets.in_stages else f'body.{index}'
    modules |= naming.inside(place, block, f'stage{stage}_block{number}')
  return naming.Names(
    stem=nets.ends['stem_conv'],
    modules=modules,
    pointwise=frozenset(modules[name] for name in modules if '/mlp/' in name),
    flattened={nets.ends['head_linear']: leaves['params/head_norm/bias'][0]},
  )


def _recognise(nets: _Nets, shapes: naming.Shapes) -> naming.Options | None:
  if not naming.starts(shapes, nets.sign):
    return None
  first = 'layer1.0' if nets.in_stages else 'body.0'
  # The mode most of whose names are there.
  present = {
    mode: sum(naming.starts(shapes, f'{first}.{x}.') for x in names.values())
    for mode, names in nets.attention.items()
  }
  is_bottleneck = bool(nets.bottleneck) and naming.starts(
    shapes, f'{first}.{nets.bottleneck["conv3"]}.'
  )
  *_, last = (nets.bottleneck if is_bottleneck else nets.block).values()
  stem = naming.width(shapes, nets.ends['stem_norm'], default=64)
  find_stages = _stages_of_layers if nets.in_stages else _stages_of_body
  widths, blocks = zip(*find_stages(shapes, last, stem), strict=True)
  options = {
    'name': 'iresnet',
    'variant': nets.variants[0],
    'mode': max(present, key=present.__getitem__),
    **_size(nets.variants[0], is_bottleneck, (stem, *widths), blocks),
  }
  norm, linear = nets.ends['embedding_norm'], nets.ends['head_linear']
  dim = naming.width(shapes, norm, linear, default=512)
  side = naming.side(shapes.get(f'{linear}.weight'), widths[-1] * dim, 7)
  return options | {'embedding_dim': dim, 'image_size': side * 2 ** len(blocks)}


def _stages_of_layers(shapes, last, stem):
  """(width, blocks) of the stages; `last` is a block's last batch norm."""
  stages = (f'layer{i}.' for i in range(1, 10))
  return [
    (naming.width(shapes, f'{x}0.{last}', default=64), naming.count(shapes, x))
    for x in stages
    if naming.starts(shapes, x)
  ]


def _stages_of_body(shapes, last, stem):
  """The same of a net whose blocks are all in one sequence, `body`.

  Where a stage begins is told by the block's shortcut, which has weights but
  where the channels stay the same: there, at the first block.
  """
  stages, width = [], stem
  for number in range(naming.count(shapes, 'body.')):
    place, before = f'body.{number}', width
    width = naming.width(shapes, f'{place}.{last}', default=before)
    has_shortcut = naming.starts(shapes, f'{place}.shortcut_layer.')
    if number == 0 or width != before or has_shortcut:
      stages.append((width, 0))
    stages[-1] = (width, stages[-1][1] + 1)
  return stages


def _size(variant, is_bottleneck, widths, blocks) -> naming.Options:
  """The options for these widths and blocks, those that are usual left out."""
  known = iresnet.VARIANTS[variant]
  options = {}
  depths = [
    depth
    for depth, usual in known.blocks.items()
    if usual == blocks and (depth in known.bottlenecks) == is_bottleneck
  ]
  if depths:
    options['depth'] = depths[0]
  else:
    options['blocks'] = blocks
    if is_bottleneck:
      options['depth'] = known.bottlenecks[0]
  if widths != iresnet.WIDTHS[is_bottleneck]:
    options['widths'] = widths
  return options


ARCHITECTURES = {
  name: naming.Architecture(
    code_base=name,
    has=functools.partial(_has, nets),
    recognise=functools.partial(_recognise, nets),
    names=functools.partial(_names, nets),
  )
  for name, nets in _NETS.items()
}
