"""Resnet of JDAI-CV/FaceX-Zoo, IR and IR-SE."""

from bfjax import scalings
from bfjax.convert import names as lib
from bfjax.convert import shapes as shapes_lib
from bfjax.convert.names import boundaryface

CODE_BASE = 'facexzoo'
COLOUR_ORDER = 'BGR'
SCALING = scalings.Scaling(127.5, 128.0)
PREFIX = 'backbone.'
CENTRES = ('weight', True)

_BLOCK = boundaryface.SHORTCUT | {
  'norm1': 'res_layer.0',
  'conv1': 'res_layer.1',
  'prelu': 'res_layer.2',
  'conv2': 'res_layer.3',
  'norm3': 'res_layer.4',
  'attention/mlp/squeeze': 'res_layer.5.fc1',
  'attention/mlp/expand': 'res_layer.5.fc2',
}


def has(backbone) -> bool:
  """Whether a backbone of ours, its name and options, is one of these."""
  return lib.is_iresnet(backbone, ('facexzoo',), ('ir', 'ir_se'))


def recognise(shapes: shapes_lib.Shapes):
  """Options of our backbone for a state dict, image size too, or None."""
  # PReLU, where AdaFace has batch norm.
  if not shapes_lib.starts(shapes, 'body.0.res_layer.3.') or (
    'body.0.res_layer.2.running_mean' in shapes
  ):
    return None
  return body_options('facexzoo', shapes, last='4', squeeze='5.fc')


def names(leaves: shapes_lib.Shapes, backbone) -> lib.Names:
  """What the modules of a backbone of ours, with these leaves, are there."""
  return body_names(leaves, _BLOCK)


def body_options(variant, shapes, *, last, squeeze, bottleneck=False):
  """The options of a net whose blocks are all in one sequence, `body`.

  Where a stage begins is told by the block's shortcut, which has weights but
  where the channels stay the same: there, at the first block.

  Args:
    variant: of our iresnet.
    shapes: of the state dict.
    last: of the residual branch's last batch norm.
    squeeze: what the name of a squeeze-excite begins with.
    bottleneck: whether the blocks are bottlenecks.
  """
  widths = [shapes_lib.length(shapes, 'input_layer.1.weight', default=64)]
  blocks = []
  for number in range(shapes_lib.count(shapes, 'body.')):
    norm = f'body.{number}.res_layer.{last}'
    width = shapes_lib.length(
      shapes, f'{norm}.weight', f'{norm}.bias', default=widths[-1]
    )
    shortcut = f'body.{number}.shortcut_layer.'
    if (
      number == 0 or width != widths[-1] or shapes_lib.starts(shapes, shortcut)
    ):
      widths.append(width)
      blocks.append(0)
    blocks[-1] += 1
  return shapes_lib.iresnet_options(
    variant,
    mode=(
      'ir_se'
      if shapes_lib.starts(shapes, f'body.0.res_layer.{squeeze}')
      else 'ir'
    ),
    widths=widths,
    blocks=blocks,
    linear=shapes.get('output_layer.3.weight'),
    embedding_dim=shapes_lib.length(
      shapes, 'output_layer.4.running_mean', 'output_layer.3.bias', default=512
    ),
    bottleneck=bottleneck,
  )


def body_names(leaves: shapes_lib.Shapes, block) -> lib.Names:
  """The names of such a net; `block` has those in one block."""

  def place(index, stage, number):
    return f'body.{index}'

  return lib.of_blocks(
    leaves, boundaryface.ENDS, block, place, boundaryface.POINTWISE
  )
