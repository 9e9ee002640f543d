"""CBAMResNet of SWJTU-3DVision/BoundaryFace, in all its modes."""

from bfjax import scalings
from bfjax.convert import names as lib
from bfjax.convert import shapes as shapes_lib

CODE_BASE = 'boundaryface'
COLOUR_ORDER = 'BGR'
SCALING = scalings.STANDARD
CENTRES = ('weight', False)
# Ours that are one net, by other names.
VARIANTS = ('boundaryface', 'insightface')

ENDS = {
  'stem_conv': 'input_layer.0',
  'stem_norm': 'input_layer.1',
  'stem_prelu': 'input_layer.2',
  'head_norm': 'output_layer.0',
  'head_linear': 'output_layer.3',
  'embedding_norm': 'output_layer.4',
}
SHORTCUT = {
  'shortcut_conv': 'shortcut_layer.0',
  'shortcut_norm': 'shortcut_layer.1',
}
_BLOCK = SHORTCUT | {
  'norm1': 'res_layer.0',
  'conv1': 'res_layer.1',
  'norm2': 'res_layer.2',
  'prelu': 'res_layer.3',
  'conv2': 'res_layer.4',
  'norm3': 'res_layer.5',
}
_ATTENTION = {
  'ir': {},
  'ir_se': {
    'attention/mlp/squeeze': 'res_layer.6.fc1',
    'attention/mlp/expand': 'res_layer.6.fc2',
  },
  'ir_cam': {
    'attention/mlp/squeeze': 'res_layer.6.shared_mlp.0',
    'attention/mlp/expand': 'res_layer.6.shared_mlp.2',
  },
  'ir_sam': {'attention/conv': 'res_layer.6.conv'},
  'ir_cbam': {
    'attention/channel/mlp/squeeze': 'res_layer.6.shared_mlp.0',
    'attention/channel/mlp/expand': 'res_layer.6.shared_mlp.2',
    'attention/spatial/conv': 'res_layer.7.conv',
  },
}
POINTWISE = ('.fc1', '.fc2', '.shared_mlp.0', '.shared_mlp.2')


def has(backbone) -> bool:
  """Whether a backbone of ours, its name and options, is one of these."""
  return lib.is_iresnet(backbone, VARIANTS)


def recognise(shapes: shapes_lib.Shapes):
  """Options of our backbone for a state dict, image size too, or None."""
  if not shapes_lib.starts(shapes, 'layer1.0.res_layer.'):
    return None
  return layer_options(
    'boundaryface',
    shapes,
    mode=_mode(shapes),
    ends=ENDS,
    last=_BLOCK['norm3'],
    embedding=('output_layer.4.weight', 'output_layer.3.bias'),
  )


def names(leaves: shapes_lib.Shapes, backbone) -> lib.Names:
  """What the modules of a backbone of ours, with these leaves, are there."""
  block = _BLOCK | _ATTENTION[backbone.get('mode', 'ir')]
  return lib.of_blocks(leaves, ENDS, block, place, POINTWISE)


def place(index: int, stage: int, number: int) -> str:
  """The name of a block, see `names.of_blocks`."""
  return f'layer{stage}.{number - 1}'


def layer_options(variant, shapes, *, mode, ends, last, embedding):
  """The options of a net whose stages are `layer1`, `layer2`, ...

  Args:
    variant: of our iresnet.
    shapes: of the state dict.
    mode: 'ir', 'ir_se', ...
    ends: module outside the blocks -> name there.
    last: of the residual branch's last batch norm, in a block.
    embedding: vectors as long as an embedding, by preference.
  """
  stages = [i for i in range(1, 10) if shapes_lib.starts(shapes, f'layer{i}.')]
  widths = [
    shapes_lib.length(shapes, f'{x}.weight', f'{x}.bias', default=64)
    for x in [ends['stem_norm'], *(f'layer{i}.0.{last}' for i in stages)]
  ]
  return shapes_lib.iresnet_options(
    variant,
    mode=mode,
    widths=widths,
    blocks=[shapes_lib.count(shapes, f'layer{i}.') for i in stages],
    linear=shapes.get(f'{ends["head_linear"]}.weight'),
    embedding_dim=shapes_lib.length(shapes, *embedding, default=512),
  )


def _mode(shapes):
  block = 'layer1.0.res_layer'
  for mode, sign in (
    ('ir_cbam', '7.'),
    ('ir_se', '6.fc'),
    ('ir_cam', '6.shared_mlp'),
    ('ir_sam', '6.conv'),
  ):
    if shapes_lib.starts(shapes, f'{block}.{sign}'):
      return mode
  return 'ir'
