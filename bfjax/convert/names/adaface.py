"""Backbone (net.py) of mk-minchul/AdaFace: IR_18 to IR_200, IR_SE."""

from bfjax import scalings
from bfjax.convert import names as lib
from bfjax.convert import shapes as shapes_lib
from bfjax.convert.names import boundaryface, facexzoo

CODE_BASE = 'adaface'
COLOUR_ORDER = 'BGR'
SCALING = scalings.STANDARD
PREFIX = 'model.'
CENTRES = ('kernel', True)

_ATTENTION = {
  'attention/mlp/squeeze': 'res_layer.se_block.fc1',
  'attention/mlp/expand': 'res_layer.se_block.fc2',
}
_BASIC = boundaryface.SHORTCUT | {
  'norm1': 'res_layer.0',
  'conv1': 'res_layer.1',
  'norm2': 'res_layer.2',
  'prelu': 'res_layer.3',
  'conv2': 'res_layer.4',
  'norm3': 'res_layer.5',
}
_BOTTLENECK = boundaryface.SHORTCUT | {
  'norm1': 'res_layer.0',
  'conv1': 'res_layer.1',
  'norm2': 'res_layer.2',
  'prelu1': 'res_layer.3',
  'conv2': 'res_layer.4',
  'norm3': 'res_layer.5',
  'prelu2': 'res_layer.6',
  'conv3': 'res_layer.7',
  'norm4': 'res_layer.8',
}


def has(backbone) -> bool:
  """Whether a backbone of ours, its name and options, is one of these."""
  return lib.is_iresnet(backbone, ('adaface',), ('ir', 'ir_se'))


def recognise(shapes: shapes_lib.Shapes):
  """Options of our backbone for a state dict, image size too, or None."""
  if 'body.0.res_layer.2.running_mean' not in shapes:
    return None
  bottleneck = shapes_lib.starts(shapes, 'body.0.res_layer.7.')
  return facexzoo.body_options(
    'adaface',
    shapes,
    last='8' if bottleneck else '5',
    squeeze='se_block',
    bottleneck=bottleneck,
  )


def names(leaves: shapes_lib.Shapes, backbone) -> lib.Names:
  """What the modules of a backbone of ours, with these leaves, are there."""
  bottleneck = any('/conv3/' in name for name in leaves)
  block = _BOTTLENECK if bottleneck else _BASIC
  return facexzoo.body_names(leaves, block | _ATTENTION)
