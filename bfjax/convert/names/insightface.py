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
  return lib.is_iresnet(backbone, boundaryface.VARIANTS, ('ir',))


def recognise(shapes: shapes_lib.Shapes):
  """Options of our backbone for a state dict, image size too, or None."""
  if not shapes_lib.starts(shapes, 'layer1.0.bn1.'):
    return None
  return boundaryface.layer_options(
    'insightface',
    shapes,
    mode='ir',
    ends=_ENDS,
    last=_BLOCK['norm3'],
    embedding=('features.bias', 'fc.bias'),
  )


def names(leaves: shapes_lib.Shapes, backbone) -> lib.Names:
  """What the modules of a backbone of ours, with these leaves, are there."""
  return lib.of_blocks(leaves, _ENDS, _BLOCK, boundaryface.place)
