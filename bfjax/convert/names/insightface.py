"""IResNet of deepinsight/insightface, arcface_torch: r18 to r200."""

from bfjax import scalings
from bfjax.convert import names as lib
from bfjax.convert import shapes as shapes_lib
from bfjax.convert.names import boundaryface

CODE_BASE = 'insightface'
COLOUR_ORDER = 'RGB'
SCALING = scalings.STANDARD
CENTRES = ('weight', False)

_ENDS = {
  'stem_conv': 'conv1',
  'stem_norm': 'bn1',
  'stem_prelu': 'prelu',
  'head_norm': 'bn2',
  'head_linear': 'fc',
  'embedding_norm': 'features',
}
_BLOCK = {
  'norm1': 'bn1',
  'conv1': 'conv1',
  'norm2': 'bn2',
  'prelu': 'prelu',
  'conv2': 'conv2',
  'norm3': 'bn3',
  'shortcut_conv': 'downsample.0',
  'shortcut_norm': 'downsample.1',
}


def has(backbone) -> bool:
  """Whether a backbone of ours, its name and options, is one of these.

  BoundaryFace's are, without attention; only, the last batch norm's scale is
  not trained here.
  """
  return (
    backbone['name'] == 'iresnet'
    and backbone.get('variant', 'boundaryface') in boundaryface.VARIANTS
    and backbone.get('mode', 'ir') == 'ir'
    and backbone.get('stem_stride', 1) == 1
  )


def recognise(shapes: shapes_lib.Shapes):
  """Options of our backbone for a state dict, image size too, or None."""
  if not shapes_lib.starts(shapes, 'layer1.0.bn1.'):
    return None
  stages = [i for i in range(1, 10) if shapes_lib.starts(shapes, f'layer{i}.')]
  widths = [
    shapes_lib.length(shapes, f'{x}.weight', f'{x}.bias', default=64)
    for x in ['bn1', *(f'layer{i}.0.bn3' for i in stages)]
  ]
  return shapes_lib.iresnet_options(
    'insightface',
    mode='ir',
    widths=widths,
    blocks=[shapes_lib.count(shapes, f'layer{i}.') for i in stages],
    linear=shapes.get('fc.weight'),
    embedding_dim=shapes_lib.length(
      shapes, 'features.bias', 'fc.bias', default=512
    ),
  )


def names(leaves: shapes_lib.Shapes, backbone) -> lib.Names:
  """What the modules of a backbone of ours, with these leaves, are there."""
  modules = dict(_ENDS)
  for stage, number in shapes_lib.blocks_of(leaves):
    for ours, theirs in _BLOCK.items():
      place = f'layer{stage}.{number - 1}.{theirs}'
      modules[f'stage{stage}_block{number}/{ours}'] = place
  return lib.Names(
    stem='conv1',
    modules=modules,
    flattened={'fc': leaves['params/head_norm/bias'][0]},
  )
